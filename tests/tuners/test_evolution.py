import numpy as np
import pytest

import tuners
from tuners import evolution
from tuners.evolution import evolve

SPACE = tuners.SearchSpace([tuners.Integer(f"d{i}", 0, 9) for i in range(8)])
START = SPACE.sample(20, seed=1)


def total(configs):
    return np.array([sum(config.values()) for config in configs], float)


def small(configs):
    return total(configs) <= 50


def test_it_climbs_and_gives_all_it_scored_best_first():
    asked = []

    def score(configs):
        asked.extend(SPACE.keys(configs))
        return total(configs)

    configs, scores = evolve(SPACE, START, score)
    assert scores[0] >= total(START).max() + 10
    np.testing.assert_array_equal(scores, total(configs))
    assert np.all(np.diff(scores) <= 0)
    # nothing is scored twice
    assert len(asked) == len(set(asked)) == len(configs)
    again, _ = evolve(SPACE, START, total)
    assert again == configs != evolve(SPACE, START, total, seed=1)[0]


def test_constraints_hold():
    start = [config for config, fits in zip(START, small(START)) if fits]
    configs, scores = evolve(SPACE, start, total, small)
    assert scores[0] == 50 and small(configs).all()


def test_children_that_never_fit_are_dropped():
    tries = []

    def never(configs):
        tries.append(len(configs))
        return np.zeros(len(configs), bool)

    configs, _ = evolve(SPACE, START, total, never, generations=(1, 1))
    assert tries == [3 * len(START)] * (1 + evolution.REDRAWS)
    assert len(configs) == len(START)


@pytest.mark.parametrize(("slope", "generations"), [(0, 5), (2e-6, 12)])
def test_when_it_ends(slope, generations):
    """The least number without any progress; the most as long as there is some."""
    rounds = []

    def score(configs):
        rounds.append(0)
        return np.full(len(configs), slope * len(rounds))

    evolve(SPACE, START, score, generations=(5, 12))
    assert len(rounds) == 1 + generations


def test_the_best_survive():
    """A parent better than all its children stays the best."""
    configs, scores = evolve(SPACE, START, lambda configs: -total(configs), population=5)
    assert scores[0] == 0 or scores[0] >= -total(START).min()
    best = min(START, key=lambda config: sum(config.values()))
    assert best in configs


def test_canonical_twins_are_one():
    space = tuners.SearchSpace(
        SPACE.dimensions, canonical=lambda config: {**config, "d0": config["d0"] // 5 * 5}
    )
    configs, _ = evolve(space, space.sample(20), total)
    assert len(set(space.keys(configs))) == len(configs)
