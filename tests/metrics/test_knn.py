import numpy as np
import pytest
from sklearn.neighbors import KNeighborsClassifier

from keras_resnets.metrics import knn_evaluate

RNG = np.random.default_rng(0)
BANK = RNG.normal(size=(400, 8)) + 2 * np.eye(8)[np.arange(400) % 8]
LABELS = np.arange(400) % 8
QUERIES = RNG.normal(size=(300, 8)) + 2 * np.eye(8)[np.arange(300) % 8]
TRUTH = np.arange(300) % 8


@pytest.mark.parametrize("temperature", (None, 0.07))
def test_equals_scikit_learn(temperature):
    def weights(distance):  # of unit vectors: |a - b|^2 = 2 - 2 cos
        return np.exp((1 - distance**2 / 2 - 1) / (temperature or np.inf))

    unit = lambda x: x / np.linalg.norm(x, axis=1, keepdims=True)  # noqa: E731
    for k, score in knn_evaluate(BANK, LABELS, QUERIES, TRUTH, (1, 20, 200), temperature).items():
        peer = KNeighborsClassifier(k, weights=weights).fit(unit(BANK), LABELS)
        assert score.top1 == pytest.approx(peer.score(unit(QUERIES), TRUTH), abs=1 / 300)
        ranked = np.argsort(-peer.predict_proba(unit(QUERIES)), axis=1, kind="stable")[:, :5]
        top5 = np.mean(np.any(ranked == TRUTH[:, None], axis=1))
        assert score.top5 == pytest.approx(top5, abs=1 / 300)
        assert score.top5 >= score.top1


def test_ties_go_to_the_lower_class():
    bank = np.array([[1.0, 0], [1, 0], [0, 1]])
    assert knn_evaluate(bank, [1, 0, 2], [[1.0, 0]], [0], k=2, temperature=None).top1 == 1
    assert knn_evaluate(bank, [0, 1, 2], [[2.0, 0]], [0], k=9).top1 == 1


def test_cosines_so_near_that_exp_would_overflow():
    assert knn_evaluate(BANK, LABELS, BANK, LABELS, k=5, temperature=1e-3).top1 == 1


def test_bad_input():
    for change, match in (
        (dict(k=0), "`k` must be at least 1"),
        (dict(temperature=0), "`temperature` must be positive"),
        (dict(features=BANK[0]), r"`features` must be of shape.*\(8,\)"),
        (dict(labels=LABELS[1:]), "399 labels"),
        (dict(queries=QUERIES[:, 1:]), "one width. Received: 8 and 7"),
        (dict(query_labels=TRUTH - 1), "integers >= 0"),
        (dict(features=np.full_like(BANK, np.nan)), "row 0 is not"),
    ):
        arguments = dict(features=BANK, labels=LABELS, queries=QUERIES, query_labels=TRUTH)
        with pytest.raises(ValueError, match=match):
            knn_evaluate(**{**arguments, **change})
