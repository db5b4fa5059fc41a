import warnings

import numpy as np
import pytest

from keras_resnets.metrics import as_norm, s_norm


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def test_published_case():
    enrol, test = [0.1, 0.3, 0.2, 0.5], [0.0, 0.4, 0.1, 0.3]
    assert s_norm(0.6, enrol, test) == pytest.approx(2.3636116, abs=5e-8)
    assert as_norm(0.6, enrol, test, top_n=2) == pytest.approx(3.5, abs=1e-12)
    assert as_norm([0.6], [enrol], [test], top_n=2).shape == (1,)


@pytest.mark.parametrize("top_n", [2, 10, 50])
@pytest.mark.parametrize("ddof", [0, 1])
def test_as_norm_vs_a_loop(rng, top_n, ddof):
    scores = rng.normal(size=30)
    enrol, test = rng.normal(size=(30, 50)), rng.normal(size=(30, 50))

    def side(score, cohort):
        top = sorted(cohort)[-top_n:]
        mean = sum(top) / top_n
        return (score - mean) / (sum((x - mean) ** 2 for x in top) / (top_n - ddof)) ** 0.5

    expected = [(side(s, e) + side(s, t)) / 2 for s, e, t in zip(scores, enrol, test)]
    normalized = as_norm(scores, enrol, test, top_n=top_n, ddof=ddof)
    np.testing.assert_allclose(normalized, expected, rtol=1e-10)
    if top_n == 50:
        np.testing.assert_array_equal(s_norm(scores, enrol, test, ddof=ddof), normalized)


def test_rows_shared_by_trials(rng):
    enrol, test, scores = rng.normal(size=(3, 20)), rng.normal(size=(4, 20)), rng.normal(size=8)
    enrol_index, test_index = rng.integers(3, size=8), rng.integers(4, size=8)
    expected = as_norm(scores, enrol[enrol_index], test[test_index], top_n=5)
    shared = as_norm(scores, enrol, test, 5, enrol_index=enrol_index, test_index=test_index)
    np.testing.assert_array_equal(shared, expected)


def test_normalisation_is_invariant_under_affine_maps(rng):
    scores, enrol, test = rng.normal(size=8), rng.normal(size=(8, 20)), rng.normal(size=(8, 20))
    moved = as_norm(3 * scores + 2, 3 * enrol + 2, 3 * test + 2, top_n=5)
    np.testing.assert_allclose(moved, as_norm(scores, enrol, test, top_n=5), rtol=1e-10)


def test_deviation_is_floored():
    assert as_norm(1.0, [0.5, 0.5], [0.5, 0.5], top_n=2) == pytest.approx(0.5e8)


def test_small_cohort_warns_and_uses_all():
    enrol, test = [0.1, 0.3, 0.2, 0.5], [0.0, 0.4, 0.1, 0.3]
    with pytest.warns(UserWarning, match=r"4 members, fewer than top_n=1000") as caught:
        score = as_norm(0.6, enrol, test)
    assert caught[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert s_norm(0.6, enrol, test) == score


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: as_norm([np.nan], [[1, 2]], [[1, 2]], 2), "`scores` must be finite"),
        (lambda: as_norm([1.0, 2.0], [[1, 2]], [[1, 2]], 2), r"`enrol_cohort` must have shape"),
        (lambda: as_norm(1.0, [1, 2], [1, np.inf], 2), "`test_cohort` must be finite"),
        (lambda: as_norm(1.0, [1, 2], [1, 2], 0), "`top_n` must be a positive integer"),
        (lambda: as_norm(1.0, [1, 2], [1, 2], 1, ddof=1), "more than 1 cohort scores"),
        (lambda: s_norm(1.0, [], []), "more than 0 cohort scores"),
        (
            lambda: s_norm([1.0], [[1, 2]], [[1, 2]], enrol_index=[1]),
            r"`enrol_index` must be in \[0, 1\)",
        ),
        (
            lambda: s_norm([1.0], [[1, 2]], [[1, 2]], test_index=[0.0]),
            "`test_index` must be integers",
        ),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()
