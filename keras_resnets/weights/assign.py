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
        ones: trailing axes of size 1: a Dense kernel that torch keeps as a 1x1 convolution.
        flip: the order of the spatial axes is reversed between the two.
    """

    def __init__(self, weights, depthwise=False, ones=0, flip=False):
        self.weights = list(weights)
        self.depthwise = depthwise
        self.flip = flip
        self.ones = (1,) * ones

    @property
    def shape(self):
        """The shape of the checkpoint's tensor."""
        shapes = [self._to_torch(np.broadcast_to(0, w.shape)).shape for w in self.weights]
        shape = list(shapes[0])
        if len(shapes) > 1:
            shape[1] = sum(s[1] for s in shapes)
        return (*shape, *self.ones)

    def read(self, array):
        """The checkpoint's tensor, as a list of (variable, value)."""
        array = array.reshape(array.shape[: array.ndim - len(self.ones)])
        parts = [array]
        if len(self.weights) > 1:
            ends = np.cumsum([w.shape[-2] for w in self.weights])
            parts = np.split(array, ends[:-1], axis=1)
        return [(w, self._to_keras(p, w.shape)) for w, p in zip(self.weights, parts)]

    def write(self):
        """The tensor, made from the model's weights."""
        parts = [self._to_torch(keras.ops.convert_to_numpy(w)) for w in self.weights]
        array = parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)
        return np.ascontiguousarray(array).reshape(*array.shape, *self.ones)

    def _to_torch(self, array):
        n = array.ndim
        if n < 2:
            return array
        if self.depthwise:
            array = array.transpose(n - 2, n - 1, *range(n - 2))
            return array.reshape(-1, 1, *array.shape[2:])
        return array.transpose(n - 1, n - 2, *range(n - 2)[:: -1 if self.flip else 1])

    def _to_keras(self, array, shape):
        n = array.ndim
        if n < 2:
            return array
        if self.depthwise:
            array = array.reshape(*shape[-2:], *array.shape[2:])
            return array.transpose(*range(2, n), 0, 1)
        return array.transpose(*range(2, n)[:: -1 if self.flip else 1], 1, 0)


class Report(NamedTuple):
    """What became of a checkpoint's tensors: names in four lists."""

    loaded: list
    missing: list
    unexpected: list
    ignored: list


def assign(slots, arrays, strict=True, unnamed=(), ignored=()):
    """Assign checkpoint tensors to model weights: all of them, or none.

    Args:
        slots: dict of tensor name to `Slot`.
        arrays: dict of tensor name to array, as `read_checkpoint` returns it.
        strict: with False, missing and unexpected tensors are skipped; a wrong shape is an error
            all the same.
        unnamed: paths of model weights that the checkpoint's layout has no name for.
        ignored: names of tensors left out beforehand, for the report.

    Returns:
        A `Report`.

    Raises:
        ValueError: lists every missing, unexpected and misshaped tensor. No weight has changed.
    """
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
    return Report(loaded, [*missing, *unnamed], unexpected, list(ignored))
