"""How evolution changes configurations: arrays of codes `(n, dimensions)`, NaN where inactive."""

import numpy as np

from tuners.dimensions import NEIGHBOURHOOD

STEP_SHARE = 0.7  # of the mutations of an ordered dimension: to a neighbour, else anywhere


def activity(dimensions, codes):
    """Which codes count: True where a dimension's condition is met."""
    places = {dimension.name: place for place, dimension in enumerate(dimensions)}
    active = np.ones(codes.shape, bool)
    for place, dimension in enumerate(dimensions):
        if dimension.active_if is not None:
            parent, values = dimension.active_if
            there = places[parent]
            wanted = dimensions[there].to_codes(values)
            active[:, place] = active[:, there] & np.isin(codes[:, there], wanted)
    return active


def settle(dimensions, codes, rng):
    """Drops codes of dimensions that are inactive, and draws those that became active."""
    conditional = [j for j, dimension in enumerate(dimensions) if dimension.active_if is not None]
    for place in conditional:  # parents come first
        active = activity(dimensions, codes)[:, place]
        codes[~active, place] = np.nan
        new = active & np.isnan(codes[:, place])
        codes[new, place] = dimensions[place].at(rng.random(new.sum()))
    return codes


def mutate(dimensions, codes, rng, rate):
    """Every dimension is drawn anew with the probability `rate`."""
    codes = codes.copy()
    for place, dimension in enumerate(dimensions):
        chosen = np.flatnonzero((rng.random(len(codes)) < rate) & ~np.isnan(codes[:, place]))
        old = codes[chosen, place]
        new = dimension.at(rng.random(len(chosen)))
        if dimension.ordered:
            steps = rng.random(len(chosen)) < STEP_SHARE
            new = np.where(steps, dimension.neighbour(old, rng), new)
        codes[chosen, place] = new
    return settle(dimensions, codes, rng)


def crossover(dimensions, a, b, rng):
    """Every dimension is one parent's or the other's, evenly."""
    first = rng.random(a.shape) < 0.5
    codes = np.where(first, a, b)
    codes = np.where(np.isnan(codes), np.where(first, b, a), codes)
    return settle(dimensions, codes, rng)


def neighbours(dimensions, code):
    """All rows that differ from one in one dimension: by a step, or in a value without an order."""
    found = []
    for place, dimension in enumerate(dimensions):
        old = code[place]
        if np.isnan(old):
            continue
        if not dimension.ordered:
            new = np.setdiff1d(np.arange(dimension.size()), [old])
        elif dimension.size() < np.inf:
            new = np.array([c for c in (old - 1, old + 1) if 0 <= c < dimension.size()])
        else:
            new = dimension.from_position(
                dimension.position(old) + np.array([-1, 1]) * NEIGHBOURHOOD
            )
            new = new[new != old]
        rows = np.tile(code, (len(new), 1))
        rows[:, place] = new
        found.append(rows)
    return settle(dimensions, np.concatenate(found), np.random.default_rng(0))
