"""Putting tensors into a model: everything is checked first, then all or nothing is assigned."""

from typing import NamedTuple

import keras
import numpy as np


class Slot:
    """The place of one checkpoint tensor in a model.

    In torch's order a kernel is `(out, in, *spatial)`, in Keras' `(*spatial, in, out)`; a depthwise
    one `(in * multiplier, 1, *spatial)` and `(*spatial, in, multiplier)`. The order of a
    transposed convolution's channels is swapped in both, so the same rule serves.

    Args:
        weights: the Keras variables the tensor holds: one, or several kernels that are its parts
            along the input axis.
        depthwise: the kernel is that of a depthwise convolution.
        window: sides of the window over which a Dense kernel, of inputs flattened in Keras' order,
            is a convolution: `(1, 1)` where the input is a vector.
        flat: the checkpoint flattens that convolution's input axes, in torch's order.
        flip: the order of the spatial axes is reversed between the two.
        native: the checkpoint is in Keras' order.
    """

    def __init__(self, weights, depthwise=False, window=(), flat=False, flip=False, native=False):
        self.weights = list(weights)
        self.depthwise = depthwise
        self.window = tuple(window)
        self.flat = flat
        self.flip = flip
        self.native = native

    @property
    def shape(self):
        """The shape of the checkpoint's tensor."""
        shapes = [self._to_torch(np.broadcast_to(0, w.shape)).shape for w in self.weights]
        shape = list(shapes[0])
        if len(shapes) > 1:
            shape[1] = sum(s[1] for s in shapes)
        return tuple(shape)

    def read(self, array):
        """The checkpoint's tensor, as a list of (variable, value)."""
        parts = [array]
        if len(self.weights) > 1:
            ends = np.cumsum([w.shape[-2] for w in self.weights])
            parts = np.split(array, ends[:-1], axis=1)
        return [(w, self._to_keras(p, w.shape)) for w, p in zip(self.weights, parts)]

    def write(self):
        """The tensor, made from the model's weights."""
        parts = [self._to_torch(keras.ops.convert_to_numpy(w)) for w in self.weights]
        return np.ascontiguousarray(parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1))

    def _to_torch(self, array):
        if array.ndim < 2:
            return array
        array = array.reshape(*self.window, -1, array.shape[-1]) if self.window else array
        n = array.ndim
        if self.native:
            return array
        if self.depthwise:
            array = array.transpose(n - 2, n - 1, *range(n - 2))
            return array.reshape(-1, 1, *array.shape[2:])
        array = array.transpose(n - 1, n - 2, *range(n - 2)[:: -1 if self.flip else 1])
        return array.reshape(len(array), -1) if self.flat else array

    def _to_keras(self, array, shape):
        if array.ndim < 2 or self.native:
            return array.reshape(shape)
        if self.flat:
            array = array.reshape(len(array), -1, *self.window)
        n = array.ndim
        if self.depthwise:
            array = array.reshape(*shape[-2:], *array.shape[2:])
            return array.transpose(*range(2, n), 0, 1)
        return array.transpose(*range(2, n)[:: -1 if self.flip else 1], 1, 0).reshape(shape)


class Report(NamedTuple):
    """What became of a checkpoint's tensors: names in five lists."""

    loaded: list
    missing: list
    unexpected: list
    ignored: list
    skipped: list


def assign(slots, arrays, strict=True, unnamed=(), ignored=(), skipped=()):
    """Assign checkpoint tensors to model weights: all of them, or none.

    Args:
        slots: dict of tensor name to `Slot`.
        arrays: dict of tensor name to array, as `read_checkpoint` returns it.
        strict: with False, missing and unexpected tensors are skipped; a wrong shape is an error
            all the same.
        unnamed: paths of model weights that the checkpoint's layout has no name for.
        ignored: names of tensors left out beforehand, for the report.
        skipped: names of slots and tensors that are to be left as they are.

    Returns:
        A `Report`.

    Raises:
        ValueError: lists every missing, unexpected and misshaped tensor. No weight has changed.
    """
    slots = {name: slot for name, slot in slots.items() if name not in skipped}
    arrays = {name: array for name, array in arrays.items() if name not in skipped}
    missing = [name for name in slots if name not in arrays]
    unexpected = [name for name in arrays if name not in slots]
    loaded = [name for name in slots if name in arrays]
    misshaped = [name for name in loaded if slots[name].shape != arrays[name].shape]
    problems = [
        f"misshaped: {name!r}: expected {slots[name].shape}, found {arrays[name].shape}"
        for name in misshaped
    ]
    if strict:
        problems += [f"missing: {name!r}: expected {slots[name].shape}" for name in missing]
        problems += [f"unexpected: {name!r}: found {arrays[name].shape}" for name in unexpected]
        problems += [f"missing: no tensor is named after the model's {path!r}" for path in unnamed]
    if not loaded:
        problems = problems or ["no tensor has a place in the model"]
    if problems:
        raise ValueError(
            "The checkpoint does not fit the model; no weight was changed.\n  "
            + "\n  ".join(problems)
        )
    for variable, value in [pair for name in loaded for pair in slots[name].read(arrays[name])]:
        variable.assign(value)
    return Report(loaded, [*missing, *unnamed], unexpected, list(ignored), list(skipped))
