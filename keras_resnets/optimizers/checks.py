"""Checks of the schedules' arguments, and the step in a form that stays exact."""

import math

from keras import ops


def integer_step(step):
    """The step as an integer tensor: float32 cannot count past 2**24."""
    return ops.convert_to_tensor(step, dtype="int")


def count(name, value, minimum=1):
    if isinstance(value, bool) or int(value) != value or value < minimum:
        raise ValueError(f"`{name}` must be an integer >= {minimum}. Received: {name}={value}")
    return int(value)


def rate(name, value):
    if not 0 <= value < math.inf:
        raise ValueError(f"`{name}` must be finite and not negative. Received: {name}={value}")
    return float(value)
