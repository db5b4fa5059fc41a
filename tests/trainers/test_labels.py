import numpy as np
import pytest

import trainers

LABELS = np.repeat(np.arange(4), (100, 50, 10, 3))


def test_the_same_share_of_every_class_and_at_least_one():
    kept = trainers.few_labels(LABELS, 0.1, seed=1)
    assert [int(np.sum(kept == label)) for label in range(4)] == [10, 5, 1, 1]
    np.testing.assert_array_equal(kept[kept >= 0], LABELS[kept >= 0])
    assert set(kept[kept < 0]) == {-1}
    np.testing.assert_array_equal(trainers.few_labels(LABELS, 1), LABELS)


def test_seeds():
    first, again, other = (trainers.few_labels(LABELS, 0.2, seed) for seed in (3, 3, 4))
    np.testing.assert_array_equal(first, again)
    assert np.any(first != other)
    more = trainers.few_labels(LABELS, 0.4, seed=3)
    assert np.all(more[first >= 0] >= 0)


@pytest.mark.parametrize("share", (0, -0.1, 1.1))
def test_bad_share(share):
    with pytest.raises(ValueError, match=r"`share` must be in \(0, 1\]"):
        trainers.few_labels(LABELS, share)


@pytest.mark.parametrize("labels", ([0.5, 1.0], [[0, 1]], [-1, 0]), ids=("floats", "2-D", "-1"))
def test_bad_labels(labels):
    with pytest.raises(ValueError, match="`labels` must be a vector of integers from 0"):
        trainers.few_labels(labels, 0.5)
