"""The points of a space that a search starts from: different, feasible, evenly spread."""

import warnings

import numpy as np

from tuners import variation
from tuners.sobol import Sobol

METHODS = ("sobol", "random")
DRAWS_PER_POINT = 50
BLOCK = 4096  # points at a time


def distinct_points(space, n, method, seed, feasible):
    """See `SearchSpace.sample`."""
    if method not in METHODS:
        raise ValueError(f"`method` must be one of {METHODS}. Received: method={method!r}")
    if type(n) is not int or n < 1:
        raise ValueError(f"`n` must be a whole number from 1. Received: n={n!r}")
    count = len(space.dimensions)
    if method == "sobol":
        draw = Sobol(count, seed).draw
    else:
        rng = np.random.default_rng(seed)
        draw = lambda m: rng.random((m, count))  # noqa: E731

    found, seen, drawn = [], set(), 0
    while len(found) < n and drawn < DRAWS_PER_POINT * n and len(seen) < space.size():
        if drawn >= n and not found:
            break  # one in n is too much to hope for
        block = min(BLOCK, max(n - len(found), 64), DRAWS_PER_POINT * n - drawn)
        drawn += block
        new = {}
        for code, key in zip(*_codes_and_keys(space, draw(block))):
            if key not in seen:
                seen.add(key)
                new[key] = code
        if not new:
            continue
        configs = space.to_configs(np.array([*new.values()]))
        if feasible is not None:
            configs = [config for config, is_in in zip(configs, feasible(configs)) if is_in]
        found += configs
    if len(found) < n:
        warnings.warn(
            f"{len(found)} different feasible points of {n} were found in {drawn} draws.",
            stacklevel=3,
        )
    return found[:n]


def _codes_and_keys(space, points):
    codes = np.stack([d.at(column) for d, column in zip(space.dimensions, points.T)], axis=1)
    codes[~variation.activity(space.dimensions, codes)] = np.nan
    return codes, space.keys_of_codes(codes)
