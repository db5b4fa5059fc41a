"""The points that a search starts from."""

from collections import Counter

import numpy as np
import pytest

import tuners
from tuners import sobol


def test_directions_are_joe_and_kuos():
    qmc = pytest.importorskip("scipy.stats").qmc
    points = sobol.Sobol(sobol.MAX_DIMENSIONS)
    points.directions = sobol._direction_numbers()
    points.shift = np.zeros(sobol.MAX_DIMENSIONS, int)
    theirs = qmc.Sobol(sobol.MAX_DIMENSIONS, scramble=False, bits=sobol.BITS).random(512)
    # theirs come in the order of a Gray code
    np.testing.assert_array_equal(
        *(np.array(sorted(map(tuple, p))) for p in (points.draw(512), theirs))
    )


def test_sobol_points_are_even():
    draws = sobol.Sobol(64, seed=3)
    points = np.concatenate([draws.draw(n) for n in (1, 100, 923)])
    np.testing.assert_array_equal(points, sobol.Sobol(64, seed=3).draw(1024))
    for axis in points.T:
        assert len(set(np.floor(1024 * axis))) == 1024
    # of two axes, every square of a 4 x 4 grid has its share, about
    counts = Counter((int(4 * a), int(4 * b)) for a, b in points[:, [40, 63]])
    assert len(counts) == 16 and max(counts.values()) <= 1.25 * 64
    assert not np.array_equal(points, sobol.Sobol(64, seed=4).draw(1024))


@pytest.mark.parametrize("dimensions", [0, 65])
def test_sobol_has_64_dimensions(dimensions):
    with pytest.raises(ValueError, match="from 1 to 64"):
        sobol.Sobol(dimensions)


def test_pool_of_fbnet_v3_is_even():
    space = tuners.fbnet_v3_space() + tuners.fbnet_v3_recipe_space()
    pool = space.sample(4096, seed=7)
    assert len(set(space.keys(pool))) == 4096
    assert pool[:5] == space.sample(5, seed=7) != space.sample(5, seed=8)[:5]
    for dimension in space.dimensions:
        counts = Counter(config[dimension.name] for config in pool)
        expected = 4096 / dimension.size()
        assert len(counts) == dimension.size()
        assert max(abs(count - expected) for count in counts.values()) <= 0.05 * expected


def test_seeded_pool_is_the_same_everywhere():
    space = tuners.SearchSpace([tuners.Integer(name, 0, 99) for name in "abc"])
    found = [[*config.values()] for config in space.sample(3, seed=0)]
    assert found == [[9, 55, 82], [94, 24, 1], [42, 45, 28]]


def test_canonical_twins_are_drawn_once():
    space = tuners.SearchSpace(
        [tuners.Integer("a", 0, 3), tuners.Integer("b", 0, 3)],
        canonical=lambda config: {"a": config["a"], "b": config["a"] and config["b"]},
    )
    with pytest.warns(UserWarning, match="13 different feasible points of 16"):
        found = space.sample(16)
    assert len(found) == 13 and sum(config["a"] == 0 for config in found) == 1
    both = space + tuners.SearchSpace([tuners.Integer("c", 0, 1)])
    assert both.canonical({"a": 0, "b": 2, "c": 1}) == {"a": 0, "b": 0, "c": 1}


@pytest.mark.parametrize("method", ["sobol", "random"])
def test_infeasible_points_are_not_drawn(method):
    space = tuners.SearchSpace([tuners.Integer(name, 0, 99) for name in "ab"])
    found = space.sample(300, method, feasible=lambda configs: [c["a"] < 10 for c in configs])
    assert len(found) == len(set(space.keys(found))) == 300
    assert all(config["a"] < 10 for config in found)
    with pytest.warns(UserWarning, match="0 different"):
        assert space.sample(300, method, feasible=lambda configs: [False] * len(configs)) == []


@pytest.mark.parametrize(
    ("options", "message"),
    [({"method": "halton"}, "'sobol', 'random'"), ({"n": 0}, "`n` must be"), ({"n": 2.0}, "`n`")],
)
def test_bad_input(options, message):
    with pytest.raises(ValueError, match=message):
        tuners.SearchSpace([tuners.Integer("a", 0, 3)]).sample(**options)
