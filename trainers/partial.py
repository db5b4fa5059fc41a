"""Training a chosen part of a network: only BatchNorm, only the output, a few random weights."""

import re
from dataclasses import dataclass, field

import keras
import numpy as np
import tensorflow as tf

from keras_resnets.layers import StackedBlocks
from keras_resnets.layers.stacked_blocks import refuse_stacked
from trainers.replicas import share_of_global_batch, update_loss
from trainers.weight_decay import SCOPES, add_decay, decay_rates


def _is_batch_norm(variable, layer):
    return isinstance(layer, keras.layers.BatchNormalization)


def _is_evonorm(variable, layer):
    return any(kind.__name__.startswith("EvoNorm") for kind in type(layer).__mro__)


def _is_shortcut(variable, layer):
    named = re.search("shortcut|downsample|projection", f"{layer.path}/{layer.name}")
    return bool(named) and _is_kernel_layer(layer)


def _is_kernel_layer(layer):
    return getattr(layer, "kernel", None) is not None


RULES = {
    "all": lambda variable, layer: True,
    "batch_norm": _is_batch_norm,
    "bias": lambda variable, layer: variable.name == "bias",
    "evonorm": _is_evonorm,
    "output": None,  # depends on the model, see `_output_rule`
    "shortcut": _is_shortcut,
}


@dataclass(frozen=True, eq=False)
class TrainOnly:
    """What `train_only` chose; as a context manager it undoes the choice at the end.

    Args:
        rule: as given.
        paths: tuple of str, the paths of the variables that are trained.
        trainable: int, parameters in them.
        total: int, parameters that could be trained.
    """

    rule: object
    paths: tuple
    trainable: int
    total: int
    _undo: object = field(default=None, repr=False)

    @property
    def share(self):
        """The part of the parameters that is trained, 0 to 1."""
        return self.trainable / self.total

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self._undo()


def train_only(model, rule):
    """Makes exactly the variables that a rule chooses trainable.

    The rule acts on variables, never on whole layers: a BatchNormalization whose scale and offset
    are frozen so still normalises by the batch in training and still updates its moving statistics.
    Layers that were frozen as a whole are unfrozen. The choice lives in this model object only:
    saving and cloning lose it. `PartialTrainer` keeps it.

    Args:
        model: built `keras.Model` that is not compiled yet.
        rule: one of

            - a name: `"batch_norm"` (scale and offset), `"evonorm"`, `"output"` (the last layer),
              `"bias"`, `"shortcut"` (convolutions on shortcuts, by their layers' names), `"all"`;
            - names joined by `+` and `-`, read from the left: `"batch_norm+output"`,
              `"all-batch_norm"`;
            - any other string: a regular expression, searched in `variable.path`;
            - a function `(variable, layer) -> bool`;
            - a list of rules: what any of them chooses.

    Returns:
        `TrainOnly`, with counts. In a `with` statement the former state comes back at its end.

    Raises:
        ValueError: the model is not built or is compiled, or the rule chooses nothing.

    Example:

    >>> model = keras.Sequential([
    ...     keras.Input((8, 8, 3)), keras.layers.Conv2D(4, 3), keras.layers.BatchNormalization(),
    ...     keras.layers.Flatten(), keras.layers.Dense(2)])
    >>> with train_only(model, "batch_norm") as report:
    ...     report.trainable, report.total, len(model.trainable_variables)
    (8, 410, 2)
    >>> len(model.trainable_variables)
    6

    Reference:
        [Frankle et al., Training BatchNorm and Only BatchNorm, 2021](https://arxiv.org/abs/2003.00152),
        section 3.
    """
    if model.compiled:
        raise ValueError(
            "`model` must not be compiled: an optimizer is built for the variables that it finds. "
            "Call `train_only` first and `compile` after it, or use `PartialTrainer`. "
            f"Received: model={model.name!r}, compiled"
        )
    return _train_only(model, rule)


def _train_only(model, rule):
    if not model.built:
        raise ValueError(f"`model` must be built. Received: model={model.name!r}, not built")
    owned = _owned_variables(model)
    chooses = _predicate(model, rule)
    chosen = [v for v, layer in owned if chooses(v, layer)]
    if not chosen:
        raise ValueError(
            "`trainable` rule must choose at least one variable. Names of rules are "
            f"{sorted(RULES)}; other strings are searched in paths such as "
            f"{[v.path for v, _ in owned[:3]]}. Received: {rule!r}"
        )
    layers = [(layer, layer.trainable) for layer in model._flatten_layers()]
    flags = [(v, v.trainable) for v, _ in owned]

    def undo():
        for layer, trainable in layers:
            layer._trainable = trainable
        for variable, trainable in flags:
            variable.trainable = trainable

    model.trainable = True
    keep = {id(v) for v in chosen}
    for variable, _ in owned:
        variable.trainable = id(variable) in keep
    return TrainOnly(
        rule,
        tuple(v.path for v in chosen),
        sum(_size(v) for v in chosen),
        sum(_size(v) for v, _ in owned),
        undo,
    )


def _size(variable):
    return int(np.prod(variable.shape))


def _layers_in_order(layer):
    """The layers inside, from the input to the output, each after its own parts."""
    parts = layer.layers if isinstance(layer, keras.Model) else layer._layers
    for part in parts:
        yield from _layers_in_order(part)
    yield layer


def _owned_variables(model):
    """`(variable, layer that made it)` of all that training can change, frozen now or not."""
    owned = {}
    for layer in _layers_in_order(model):
        made_by = {}
        if isinstance(layer, StackedBlocks):
            made_by = {id(stacked): owner for stacked, _, owner in layer.parts}
        for variable in layer._trainable_variables:
            owned.setdefault(id(variable), (variable, made_by.get(id(variable), layer)))
    return list(owned.values())


def _predicate(model, rule):
    """The rule as a function `(variable, layer) -> bool`."""
    if callable(rule):
        return rule
    if isinstance(rule, list | tuple) and rule:
        any_of = [_predicate(model, part) for part in rule]
        return lambda variable, layer: any(part(variable, layer) for part in any_of)
    if not isinstance(rule, str):
        raise ValueError(
            "A `trainable` rule must be a string, a function (variable, layer) or a list of them. "
            f"Received: {rule!r}"
        )
    first, *rest = re.split("([+-])", rule)
    if not {first, *rest[1::2]} <= set(RULES):
        return lambda variable, layer: re.search(rule, variable.path) is not None
    terms = [("+", first), *zip(rest[::2], rest[1::2])]
    terms = [(sign, RULES[name] or _output_rule(model)) for sign, name in terms]

    def choose(variable, layer):
        chosen = False
        for sign, term in terms:
            if term(variable, layer):
                chosen = sign == "+"
        return chosen

    return choose


def _output_rule(model):
    with_variables = [layer for _, layer in _owned_variables(model)]
    if not with_variables or not _is_kernel_layer(with_variables[-1]):
        found = with_variables[-1].name if with_variables else "none"
        raise ValueError(
            "'output' needs a model whose last layer with variables is dense or a convolution. "
            f"Received: {model.name!r}, which ends in {found!r}"
        )
    return lambda variable, layer: layer is with_variables[-1]


class RandomMask:
    """A few random entries of every convolution's kernel: as many for each output channel.

    With two for each channel a network has the parameters that BatchNorm gives it, but elsewhere:
    the paper's control. As a rule for `train_only` it chooses the kernels; `PartialTrainer` then
    trains the entries alone.

    Args:
        model: built `keras.Model` with convolutions.
        per_channel: int, entries for each output channel.
        seed: int; the same seed and architecture give the same entries.

    Raises:
        ValueError: no convolution, or a kernel with fewer entries a channel.

    Example:

    >>> model = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Conv2D(4, 3)])
    >>> mask = RandomMask(model, per_channel=2, seed=0)
    >>> mask.mask(model.layers[0].kernel).sum(axis=(0, 1, 2))
    array([2, 2, 2, 2])

    Reference:
        [Frankle et al., Training BatchNorm and Only BatchNorm, 2021](https://arxiv.org/abs/2003.00152),
        section 4.
    """

    def __init__(self, model, per_channel=2, seed=0):
        if not isinstance(per_channel, int) or per_channel < 1:
            raise ValueError(
                f"`per_channel` must be a positive integer. Received: per_channel={per_channel!r}"
            )
        refuse_stacked(model, "a random mask")
        self.per_channel = per_channel
        self.seed = seed
        self._entries = {}  # id of a kernel -> flat indices
        rng = np.random.default_rng(seed)
        for variable, layer in _owned_variables(model):
            if hasattr(layer, "kernel_size") and variable is getattr(layer, "kernel", None):
                self._entries[id(variable)] = self._draw(variable, layer, rng)
        if not self._entries:
            raise ValueError(
                f"`model` must have convolutions. Received: model={model.name!r}, which has none"
            )

    def _draw(self, kernel, layer, rng):
        flat = np.arange(_size(kernel)).reshape(kernel.shape)
        if "Transpose" in type(layer).__name__:
            flat = flat.swapaxes(-1, -2)  # (..., outputs, inputs)
        outputs = flat.shape[-1]
        if "Depthwise" in type(layer).__name__:
            outputs *= flat.shape[-2]
        flat = flat.reshape(-1, outputs)
        if self.per_channel > len(flat):
            raise ValueError(
                f"`per_channel` must not exceed the {len(flat)} entries a channel of "
                f"{kernel.path}. Received: per_channel={self.per_channel}"
            )
        rows = rng.random(flat.shape).argsort(axis=0)[: self.per_channel]
        return np.sort(np.take_along_axis(flat, rows, axis=0), axis=None)

    def __call__(self, variable, layer=None):
        """Whether entries of this variable are trained."""
        return id(variable) in self._entries

    def mask(self, variable):
        """Boolean array of the variable's shape, True at the entries that are trained."""
        mask = np.zeros(_size(variable), bool)
        mask[self._entries[id(variable)]] = True
        return mask.reshape(variable.shape)

    def keep(self, gradient, variable):
        """The gradient at the entries that are trained, 0 elsewhere."""
        entries = self._entries[id(variable)]
        values = tf.gather(tf.reshape(gradient, (-1,)), entries)
        return tf.reshape(
            tf.scatter_nd(entries[:, None], values, (_size(variable),)), variable.shape
        )

    def get_config(self):
        return {"per_channel": self.per_channel, "seed": self.seed}


@keras.saving.register_keras_serializable("keras_resnets")
class PartialTrainer(keras.Model):
    """Trains the part of a network that a rule chooses, and keeps the rule when it is saved.

    It is compiled, fitted, evaluated and called as the network itself would be. Only the gradients
    of what is trained are computed; everything else stays as it is to the bit, moving statistics
    excepted, which are always updated. What is kept after training is `trainer.model`.

    Under `tf.distribute` the loss is that of the global batch, also where replicas hold unequal
    parts. Use `batch(drop_remainder=True)` where a replica might get no image at all and
    normalisation is synchronised: TensorFlow 2.21 with oneDNN gives a convolution of no image a
    wrong shape, and the replicas then fail to agree.

    Args:
        model: built `keras.Model`.
        trainable: rule as for `train_only`; a function must be registered with
            `keras.saving.register_keras_serializable` if the trainer is to be saved.
        random_mask: `RandomMask` of this model, or a dict of its arguments, such as
            `{"per_channel": 2, "seed": 0}`: these entries are trained besides what `trainable`
            chooses; of a kernel that both choose only they are.
        weight_decay: float, L2 rate of what is trained (`gradient += rate * w`); the optimizer's
            own must be unset beside it.
        scope: `"all"` decays every variable that is trained, `"kernels"` leaves out biases and the
            scale, offset and slope of normalisations.

    Raises:
        ValueError: neither `trainable` nor `random_mask`, or a rule that chooses nothing.

    Example:

    >>> model = keras.Sequential([
    ...     keras.Input((8, 8, 3)), keras.layers.Conv2D(4, 3), keras.layers.BatchNormalization(),
    ...     keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(2)])
    >>> trainer = PartialTrainer(model, "batch_norm", weight_decay=1e-4)
    >>> trainer.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    >>> history = trainer.fit(np.random.rand(6, 8, 8, 3), np.arange(6) % 2, verbose=0)
    >>> trainer.report.trainable, round(trainer.report.share, 3)
    (8, 0.062)

    Reference:
        [Frankle et al., Training BatchNorm and Only BatchNorm, 2021](https://arxiv.org/abs/2003.00152).
    """

    def __init__(
        self, model, trainable=None, random_mask=None, weight_decay=0.0, scope="all", **kwargs
    ):
        super().__init__(**kwargs)
        if trainable is None and random_mask is None:
            raise ValueError(
                "`trainable` or `random_mask` must say what is trained. Received: neither"
            )
        if weight_decay < 0:
            raise ValueError(
                f"`weight_decay` must not be negative. Received: weight_decay={weight_decay}"
            )
        if scope not in SCOPES:
            raise ValueError(f"`scope` must be one of {SCOPES}. Received: scope={scope!r}")
        if isinstance(random_mask, dict):
            random_mask = RandomMask(model, **random_mask)
        self.model = model
        self.rule = trainable
        self.random_mask = random_mask
        self.weight_decay = weight_decay
        self.scope = scope
        self.built = True
        self.report = self._apply_rule()

    def _apply_rule(self):
        rules = [rule for rule in (self.rule, self.random_mask) if rule is not None]
        return _train_only(self.model, rules)

    def call(self, inputs, training=None):
        return self.model(inputs, training=training)

    def compile(self, optimizer="sgd", loss=None, **kwargs):
        """Configure training; as `keras.Model.compile`. The rule is applied anew.

        Args:
            optimizer: as in Keras. Its own `weight_decay` must be unset where the trainer decays
                or a random mask is trained: it would move the entries that are not.
            loss, **kwargs: as in Keras.
        """
        optimizer = keras.optimizers.get(optimizer)
        inner = getattr(optimizer, "inner_optimizer", optimizer)
        if inner.weight_decay and (self.weight_decay or self.random_mask):
            raise ValueError(
                "`optimizer` must have no `weight_decay` beside the trainer's or a random mask: "
                "give it to `PartialTrainer`. Received: "
                f"optimizer.weight_decay={inner.weight_decay}"
            )
        self.report = self._apply_rule()
        super().compile(optimizer=optimizer, loss=loss, **kwargs)

    def train_step(self, data):
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        with tf.GradientTape() as tape:
            predictions = self(x, training=True)
            rows = tf.shape(keras.tree.flatten(predictions)[0])[0]
            loss = self.compute_loss(x, y, predictions, sample_weight, training=True)
            scaled_loss = self.optimizer.scale_loss(loss * share_of_global_batch(rows))
        variables = self.trainable_variables
        gradients = add_decay(
            self.optimizer,
            tape.gradient(scaled_loss, variables),
            variables,
            decay_rates(variables, self.weight_decay, self.scope),
        )
        if self.random_mask is not None:
            gradients = [
                self.random_mask.keep(g, v) if g is not None and self.random_mask(v) else g
                for g, v in zip(gradients, variables)
            ]
        self.optimizer.apply(gradients, variables)
        update_loss(self, loss, rows)
        return self.compute_metrics(x, y, predictions, sample_weight)

    def get_config(self):
        return {
            **super().get_config(),
            "model": keras.saving.serialize_keras_object(self.model),
            "trainable": keras.saving.serialize_keras_object(self.rule),
            "random_mask": self.random_mask and self.random_mask.get_config(),
            "weight_decay": self.weight_decay,
            "scope": self.scope,
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        config = dict(config)
        for part in ("model", "trainable", "random_mask"):
            config[part] = keras.saving.deserialize_keras_object(config[part], custom_objects)
        return cls(**config)

    def compile_from_config(self, config):
        self.compile(**keras.saving.deserialize_keras_object(config))
        self.optimizer.build(self.trainable_variables)
