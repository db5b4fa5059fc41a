"""Configurations as vectors, which a predictor takes; every dimension has columns of its own."""

import numpy as np

ONE_HOT_UP_TO = 12  # values of an ordered dimension
HATS = 8  # columns of one with more: hat functions, 1 at a place and 0 at the next


def column_names(dimension):
    """The columns of one dimension.

    Two values: 0 or 1. More without an order: one column a value. An order: the position from
    0 to 1, and one column a value if there are no more than 12; else eight, evenly spread, of which
    a value has the two that it lies between: by its position alone a predictor of few results takes
    an end for the best. With a condition, the last column says whether it is met; where it isn't,
    all are 0.
    """
    name, names = dimension.name, []
    if dimension.ordered or dimension.size() <= 2:
        names.append(name)
    if _is_one_hot(dimension):
        names += [f"{name}={value}" for value in dimension.values]
    if is_wide(dimension):
        names += [f"{name} near {place}" for place in range(HATS)]
    return names + [f"{name} is active"] * (dimension.active_if is not None)


def encode(dimensions, codes):
    """Codes `(n, dimensions)`, NaN where inactive, to an array `(n, columns)`."""
    parts = []
    for dimension, column in zip(dimensions, codes.T):
        active = ~np.isnan(column)
        column = np.where(active, column, dimension.at(np.zeros(1)))[:, None]
        found = []
        if dimension.ordered:
            found.append(dimension.position(column))
        elif dimension.size() <= 2:
            found.append(column)
        if _is_one_hot(dimension):
            found.append(column == np.arange(dimension.size()))
        if is_wide(dimension):
            distance = np.abs(dimension.position(column) * (HATS - 1) - np.arange(HATS))
            found.append(np.maximum(1 - distance, 0))
        if dimension.active_if is not None:
            found = [np.where(active[:, None], part, 0) for part in found] + [active[:, None]]
        parts += found
    return np.concatenate(parts, axis=1, dtype=float)


def decode(dimensions, vectors):
    """The codes whose vectors are, or are nearest to, the rows of `vectors`."""
    codes, start = [], 0
    for dimension in dimensions:
        width = len(column_names(dimension))
        part = vectors[:, start : start + width]
        start += width
        if dimension.ordered:
            column = dimension.from_position(part[:, 0])
        elif dimension.size() <= 2:
            column = np.clip(np.round(part[:, 0]), 0, dimension.size() - 1)
        else:
            column = part[:, : dimension.size()].argmax(axis=1).astype(float)
        if dimension.active_if is not None:
            column = np.where(part[:, -1] > 0.5, column, np.nan)
        codes.append(column)
    return np.stack(codes, axis=1)


def is_wide(dimension):
    """Whether it has an order and too many values for a column each."""
    return dimension.ordered and dimension.size() > ONE_HOT_UP_TO


def _is_one_hot(dimension):
    return not is_wide(dimension) if dimension.ordered else dimension.size() > 2
