"""Checks of the losses' arguments."""

import math


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
