"""Checks of the losses' arguments."""

import math

import keras
from keras import ops

if keras.backend.backend() == "tensorflow":
    from keras_resnets.kernels.finite import assert_finite


def positive(name, value):
    if not 0 < value < math.inf:
        raise ValueError(f"`{name}` must be positive and finite. Received: {name}={value}")
    return float(value)


def count(name, value):
    if isinstance(value, bool) or int(value) != value or value < 1:
        raise ValueError(f"`{name}` must be an integer >= 1. Received: {name}={value}")
    return int(value)


def same_shapes(name, tensors):
    """All of one shape (rows, width), as far as these are known."""
    shapes = [tuple(t.shape) for t in tensors]
    known = [tuple(side for side in column if side is not None) for column in zip(*shapes)]
    if {len(s) for s in shapes} != {2} or any(len(set(column)) > 1 for column in known):
        raise ValueError(f"`{name}` must all be of one shape (rows, width). Received: {shapes}")


def check_finite(name, x, in_graph=False):
    """Raise for the first row that is not finite.

    Args:
        name: What the message calls `x`.
        x: Tensor (rows, ...).
        in_graph: Whether to look also where a tensor has no value yet: in TensorFlow's graphs.
    """
    finite = ops.all(ops.isfinite(x), axis=-1)
    if hasattr(finite, "numpy"):
        finite = ops.convert_to_numpy(finite)
        if not finite.all():
            raise ValueError(f"`{name}` must be finite. Received: row {finite.argmin()} is not")
    elif in_graph and keras.backend.backend() == "tensorflow":
        assert_finite(name, finite)
