import numpy as np
import pytest

from keras_resnets.metrics import (
    average_embeddings,
    cohort_scores,
    cosine_scores,
    five_crop_scores,
)


def cosine(a, b):
    return a @ b / np.sqrt(a @ a) / np.sqrt(b @ b)


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def test_cosine_scores(rng):
    enrol, test, mean = rng.normal(size=(7, 5)), rng.normal(size=(7, 5)), rng.normal(size=5)
    expected = [cosine(e, t) for e, t in zip(enrol, test)]
    np.testing.assert_allclose(cosine_scores(enrol, test), expected, atol=1e-14)
    np.testing.assert_allclose(cosine_scores(3 * enrol, test / 7), expected, atol=1e-14)
    expected = [cosine(e - mean, t - mean) for e, t in zip(enrol, test)]
    np.testing.assert_allclose(cosine_scores(enrol, test, mean=mean), expected, atol=1e-14)


def test_cosine_of_a_zero_vector_is_zero_and_of_float32_is_float64():
    scores = cosine_scores(np.zeros((1, 3), "float32"), np.ones((1, 3), "float32"))
    assert scores.dtype == "float64" and scores[0] == 0


def test_five_crop_scores_vs_all_pairs(rng):
    enrol, test = rng.normal(size=(4, 6)), rng.normal(size=(4, 6))
    enrol_crops, test_crops = rng.normal(size=(4, 5, 6)), rng.normal(size=(4, 5, 6))
    expected = [
        (
            cosine(enrol[n], test[n])
            + np.mean([cosine(a, b) for a in enrol_crops[n] for b in test_crops[n]])
        )
        / 2
        for n in range(4)
    ]
    scores = five_crop_scores(enrol, test, enrol_crops, test_crops)
    np.testing.assert_allclose(scores, expected, atol=1e-14)


def test_average_embeddings(rng):
    embeddings = rng.normal(size=(9, 4))
    labels = np.array([5, 2, 2, 5, 5, 7, 2, 5, 7])
    units = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
    means = np.stack([units[labels == speaker].mean(axis=0) for speaker in (2, 5, 7)])
    expected = means / np.linalg.norm(means, axis=1, keepdims=True)
    np.testing.assert_allclose(average_embeddings(embeddings, labels), expected, atol=1e-14)
    np.testing.assert_allclose(average_embeddings(embeddings[labels == 5]), expected[1], atol=1e-14)


def test_cohort_scores(rng):
    embeddings, cohort, mean = rng.normal(size=(3, 4)), rng.normal(size=(6, 4)), rng.normal(size=4)
    expected = [[cosine(e - mean, c - mean) for c in cohort] for e in embeddings]
    np.testing.assert_allclose(cohort_scores(embeddings, cohort, mean), expected, atol=1e-14)


ONES = np.ones((2, 3))


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: cosine_scores(ONES, np.ones((3, 3))), r"same shape.*\(2, 3\).*\(3, 3\)"),
        (lambda: cosine_scores(np.ones(3), np.ones(3)), "`enrol` must have 2 dimensions"),
        (lambda: cosine_scores(ONES, ONES * np.nan), r"`test` must be finite.*2 rows.*\[0, 1\]"),
        (lambda: cosine_scores(ONES, ONES, mean=np.ones(2)), r"`mean` must .*\(3,\).*\(2,\)"),
        (lambda: five_crop_scores(ONES, ONES, ONES, ONES), "`enrol_crops` must have 3 dim"),
        (
            lambda: five_crop_scores(ONES, ONES, np.ones((2, 5, 3)), np.ones((1, 5, 3))),
            "`test_crops` must have shape",
        ),
        (lambda: average_embeddings(np.ones((0, 3))), "at least one"),
        (lambda: average_embeddings(ONES, [1]), r"`labels` must have shape \(2,\)"),
        (lambda: cohort_scores(ONES, np.ones((4, 2))), "same dimension"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()
