"""Vectors of length one."""

import numpy as np
from keras import ops


def unit(x, axis=-1, smallest=1e-12):
    """Vectors brought to length one; what is shorter than `smallest` is divided by that instead.

    Args:
        x: Array or tensor; the result is one alike.
        axis: The axis that a vector lies along.
        smallest: Positive float, of which a zero vector's gradient stays finite.

    Example:

    >>> unit(np.array([[3.0, 4.0], [0.0, 0.0]]))
    array([[0.6, 0.8],
           [0. , 0. ]])
    """
    of = np if isinstance(x, np.ndarray) else ops
    squares = of.sum(of.square(x), axis=axis, keepdims=True)
    return x / of.sqrt(of.maximum(squares, smallest**2))
