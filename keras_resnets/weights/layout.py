"""How a project names the tensors of a network: a table beside our own layer paths."""

import dataclasses
import functools
import re

import keras
import numpy as np

from keras_resnets.weights.assign import Slot

_PARTS = {
    "kernel": "weight",
    "gamma": "weight",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
}
_DIGITS, _WORD = r"\d+", r"\w+?"
_MARKS = re.compile(r"(\[[\d*]+\])+$")


@dataclasses.dataclass(frozen=True)
class TorchLayout:
    """The names one torch project gives to the layers of a network.

    In `names` a key is one of our layer paths and its value the torch module. `{i}` stands for a
    number, `{i+1}` for the same number plus one, `{i:02}` for its two digits, `{B}` (upper case)
    for any word. `[7][7]` at the end says that torch keeps our Dense kernel as a convolution over
    the whole 7x7 map, `[1]` as one of width 1; `[7*7]` that torch flattens that map with its
    channels first. Two paths with one module share its kernel, split along the input axis in the
    table's order.

    Args:
        name: what messages call the layout.
        names: dict of layer path to module.
        prefixes: leading parts that wrappers put before every name; stripped.
        heads: pattern of tensors of heads that are no part of the model; left out.
        buffers: pattern of tensors that carry no weight; left out.
        flip: the spatial axes of kernels are in reverse order: torch has (frequency, time), we
            (time, frequency).
        native: the checkpoint comes from TensorFlow: its axes and parts (`kernel`, `gamma`, ...)
            are Keras', and its names are paths.
        statistics: the mean and the deviation, on [0, 1], of the images that the weights were
            trained on: for models that normalise inside, whose checkpoints do not hold them.
    """

    name: str
    names: dict
    prefixes: tuple = ("module.",)
    heads: str = r"(?!)"
    buffers: str = r".*num_batches_tracked"
    flip: bool = False
    native: bool = False
    statistics: tuple | None = None

    def clean(self, arrays):
        """Strip the prefixes and leave out heads and buffers.

        Returns:
            The arrays kept, the names of the heads, the names of the buffers.
        """
        kept, heads, buffers = {}, [], []
        for name, array in arrays.items():
            while prefix := next((p for p in self.prefixes if name.startswith(p)), ""):
                name = name.removeprefix(prefix)
            if re.fullmatch(self.buffers, name):
                buffers.append(name)
            elif re.fullmatch(self.heads, name):
                heads.append(name)
            elif name in kept:
                raise ValueError(f"The checkpoint holds {name!r} twice, under two prefixes.")
            else:
                kept[name] = array
        return kept, heads, buffers

    def find(self, path):
        """Where a weight of ours is kept.

        Args:
            path: a weight path such as `"block1/conv1/kernel"`.

        Returns:
            `(row, tensor, window, flat)`: the row of the table, the tensor's name, and the window
            of a Dense kernel, as `Slot` takes it. None if no row matches.
        """
        layer, _, part = path.rpartition("/")
        for row, (pattern, module) in enumerate(self.names.items()):
            if match := _compiled(pattern).fullmatch(layer):
                base = _fill(_MARKS.sub("", module), match)
                name = f"{base}/{part}" if self.native else f"{base}.{_PARTS.get(part, part)}"
                mark = _MARKS.search(module) if part == "kernel" else None
                window = tuple(map(int, re.findall(r"\d+", mark[0]))) if mark else ()
                return row, name, window, bool(mark) and "*" in mark[0]
        return None

    def slots(self, model):
        """The places of this layout's tensors in a model.

        Returns:
            A dict of tensor name to `Slot`, and the paths of weights the layout does not name.
        """
        depthwise = _depthwise_kernels(model)
        inner = {w.path for layer in _normalizations(model) for w in layer.weights}
        found = [(self.find(w.path), w) for w in model.weights if w.path not in inner]
        slots = {}
        named = [pair for pair in found if pair[0] is not None]
        for (_, name, window, flat), weight in sorted(named, key=lambda pair: pair[0]):
            kind = (weight.path in depthwise, window, flat, self.flip, self.native)
            slots.setdefault(name, Slot([], *kind)).weights.append(weight)
        return slots, [weight.path for place, weight in found if place is None]

    def set_statistics(self, model):
        """Give `statistics` to the model's own normalisation of images, if it has one."""
        for layer in _normalizations(model):
            if self.statistics is None:
                continue
            mean, deviation = map(np.asarray, self.statistics)
            layer.adapt_mean.assign(mean)
            layer.adapt_variance.assign(deviation**2)
            layer.finalize_state()

    def without(self, *layers):
        """The same layout for models without these layers: their tensors are heads."""
        modules = (re.escape(_MARKS.sub("", self.names[layer])) for layer in layers)
        heads = "|".join([self.heads, *(rf"{module}[./].*" for module in modules)])
        names = {ours: theirs for ours, theirs in self.names.items() if ours not in layers}
        return dataclasses.replace(self, names=names, heads=heads)


@functools.cache
def _compiled(pattern):
    def field(match):
        return f"(?P<{match[1]}>{_DIGITS if match[1].islower() else _WORD})"

    return re.compile(re.sub(r"\\\{(\w)\\\}", field, re.escape(pattern)))


def _fill(module, match):
    def value(field):
        name, offset, width = field.groups()
        text = match[name]
        return f"{int(text) + int(offset or 0):0{width or 1}}" if name.islower() else text

    return re.sub(r"\{(\w)([+-]\d+)?(?::0(\d+))?\}", value, module)


def _depthwise_kernels(model):
    kinds = (keras.layers.DepthwiseConv1D, keras.layers.DepthwiseConv2D)
    return {layer.kernel.path for layer in _layers(model) if isinstance(layer, kinds)}


def _normalizations(model):
    return [each for each in _layers(model) if isinstance(each, keras.layers.Normalization)]


def _layers(model):
    return model._flatten_layers(include_self=False)
