"""Where proposals come from: a pool of points, and what evolves from the best of them."""

import numpy as np

from tuners.evolution import evolve

START = 50  # points that an evolution starts from
SHORT = (20, 20)  # generations of the evolution that finds candidates


class Candidates:
    """Points under one limit: as they were drawn, or the most promising first.

    Args:
        space: `SearchSpace`.
        limit: `Feasibility`.
        size: how many points are drawn.
        seed: of the points, a list of whole numbers.

    Raises:
        ValueError: no point meets the limit.
    """

    def __init__(self, space, limit, size, seed):
        self.space = space
        self.limit = limit
        self.pool = limit.sample(space, size, seed)
        self._drawn = self._with_keys(self.pool)
        self._vectors = space.encode(self.pool).astype("float32")
        self._rows = self._drawn

    def first(self, seen, near=()):
        """The first that is new, and its key; two `None` if there is none.

        Args:
            seen: keys that are not new.
            near: cells of the space, none of which it may be in.
        """
        for key, cell, config in self._rows:
            if key not in seen and cell not in near:
                return key, config
        return None, None

    def rank(self, score, tried=None, seed=0):
        """Puts the best first.

        Args:
            score: of rows of `space.encode`, an array: larger is better.
            tried: configurations that, with the pool's best, a short evolution starts from, which
                adds to the candidates. `None`: the pool is all there is.
            seed: of the evolution.
        """
        scores = score(self._vectors)
        found = {row[0]: (value, row) for value, row in zip(scores.tolist(), self._drawn)}
        if tried is not None:

            def score_configs(configs):
                return score(self.space.encode(configs).astype("float32"))

            start = [*best_of(self.pool, scores), *inside(tried, self.limit)]
            configs, evolved = evolve(
                self.space,
                best_of(start, score_configs(start)),
                score_configs,
                self.limit,
                seed=seed,
                generations=SHORT,
            )
            rows = self._with_keys(configs)
            found |= {row[0]: (value, row) for value, row in zip(evolved.tolist(), rows)}
        self._rows = [row for _, row in sorted(found.values(), key=lambda pair: -pair[0])]

    def forget_ranking(self):
        """Back to the order in which the points were drawn."""
        self._rows = self._drawn

    def _with_keys(self, configs):
        """Rows `(key, cell, config)`; those of one cell are nearly the same."""
        return [*zip(self.space.keys(configs), self.space.cells(configs), configs)]


def starting_points(space, limit, tried, pool, score, seed):
    """What stage 3 evolves under a new limit: the best of the trials, and the best of a pool.

    Args:
        space: `SearchSpace`.
        limit: `Feasibility`.
        tried: configurations.
        pool: the same.
        score: of a list of configurations, an array: larger is better.
        seed: a list of whole numbers.

    Raises:
        ValueError: no point meets the limit.
    """
    tried = inside(best_of(tried, score(tried), None), limit)[:START]
    pool_inside = inside(pool, limit)
    if len(pool_inside) < START:
        pool_inside += limit.approach(space, pool, seed=seed)
    return [*tried, *best_of(pool_inside, score(pool_inside))]


def inside(configs, limit):
    return [config for config, fits in zip(configs, limit(configs)) if fits]


def best_of(configs, scores, most=START):
    return [configs[place] for place in np.argsort(-scores, kind="stable")[:most]]
