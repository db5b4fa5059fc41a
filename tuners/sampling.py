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

    found, drawn = {}, 0
    most = DRAWS_PER_POINT * n
    tried = set() if space.size() <= most else None  # of a space that can be seen whole
    while len(found) < n and drawn < most and (tried is None or len(tried) < space.size()):
        if drawn >= n and not found:
            break  # one in n is too much to hope for
        block = min(BLOCK, max(n - len(found), 64), most - drawn)
        drawn += block
        codes = _codes(space, draw(block))
        if tried is not None:
            rows = {row.tobytes(): row for row in codes if row.tobytes() not in tried}
            tried.update(rows)
            if not rows:
                continue
            codes = np.array([*rows.values()])
        configs = space.to_configs(codes)
        if feasible is not None:
            configs = [config for config, is_in in zip(configs, feasible(configs)) if is_in]
        for key, config in zip(space.keys(configs), configs):
            found.setdefault(key, config)
    found = [*found.values()]
    if len(found) < n:
        warnings.warn(
            f"{len(found)} different feasible points of {n} were found in {drawn} draws.",
            stacklevel=3,
        )
    return found[:n]


def _codes(space, points):
    codes = np.stack([d.at(column) for d, column in zip(space.dimensions, points.T)], axis=1)
    codes[~variation.activity(space.dimensions, codes)] = np.nan
    return codes
