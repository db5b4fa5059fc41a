"""Constraints, and the statistics and measurements that they are of."""

import numpy as np
import pytest

from tuners import Constraint, Integer, SearchSpace, fbnet_v3_space, fbnet_v3_statistics
from tuners.constraint import as_constraints
from tuners.feasibility import Feasibility
from tuners.measured import MeasuredScale
from tuners.statistics import FreeStatistics

SPACE = SearchSpace([Integer("side", 1, 100)])
AREA = FreeStatistics(lambda config: {"area": config["side"] ** 2})


def test_limits():
    both = Constraint("macs", max=5, min=2)
    assert both.allows([1, 2, 5, 6]).tolist() == [False, True, True, False]
    assert both.excess([1, 3, 7]).tolist() == [1, 0, 2]
    assert Constraint("macs", min=2).allows(1e9) and not Constraint("macs", max=2).allows(1e9)
    assert as_constraints([("macs", 3), both]) == (Constraint("macs", max=3), both)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Constraint("macs", max=1, min=2), "`min` of 'macs' must not be above `max`"),
        (lambda: Constraint("macs"), "must be given"),
        (lambda: Constraint("macs", max=np.nan), "finite"),
        (lambda: Constraint("macs", max="450M"), "finite"),
        (lambda: Constraint("", max=1), "`name`"),
        (lambda: as_constraints(["macs"], "budgets"), "`budgets` must hold"),
        (lambda: Feasibility(AREA, [Constraint("macs", max=1)]).check_names(), r"\['area'\]"),
        (lambda: Feasibility(None, [Constraint("macs", max=1)]).check_names(), r"\[\]"),
    ],
)
def test_bad_constraints(make, message):
    AREA([{"side": 1}])
    with pytest.raises(ValueError, match=message):
        make()


def test_feasible_points():
    limit = Feasibility(AREA, [Constraint("area", max=100), Constraint("memory", 1, measured=True)])
    assert limit([{"side": 10}, {"side": 11}]).tolist() == [True, False] and limit([]).size == 0
    assert {c["side"] for c in limit.sample(SPACE, 10, seed=0)} == set(range(1, 11))


def test_feasible_points_are_approached_where_none_is_drawn():
    space = SearchSpace([Integer(f"side{i}", 1, 100) for i in range(6)])
    volume = FreeStatistics(lambda config: {"volume": sum(config.values()), "one": 1.0})
    limit = Feasibility(volume, [Constraint("volume", max=30), Constraint("one", min=1)])
    start = space.sample(100)
    assert not limit(start).any()
    assert limit.distance([start[0]]) == pytest.approx((sum(start[0].values()) - 30) / 30)
    found = limit.approach(space, start, seed=0, count=10)
    assert 1 <= len(found) <= 10 and limit(found).all()
    with pytest.raises(ValueError, match="one of 1 is nearest to max=None, min=2"):
        Feasibility(volume, [Constraint("one", min=2)]).approach(space, start, seed=0)


@pytest.mark.filterwarnings("ignore:0 different")
def test_without_a_feasible_point_the_nearest_is_told():
    limit = Feasibility(AREA, [Constraint("area", max=0.5)])
    with pytest.raises(ValueError, match=r"area of 1 is nearest to max=0.5"):
        limit.sample(SPACE, 50, seed=0)


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda config: {"area": float("nan")}, "'area' of nan"),
        (lambda config: {"area": -1}, "'area' of -1"),
        (lambda config: 3, "must return a dict"),
        (lambda config: {}, "must return a dict"),
        (lambda config: {f"area{config['side']}": 1}, r"\['area1'\]. Received: \['area2'\]"),
    ],
)
def test_bad_statistics(function, message):
    with pytest.raises(ValueError, match=message):
        FreeStatistics(function)([{"side": 1}, {"side": 2}])
    with pytest.raises(TypeError, match="`statistics` must be a function"):
        FreeStatistics({"area": 1})


def test_statistics_of_many_are_asked_once():
    calls = []

    def statistics(configs):
        calls.append(type(configs))
        return fbnet_v3_statistics(configs)

    points = fbnet_v3_space().sample(20)
    found = FreeStatistics(statistics)(points)
    assert calls == [list, list]  # the first finds out
    assert found["macs"].tolist() == [fbnet_v3_statistics(point)["macs"] for point in points]


def test_probability_of_what_was_measured():
    stats = pytest.importorskip("scipy.stats")
    values = np.array([10.0, 100.0, np.nan, 1000.0])
    scale = MeasuredScale.of(values)
    targets = scale.to_target(values)
    np.testing.assert_allclose([np.nanmean(targets), np.nanstd(targets)], [0, 1], atol=1e-12)
    assert scale.logarithm and np.isnan(targets[2])
    scale.error = 0.3
    found = scale.probability(Constraint("m", max=200, min=20), np.array([0.0]), np.array([0.4]))
    low, high = (scale.to_target(np.float64(x)) for x in (20, 200))
    expected = stats.norm.cdf(high / 0.5) - stats.norm.cdf(low / 0.5)
    np.testing.assert_allclose(found, expected)
    plain = MeasuredScale.of(np.array([0.0, 2.0]))
    assert not plain.logarithm and plain.to_target(np.array([3.0])) == 2
