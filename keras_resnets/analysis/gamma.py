"""What BatchNorm scales and ReLUs say of a network's features: which are used, which are off."""

import contextlib
from dataclasses import dataclass

import keras
import numpy as np
from keras import ops

from keras_resnets.analysis.batches import batches
from keras_resnets.analysis.table import Table
from keras_resnets.layers import StackedBlocks
from keras_resnets.layers.stacked_blocks import refuse_stacked


@dataclass(frozen=True, eq=False)
class GammaReport:
    """The BatchNorm scales and offsets of a network, see `gamma_report`.

    Args:
        threshold: float, below which a magnitude counts as small.
        gammas: dict from a layer's name to its scales.
        betas: dict from a layer's name to its offsets.
    """

    threshold: float
    gammas: dict
    betas: dict

    @property
    def small_gammas(self):
        """Share of all scales that are small."""
        return self._small(_joined(self.gammas))

    @property
    def small_betas(self):
        """Share of all offsets that are small."""
        return self._small(_joined(self.betas))

    def histogram(self, bins=20, layer=None):
        """Histogram of the scales' magnitudes, as `np.histogram` returns it.

        Args:
            bins: int, or edges.
            layer: str, a layer's name; default: all together.
        """
        values = _joined(self.gammas) if layer is None else self.gammas[layer]
        return np.histogram(np.abs(values), bins)

    def table(self):
        """`Table` with a row for each layer and one for all."""
        columns = [*self.gammas.items(), ("all", _joined(self.gammas))]
        betas = {**self.betas, "all": _joined(self.betas)}
        return Table(
            {
                "layer": name,
                "channels": len(gamma),
                "mean |gamma|": float(np.abs(gamma).mean()),
                "small gammas": self._small(gamma),
                "small betas": self._small(betas[name]) if name in betas else None,
            }
            for name, gamma in columns
        )

    def __str__(self):
        return str(self.table())

    def _small(self, values):
        return float((np.abs(values) < self.threshold).mean()) if len(values) else float("nan")


def gamma_report(model, threshold=0.01):
    """Which BatchNorm scales and offsets of a network are near zero.

    A feature whose scale is zero is a constant: the network does without it.

    Args:
        model: `keras.Model` with BatchNormalization layers.
        threshold: float, a smaller magnitude counts as small; in [0, 1].

    Returns:
        `GammaReport`; printed, it is a table by layer.

    Raises:
        ValueError: a threshold outside [0, 1], or no BatchNormalization with a scale.

    Example:

    >>> model = keras.Sequential([keras.Input((4,)), keras.layers.BatchNormalization(name="norm")])
    >>> model.layers[0].gamma.assign([0.0, 0.005, -0.5, 1.0]) is not None
    True
    >>> report = gamma_report(model)
    >>> report.small_gammas, report.histogram(bins=[0, 0.5, 1])[0].tolist()
    (0.5, [2, 2])

    Reference:
        [Frankle et al., Training BatchNorm and Only BatchNorm, 2021](https://arxiv.org/abs/2003.00152),
        section 5.
    """
    _check_threshold(threshold)
    found = {"gamma": {}, "beta": {}}
    for layer in _in_order(model):
        if isinstance(layer, StackedBlocks):
            for stacked, variable, owner in layer.parts:
                if is_batch_norm(owner) and variable.name in found:
                    for i, values in enumerate(ops.convert_to_numpy(stacked)):
                        found[variable.name][layer.name_in_block(owner.name, i)] = values
        elif is_batch_norm(layer):
            for name in found:
                if (variable := getattr(layer, name, None)) is not None:
                    found[name][layer.name] = ops.convert_to_numpy(variable)
    gammas = found["gamma"] or _no_scales(model)
    betas = {name: values for name, values in found["beta"].items() if name in gammas}
    return GammaReport(threshold, gammas, betas)


@dataclass(frozen=True, eq=False)
class DisabledActivations:
    """How often each ReLU feature is zero, see `disabled_activations`.

    Args:
        threshold: float, share of zeros from which on a feature counts as disabled.
        zeros: dict from a layer's name to the share of zeros of each feature.
    """

    threshold: float
    zeros: dict

    @property
    def disabled(self):
        """Share of all features that are disabled."""
        return float((_joined(self.zeros) >= self.threshold).mean())

    def table(self):
        """`Table` with a row for each layer and one for all."""
        rows = [*self.zeros.items(), ("all", _joined(self.zeros))]
        return Table(
            {
                "layer": name,
                "features": len(zeros),
                "zeros": float(zeros.mean()),
                "disabled": float((zeros >= self.threshold).mean()),
            }
            for name, zeros in rows
        )

    def __str__(self):
        return str(self.table())


def disabled_activations(model, data, threshold=0.99, batch_size=128):
    """Which ReLU features are zero at nearly all positions of nearly all examples.

    Args:
        model: `keras.Model` with ReLU layers, or layers whose activation is ReLU; the features are
            on the last axis, or on the first after the batch for a `channels_first` layer.
        data: array of inputs, `(inputs, labels)`, or an iterable of batches of either.
        threshold: float in [0, 1]; 1: never active.
        batch_size: int, for arrays.

    Returns:
        `DisabledActivations`; printed, it is a table by layer.

    Raises:
        ValueError: a threshold outside [0, 1], no ReLU, or no data.

    Example:

    >>> model = keras.Sequential([
    ...     keras.Input((2,)), keras.layers.BatchNormalization(), keras.layers.ReLU()])
    >>> model.layers[0].beta.assign([-10.0, 10.0]) is not None
    True
    >>> disabled_activations(model, np.random.rand(8, 2)).disabled
    0.5

    Reference:
        [Frankle et al., Training BatchNorm and Only BatchNorm, 2021](https://arxiv.org/abs/2003.00152),
        section 5.
    """
    _check_threshold(threshold)
    refuse_stacked(model, "watching its activations")
    relus = [layer for layer in model._flatten_layers() if is_relu(layer)]
    if not relus:
        raise ValueError(f"`model` must have ReLU layers. Received: {model.name!r}, without")
    zeros, counts = {}, {}

    def see(layer, output):
        axis = 1 if getattr(layer, "data_format", None) == "channels_first" else -1
        others = [i for i in range(len(output.shape)) if i != axis % len(output.shape)]
        found = ops.sum(ops.cast(output <= 0, "int32"), others)
        zeros[layer.name] = zeros.get(layer.name, 0) + ops.convert_to_numpy(found).astype("int64")
        rows = int(np.prod([output.shape[i] for i in others]))
        counts[layer.name] = counts.get(layer.name, 0) + rows

    with _outputs_seen(relus, see):
        for x, _ in batches(data, batch_size):
            model(x, training=False)
    return DisabledActivations(threshold, {name: zeros[name] / counts[name] for name in zeros})


@contextlib.contextmanager
def _outputs_seen(layers, see):
    """Gives each output of the layers to `see(layer, output)`, wherever in a model they are."""

    def watched(layer, call):
        def call_and_see(*args, **kwargs):
            output = call(*args, **kwargs)
            see(layer, output)
            return output

        return call_and_see

    for layer in layers:
        layer.call = watched(layer, layer.call)
    try:
        yield
    finally:
        for layer in layers:
            del layer.call  # the class's own is back


@dataclass(frozen=True, eq=False)
class ZeroedGammas:
    """A network without its small scales, see `zero_small_gamma`.

    Args:
        model: the changed copy.
        zeroed: int, scales set to zero.
        total: int, scales in all.
        before, after: float, accuracy of the original and of the copy; `None` without data.
    """

    model: keras.Model
    zeroed: int
    total: int
    before: float | None = None
    after: float | None = None

    @property
    def change(self):
        """Accuracy gained (positive) or lost."""
        return None if self.before is None else self.after - self.before


def zero_small_gamma(model, threshold=0.01, data=None, batch_size=128):
    """A copy of a network whose small BatchNorm scales are exactly zero.

    Args:
        model: `keras.Model`; it stays as it is.
        threshold: float in [0, 1]: scales of a smaller magnitude are set to zero.
        data: `(inputs, integer labels)`, or an iterable of such batches, to measure on.
        batch_size: int, for arrays.

    Returns:
        `ZeroedGammas`, with the accuracy before and after where there is data.

    Raises:
        ValueError: a threshold outside [0, 1], or no BatchNormalization with a scale.

    Example:

    >>> model = keras.Sequential([keras.Input((4,)), keras.layers.BatchNormalization()])
    >>> model.layers[0].gamma.assign([0.0, 0.005, -0.5, 1.0]) is not None
    True
    >>> zeroed = zero_small_gamma(model)
    >>> zeroed.zeroed, np.array(zeroed.model.layers[0].gamma).tolist()
    (2, [0.0, 0.0, -0.5, 1.0])
    """
    _check_threshold(threshold)
    refuse_stacked(model, "setting scales to zero")
    copy = keras.models.clone_model(model)
    copy.set_weights(model.get_weights())
    zeroed = total = 0
    for layer in scaled_batch_norms(copy):
        gamma = ops.convert_to_numpy(layer.gamma)
        small = np.abs(gamma) < threshold
        layer.gamma.assign(np.where(small, 0, gamma))
        zeroed, total = zeroed + int(small.sum()), total + len(small)
    before, after = (None if data is None else accuracy(m, data, batch_size) for m in (model, copy))
    return ZeroedGammas(copy, zeroed, total, before, after)


def accuracy(model, data, batch_size=128):
    """Share of examples whose largest output is the label's."""
    right = total = 0
    for x, labels in batches(data, batch_size):
        if labels is None:
            raise ValueError("`data` must have labels to measure accuracy. Received: inputs alone")
        predicted = ops.convert_to_numpy(model(x, training=False)).argmax(-1)
        labels = np.ravel(ops.convert_to_numpy(labels))
        right, total = right + int((predicted == labels).sum()), total + len(labels)
    return right / total


def is_batch_norm(layer):
    return isinstance(layer, keras.layers.BatchNormalization)


def is_relu(layer):
    """Whether the layer's output is that of a ReLU, its own or its activation's."""
    if isinstance(layer, keras.layers.ReLU):
        return not layer.negative_slope and not layer.threshold
    return getattr(layer, "activation", None) is keras.activations.relu


def scaled_batch_norms(model):
    """The BatchNormalization layers that have a scale, from input to output."""
    found = [layer for layer in _in_order(model) if is_batch_norm(layer) and layer.scale]
    return list(dict.fromkeys(found)) or _no_scales(model)


def _no_scales(model):
    raise ValueError(
        "`model` must have BatchNormalization layers with a scale. "
        f"Received: {model.name!r}, without"
    )


def _in_order(layer):
    for part in layer.layers if isinstance(layer, keras.Model) else layer._layers:
        yield from _in_order(part)
    yield layer


def _joined(arrays):
    return np.concatenate(list(arrays.values())) if arrays else np.zeros(0)


def _check_threshold(threshold):
    if not 0 <= threshold <= 1:
        raise ValueError(f"`threshold` must be in [0, 1]. Received: threshold={threshold}")
