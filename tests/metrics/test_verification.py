import itertools
import math
import time

import numpy as np
import pytest

from keras_resnets.metrics import act_dcf, bayes_threshold, det_curve, equal_error_rate, min_dcf
from keras_resnets.metrics.verification import EER_METHODS

SCORES = [0.9, 0.8, 0.7, 0.6, 0.55, 0.5, 0.4, 0.3, 0.2, 0.1]
LABELS = [1, 1, 0, 1, 1, 0, 0, 1, 0, 0]


def rates(scores, labels):
    """Every operating point, by counting each trial at each threshold."""
    targets = [s for s, y in zip(scores, labels) if y]
    nontargets = [s for s, y in zip(scores, labels) if not y]
    for threshold in [-math.inf, *sorted(set(scores))]:
        miss = sum(s <= threshold for s in targets) / len(targets)
        yield miss, sum(s > threshold for s in nontargets) / len(nontargets)


def brute_eer(scores, labels, method):
    points = list(rates(scores, labels))
    if method == "interpolate":
        for (m0, f0), (m1, f1) in itertools.pairwise(points):
            if m0 <= f0 and m1 >= f1:
                t = (f0 - m0) / ((m1 - m0) + (f0 - f1))
                return m0 + t * (m1 - m0)
    nearest = min(points, key=lambda point: abs(point[0] - point[1]))
    return max(nearest) if method == "max" else sum(nearest) / 2


def brute_min_dcf(scores, labels, p, c_miss, c_fa):
    costs = [c_miss * p * miss + c_fa * (1 - p) * fa for miss, fa in rates(scores, labels)]
    return min(costs) / min(c_miss * p, c_fa * (1 - p))


def random_trials(seed):
    rng = np.random.default_rng(seed)
    size = int(rng.integers(2, 60))
    labels = rng.permutation(np.arange(size) < rng.integers(1, size)).astype(int)
    scores = rng.normal(size=size) + rng.uniform(-1, 3) * labels
    decimals = int(rng.integers(0, 4))  # 0: hardly any score without a tie
    return scores.round(decimals), labels


def test_published_case():
    assert equal_error_rate(SCORES, LABELS) == pytest.approx(0.2, abs=1e-12)
    for p_target, cost in ((0.01, 0.6), (0.05, 0.6), (0.5, 0.4)):
        assert min_dcf(SCORES, LABELS, p_target=p_target) == pytest.approx(cost, abs=1e-12)


@pytest.mark.parametrize("seed", range(200))
def test_brute_force_with_ties(seed):
    scores, labels = random_trials(seed)
    for method in EER_METHODS:
        expected = brute_eer(scores.tolist(), labels.tolist(), method)
        assert equal_error_rate(scores, labels, method) == pytest.approx(expected, abs=1e-12)
    for p_target, c_miss, c_fa in ((0.01, 1, 1), (0.05, 1, 1), (0.5, 1, 1), (0.01, 10, 1)):
        expected = brute_min_dcf(scores.tolist(), labels.tolist(), p_target, c_miss, c_fa)
        cost = min_dcf(scores, labels, p_target, c_miss, c_fa)
        assert cost == pytest.approx(expected, abs=1e-12)


def test_methods_differ_where_the_rates_do_not_meet():
    scores, labels = [3.0, 2.0, 2.0, 1.0, 0.0], [1, 1, 0, 0, 0]
    # Points (miss, fa): ..., (0, 1/3) at threshold 1, (1/2, 0) at threshold 2.
    assert equal_error_rate(scores, labels, "interpolate") == pytest.approx(0.2)
    assert equal_error_rate(scores, labels, "nearest") == pytest.approx(1 / 6)
    assert equal_error_rate(scores, labels, "max") == pytest.approx(1 / 3)


def test_perfect_reversed_and_constant_scores():
    labels = [1, 1, 0, 0, 0]
    perfect = [5.0, 4.0, 3.0, 2.0, 1.0]
    assert (equal_error_rate(perfect, labels), min_dcf(perfect, labels)) == (0.0, 0.0)
    reverse = [1.0, 2.0, 3.0, 4.0, 5.0]
    assert (equal_error_rate(reverse, labels), min_dcf(reverse, labels)) == (1.0, 1.0)
    assert (equal_error_rate([7.0] * 5, labels), min_dcf([7.0] * 5, labels)) == (0.5, 1.0)


@pytest.mark.parametrize("scale, shift", [(2.0, -3.0), (0.125, 100.0)])
def test_increasing_affine_maps_change_nothing(scale, shift):
    for seed in range(20):
        scores, labels = random_trials(seed)
        moved = scale * scores + shift
        assert equal_error_rate(moved, labels) == equal_error_rate(scores, labels)
        assert min_dcf(moved, labels) == min_dcf(scores, labels)


def test_chance():
    rng = np.random.default_rng(0)
    scores, labels = rng.normal(size=200_000), rng.random(200_000) < 0.5
    assert equal_error_rate(scores, labels) == pytest.approx(0.5, abs=5e-3)
    assert min_dcf(scores, labels) == pytest.approx(1.0, abs=5e-3)


def test_gaussian_scores_have_the_known_rate():
    rng = np.random.default_rng(0)
    labels = np.arange(200_000) % 2
    scores = rng.normal(size=200_000) + 2 * labels
    normal_cdf_of_minus_one = 0.158655
    assert equal_error_rate(scores, labels) == pytest.approx(normal_cdf_of_minus_one, abs=3e-3)


def test_curve():
    curve = det_curve(SCORES, LABELS)
    assert curve.thresholds[0] == -np.inf
    assert np.all(np.diff(curve.thresholds) > 0)
    assert np.all(np.diff(curve.miss) >= 0) and np.all(np.diff(curve.false_alarm) <= 0)
    assert (curve.miss[0], curve.false_alarm[0]) == (0.0, 1.0)
    assert (curve.miss[-1], curve.false_alarm[-1]) == (1.0, 0.0)
    assert curve.eer_threshold() == 0.5
    assert curve.equal_error_rate() == equal_error_rate(SCORES, LABELS)
    assert curve.min_dcf(0.5) == min_dcf(SCORES, LABELS, 0.5)


def test_infinite_scores_and_bool_labels():
    assert equal_error_rate([np.inf, 1.0, 0.0, -np.inf], np.array([True, True, False, False])) == 0


def test_act_dcf():
    # Threshold log(99) = 4.595: one of two targets rejected, no false alarm.
    assert act_dcf([5.0, 4.0, 0.0], [1, 1, 0]) == pytest.approx(0.5)
    # One of two non-targets accepted costs 99 / 2.
    assert act_dcf([5.0, 5.0, 0.0], [1, 0, 0]) == pytest.approx(49.5)
    for seed in range(20):
        scores, labels = random_trials(seed)
        assert act_dcf(scores, labels, 0.2) >= min_dcf(scores, labels, 0.2) - 1e-12


def test_bayes_threshold():
    assert bayes_threshold(0.01) == pytest.approx(math.log(99))
    assert bayes_threshold(0.5, c_miss=10, c_fa=1) == pytest.approx(-math.log(10))


@pytest.mark.parametrize(
    "scores, labels, message",
    [
        ([0.1, 0.2], [1, 0, 1], r"shape \(N,\).*\(2,\).*\(3,\)"),
        ([[0.1], [0.2]], [[1], [0]], r"shape \(N,\)"),
        ([0.1, float("nan")], [1, 0], "NaN.*first at 1"),
        ([0.1, 0.2, 0.3], [1, 0, 2], r"0 or 1.*\[2\]"),
        ([0.1, 0.2], [1, 1], "needs both target and non-target trials"),
        ([0.1, 0.2], [0, 0], "needs both target and non-target trials"),
        ([], [], "needs both target and non-target trials"),
    ],
)
@pytest.mark.parametrize("metric", [equal_error_rate, min_dcf, act_dcf, det_curve])
def test_bad_trials(metric, scores, labels, message):
    with pytest.raises(ValueError, match=message):
        metric(scores, labels)


@pytest.mark.parametrize("metric", [min_dcf, act_dcf])
@pytest.mark.parametrize(
    "option", [{"p_target": 0}, {"p_target": 1}, {"c_miss": 0}, {"c_fa": -1}, {"c_fa": math.inf}]
)
def test_bad_costs(metric, option):
    with pytest.raises(ValueError, match=f"`{next(iter(option))}` must be .* Received"):
        metric(SCORES, LABELS, **option)


def test_unknown_method():
    with pytest.raises(ValueError, match=r"interpolate.*Received: method='mean'"):
        equal_error_rate(SCORES, LABELS, method="mean")


def test_a_million_trials_in_well_under_a_second():
    rng = np.random.default_rng(0)
    labels = rng.random(1_000_000) < 0.1
    scores = rng.normal(size=1_000_000) + 3 * labels
    start = time.process_time()
    equal_error_rate(scores, labels)
    assert time.process_time() - start < 0.8
