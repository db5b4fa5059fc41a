"""How a project names the tensors of a network: a table beside our own layer paths."""

import dataclasses
import functools
import re

import keras

from keras_resnets.weights.assign import Slot

_PARTS = {
    "kernel": "weight",
    "gamma": "weight",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
}


@dataclasses.dataclass(frozen=True)
class TorchLayout:
    """The names one torch project gives to the layers of a network.

    In `names` a key is one of our layer paths and its value the torch module. `{i}` stands for a
    number, `{i+1}` for the same number plus one. `[1]` at the end says that torch keeps our Dense
    kernel as a convolution of width 1. Two paths with one module share its kernel, split along
    the input axis in the table's order.

    Args:
        name: what messages call the layout.
        names: dict of layer path to module.
        prefixes: leading parts that wrappers put before every name; stripped.
        heads: pattern of classifier tensors, which are no part of an encoder; left out.
        buffers: pattern of tensors that carry no weight; left out.
        flip: the spatial axes of kernels are in reverse order: torch has (frequency, time), we
            (time, frequency).
    """

    name: str
    names: dict
    prefixes: tuple = ("module.",)
    heads: str = r"(?!)"
    buffers: str = r".*num_batches_tracked"
    flip: bool = False

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
            `(row, tensor, ones)`: the row of the table, the tensor's name, and how many trailing
            axes of size 1 the tensor has more than our weight. None if no row matches.
        """
        layer, _, part = path.rpartition("/")
        for row, (pattern, module) in enumerate(self.names.items()):
            if match := _compiled(pattern).fullmatch(layer):
                base, ones = re.fullmatch(r"(.*?)((?:\[1\])*)", _fill(module, match)).groups()
                ones = ones.count("[1]") if part == "kernel" else 0
                return row, f"{base}.{_PARTS.get(part, part)}", ones
        return None

    def slots(self, model):
        """The places of this layout's tensors in a model.

        Returns:
            A dict of tensor name to `Slot`, and the paths of weights the layout does not name.
        """
        depthwise = _depthwise_kernels(model)
        found = [(self.find(weight.path), weight) for weight in model.weights]
        slots = {}
        named = [pair for pair in found if pair[0] is not None]
        for (_, name, ones), weight in sorted(named, key=lambda pair: pair[0]):
            slot = slots.setdefault(name, Slot([], weight.path in depthwise, ones, self.flip))
            slot.weights.append(weight)
        return slots, [weight.path for place, weight in found if place is None]


@functools.cache
def _compiled(pattern):
    return re.compile(re.sub(r"\\\{(\w)\\\}", r"(?P<\1>\\d+)", re.escape(pattern)))


def _fill(module, match):
    def number(field):
        return str(int(match[field[1]]) + int(field[2] or 0))

    return re.sub(r"\{(\w)([+-]\d+)?\}", number, module)


def _depthwise_kernels(model):
    kinds = (keras.layers.DepthwiseConv1D, keras.layers.DepthwiseConv2D)
    return {
        layer.kernel.path
        for layer in model._flatten_layers(include_self=False)
        if isinstance(layer, kinds)
    }
