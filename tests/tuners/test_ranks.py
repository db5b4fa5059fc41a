import numpy as np
import pytest

from tuners import ranks

stats = pytest.importorskip("scipy.stats")


@pytest.fixture(params=[10**9, 5], ids=["different", "with ties"])
def pair(request):
    rng = np.random.default_rng(0)
    a = rng.integers(request.param, size=60)
    return a, a // 2 + rng.integers(request.param, size=60)


def test_ranks_are_scipys(pair):
    a, b = pair
    np.testing.assert_array_equal(ranks.average_ranks(a), stats.rankdata(a))
    scores = stats.norm.ppf((stats.rankdata(a) - 0.5) / 60)
    np.testing.assert_allclose(ranks.normal_scores(a), scores, atol=1e-9)
    assert ranks.spearman(a, b) == pytest.approx(stats.spearmanr(a, b)[0])
    assert ranks.kendall_tau(a, b) == pytest.approx(stats.kendalltau(a, b)[0])


def test_normal_cdf():
    z = np.array([[-40, -1, 0], [0.5, 3, 40]])
    np.testing.assert_allclose(ranks.normal_cdf(z), stats.norm.cdf(z))


def test_without_order_there_is_no_correlation():
    assert np.isnan(ranks.spearman([1, 1], [1, 2])) and np.isnan(ranks.kendall_tau([1, 2], [1, 1]))
