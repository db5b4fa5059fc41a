"""Scores of verification trials from embeddings."""

import numpy as np


def cosine_scores(enrol, test, mean=None):
    """Cosine of each pair of embeddings.

    Args:
        enrol: `(N, D)` embeddings, one a trial.
        test: `(N, D)` embeddings, one a trial.
        mean: Optional `(D,)` mean embedding (of a cohort or the training set), subtracted first.

    Returns:
        `(N,)` float64 in [-1, 1]. The cosine with a zero vector is 0.

    Raises:
        ValueError: if the shapes differ or an embedding is not finite.

    Example:

    >>> cosine_scores([[1.0, 0.0], [1.0, 1.0]], [[0.0, 2.0], [3.0, 3.0]]).round(6).tolist()
    [0.0, 1.0]
    """
    enrol, test = _embeddings("enrol", enrol), _embeddings("test", test)
    _same_shape("enrol", enrol, "test", test)
    return np.einsum("nd,nd->n", _normalize(enrol, mean), _normalize(test, mean))


def five_crop_scores(enrol, test, enrol_crops, test_crops):
    """Mean of the full-utterance cosine and the mean cosine between all pairs of crops.

    The published score uses five 3 s crops an utterance, their starts evenly spaced from the first
    sample to the last possible one; any number of crops is accepted.

    Args:
        enrol: `(N, D)` embeddings of the full utterances, one a trial.
        test: `(N, D)`, the same for the test side.
        enrol_crops: `(N, K, D)` embeddings of the crops.
        test_crops: `(N, L, D)`, the same for the test side.

    Returns:
        `(N,)` float64 in [-1, 1].

    Raises:
        ValueError: if the shapes do not fit or an embedding is not finite.

    Example:

    >>> full, crops = [[1.0, 0.0]], [[[1.0, 0.0], [0.0, 1.0]]]
    >>> five_crop_scores(full, full, crops, crops).round(6).tolist()
    [0.75]

    Reference:

    - The evaluation of https://github.com/TaoRuijie/ECAPA-TDNN.
    """
    full = cosine_scores(enrol, test)
    crops = []
    for name, value in (("enrol_crops", enrol_crops), ("test_crops", test_crops)):
        value = _embeddings(name, value, ndim=3)
        if value.shape[0] != full.size or value.shape[1] == 0:
            raise ValueError(
                f"`{name}` must have shape ({full.size}, crops, D), with at least one crop. "
                f"Received: {name}.shape={value.shape}"
            )
        # The mean of all pairwise dot products is the dot product of the means.
        crops.append(_normalize(value).mean(axis=1))
    _same_shape("enrol_crops", crops[0], "test_crops", crops[1])
    return (full + np.einsum("nd,nd->n", *crops)) / 2


def average_embeddings(embeddings, labels=None):
    """One model per speaker from several utterances: mean of the length-normalised embeddings.

    Serves multi-utterance enrolment, and makes the cohort of `s_norm` and `as_norm` from the
    training embeddings.

    Args:
        embeddings: `(N, D)` embeddings.
        labels: Optional `(N,)` speaker of each embedding. Without them all are one speaker's.

    Returns:
        `(D,)` float64 of unit length without `labels`, else `(speakers, D)`, each row of unit
        length, in the order of `np.unique(labels)`.

    Raises:
        ValueError: if the shapes do not fit, an embedding is not finite or there is none.

    Example:

    >>> average_embeddings([[2.0, 0.0], [0.0, 1.0]]).round(4).tolist()
    [0.7071, 0.7071]
    >>> average_embeddings([[2.0, 0.0], [0.0, 1.0]], labels=["b", "a"]).tolist()
    [[0.0, 1.0], [1.0, 0.0]]
    """
    embeddings = _embeddings("embeddings", embeddings)
    if not len(embeddings):
        raise ValueError("`embeddings` must hold at least one embedding. Received none.")
    embeddings = _normalize(embeddings)
    if labels is None:
        return _normalize(embeddings.mean(axis=0))
    labels = np.asarray(labels)
    if labels.shape != embeddings.shape[:1]:
        raise ValueError(
            f"`labels` must have shape ({len(embeddings)},). Received: labels.shape={labels.shape}"
        )
    speakers, index = np.unique(labels, return_inverse=True)
    sums = np.zeros((speakers.size, embeddings.shape[1]))
    np.add.at(sums, index, embeddings)
    return _normalize(sums)


def cohort_scores(embeddings, cohort, mean=None):
    """Cosines of every embedding with every cohort member, in one matrix product.

    Args:
        embeddings: `(U, D)` embeddings, each distinct utterance or speaker model once.
        cohort: `(M, D)` cohort, as `average_embeddings(train, speakers)` makes it.
        mean: Optional `(D,)` mean embedding, subtracted from both first.

    Returns:
        `(U, M)` float64 for `as_norm` and `s_norm`.

    Raises:
        ValueError: if the dimensions differ or an embedding is not finite.

    Example:

    >>> cohort_scores([[1.0, 0.0]], [[1.0, 0.0], [0.0, 1.0], [-3.0, 0.0]]).tolist()
    [[1.0, 0.0, -1.0]]
    """
    embeddings, cohort = _embeddings("embeddings", embeddings), _embeddings("cohort", cohort)
    if embeddings.shape[1] != cohort.shape[1]:
        raise ValueError(
            "`embeddings` and `cohort` must have the same dimension. "
            f"Received: embeddings.shape={embeddings.shape}, cohort.shape={cohort.shape}"
        )
    return _normalize(embeddings, mean) @ _normalize(cohort, mean).T


def _normalize(x, mean=None):
    if mean is not None:
        mean = np.asarray(mean, dtype="float64")
        if mean.shape != x.shape[-1:] or not np.isfinite(mean).all():
            raise ValueError(
                f"`mean` must be finite, of shape {x.shape[-1:]}. Received: mean.shape={mean.shape}"
            )
        x = x - mean
    norm = np.linalg.norm(x, axis=-1, keepdims=True)
    return x / np.where(norm > 0, norm, 1.0)


def _embeddings(name, value, ndim=2):
    value = np.asarray(value, dtype="float64")
    if value.ndim != ndim:
        raise ValueError(
            f"`{name}` must have {ndim} dimensions. Received: {name}.shape={value.shape}"
        )
    finite = np.isfinite(value).all(axis=tuple(range(1, ndim)))
    if not finite.all():
        bad = np.flatnonzero(~finite)
        raise ValueError(
            f"`{name}` must be finite. Received: {bad.size} rows that are not, {bad[:5].tolist()}"
        )
    return value


def _same_shape(name, value, other_name, other):
    if value.shape != other.shape:
        raise ValueError(
            f"`{name}` and `{other_name}` must have the same shape. "
            f"Received: {name}.shape={value.shape}, {other_name}.shape={other.shape}"
        )
