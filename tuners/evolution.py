"""Stage 3: the best configurations by a predictor, found by a genetic algorithm."""

import numpy as np

from tuners import variation

POPULATION = 100
FEWEST_GENERATIONS, MOST_GENERATIONS = 5, 200
PATIENCE = 3  # generations without a better score
LEAST_GAIN = 1e-6
RATES = (0.3, 0.1)  # of mutation, at the first generation and at the last
TRIES = (1, 5, 15)  # to have a feasible child: once, and 20 times more


def evolve(
    space,
    start,
    score,
    feasible=None,
    seed=0,
    population=POPULATION,
    generations=(FEWEST_GENERATIONS, MOST_GENERATIONS),
):
    """Improves configurations until their best score stays.

    Every member of the population has three children in a generation: by crossover with another
    member, by mutation, and by both. The best of parents and children live on.

    Args:
        space: `SearchSpace`.
        start: configurations, feasible and at least one.
        score: of a list of configurations, an array: larger is better.
        feasible: of a list of configurations, which are allowed; children that are not are drawn
            again, and after 20 times dropped.
        seed: a whole number.
        population: how many live on.
        generations: the fewest and the most; in between, it ends when three in turn improve the
            best score by less than 1e-6.

    Returns:
        All configurations that were scored, none twice, and their scores, the best first.

    Example:

    >>> from tuners.evolution import evolve
    >>> space = tuners.SearchSpace([tuners.Integer(name, 0, 100) for name in "ab"])
    >>> is_small = lambda configs: [config["a"] <= 50 for config in configs]
    >>> configs, scores = evolve(
    ...     space,
    ...     space.sample(10, feasible=is_small),
    ...     score=lambda configs: np.array([c["a"] - c["b"] for c in configs]),
    ...     feasible=is_small,
    ... )
    >>> all(is_small(configs)), bool(scores[0] > 40)
    (True, True)
    """
    rng = np.random.default_rng(seed)
    found, scores = {}, {}

    def add(configs):
        new = {key: c for key, c in zip(space.keys(configs), configs) if key not in found}
        if new:
            found.update(new)
            scores.update(zip(new, np.asarray(score(list(new.values())), float).tolist()))

    def best(count):
        return sorted(scores, key=scores.get, reverse=True)[:count]

    add(start)
    alive = best(population)
    fewest, most = generations
    record, stale = scores[alive[0]], 0
    for generation in range(most):
        rate = RATES[0] + (RATES[1] - RATES[0]) * generation / max(most - 1, 1)
        rate = max(rate, 1 / len(space.dimensions))
        parents = space.to_codes([found[key] for key in alive])
        add(_children(space, parents, rate, feasible, rng))
        alive = best(population)
        stale = 0 if scores[alive[0]] >= record + LEAST_GAIN else stale + 1
        record = max(record, scores[alive[0]])
        if generation + 1 >= fewest and stale >= PATIENCE:
            break
    order = best(None)
    return [found[key] for key in order], np.array([scores[key] for key in order])


def _children(space, parents, rate, feasible, rng):
    """Three of every parent, as far as they are feasible."""
    dimensions = space.dimensions
    waiting = np.arange(3 * len(parents))
    children = []
    for tries in TRIES:
        rows = np.repeat(waiting, tries)  # each so often at once
        codes = parents[rows // 3]
        others = parents[rng.integers(len(parents), size=len(rows))]
        crossed = variation.crossover(dimensions, codes, others, rng)
        codes = np.where((rows % 3 != 1)[:, None], crossed, codes)
        mutated = variation.mutate(dimensions, codes, rng, rate)
        codes = np.where((rows % 3 != 0)[:, None], mutated, codes)
        configs = space.to_configs(codes)
        if feasible is None:
            return configs
        good = np.flatnonzero(feasible(configs))
        done, first = np.unique(rows[good], return_index=True)
        children += [configs[place] for place in good[first]]
        waiting = np.setdiff1d(waiting, done)
        if not len(waiting):
            break
    return children
