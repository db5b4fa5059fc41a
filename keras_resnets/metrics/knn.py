"""Nearest neighbours in a bank of features: what features are worth without training on them."""

from typing import NamedTuple

import numpy as np

from keras_resnets.vectors import unit

CHUNK = 256


class KNNScore(NamedTuple):
    """Shares of queries, 0 to 1.

    Args:
        top1: Whose class got the largest vote.
        top5: Whose class got one of the five largest.
    """

    top1: float
    top5: float


def knn_evaluate(features, labels, queries, query_labels, k=(20, 200), temperature=0.07):
    """Classify queries by their nearest neighbours, by cosine.

    Each of the `k` nearest votes for its class with the weight `exp(cosine / temperature)`. Equal
    votes go to the lower class. Memory is that of 256 queries times the bank.

    Args:
        features: Array (N, D), the bank.
        labels: Integers (N,).
        queries: Array (M, D).
        query_labels: Integers (M,).
        k: Number of neighbours, or several; one above N takes all.
        temperature: Positive float; None: every neighbour has one vote.

    Returns:
        `{k: KNNScore}` for several, a `KNNScore` for one.

    Raises:
        ValueError: shapes that do not fit, features that are not finite, `k` below 1.

    Example:

    >>> bank = [[1.0, 0.0], [0.9, 0.1], [0.0, 1.0]]
    >>> knn_evaluate(bank, [0, 0, 1], [[1.0, 0.2], [0.1, 2.0]], [0, 1], k=1)
    KNNScore(top1=1.0, top5=1.0)

    Reference:
        Wu et al., Unsupervised Feature Learning via Non-Parametric Instance Discrimination, CVPR
        2018, section 3.4.
    """
    ks = [k] if np.ndim(k) == 0 else list(k)
    if not ks or any(int(each) != each or each < 1 for each in ks):
        raise ValueError(f"`k` must be at least 1. Received: k={k}")
    if temperature is not None and not temperature > 0:
        raise ValueError(f"`temperature` must be positive. Received: temperature={temperature}")
    bank, labels = check_labelled("features", features, labels)
    queries, query_labels = check_labelled("queries", queries, query_labels)
    if bank.shape[1] != queries.shape[1]:
        raise ValueError(
            "`features` and `queries` must be of one width. "
            f"Received: {bank.shape[1]} and {queries.shape[1]}"
        )
    bank, queries = unit(bank), unit(queries)
    classes = int(max(labels.max(), query_labels.max())) + 1
    hits = {each: np.zeros(2, int) for each in ks}
    for start in range(0, len(queries), CHUNK):
        truth = query_labels[start : start + CHUNK]
        cosines = queries[start : start + CHUNK] @ bank.T
        most = min(max(ks), len(bank))
        near = np.argpartition(-cosines, most - 1, axis=1)[:, :most]
        order = np.argsort(-np.take_along_axis(cosines, near, 1), axis=1, kind="stable")
        near = np.take_along_axis(near, order, 1)
        weights = np.ones(near.shape)
        if temperature is not None:  # relative to the nearest, or exp would overflow
            cosine = np.take_along_axis(cosines, near, 1).astype("float64")
            weights = np.exp((cosine - cosine[:, :1]) / temperature)
        for each in ks:
            votes = np.zeros((len(truth), classes))
            rows = np.arange(len(truth))[:, None]
            np.add.at(votes, (rows, labels[near[:, :each]]), weights[:, :each])
            ranked = np.argsort(-votes, axis=1, kind="stable")
            hits[each] += [np.sum(ranked[:, :top] == truth[:, None]) for top in (1, 5)]
    scores = {each: KNNScore(*(hits[each] / len(queries)).tolist()) for each in ks}
    return scores[ks[0]] if np.ndim(k) == 0 else scores


def check_labelled(name, features, labels):
    """Finite float32 features (N, D) and flat integer labels (N,), as arrays."""
    features, labels = check_features(name, features), np.asarray(labels).reshape(-1)
    if len(features) != len(labels):
        raise ValueError(
            f"`{name}` must have one label each. "
            f"Received: {len(features)} examples and {len(labels)} labels"
        )
    if not np.issubdtype(labels.dtype, np.integer) or labels.min() < 0:
        raise ValueError(f"Labels must be integers >= 0. Received: {labels[:5]} for `{name}`")
    return features, labels


def check_features(name, features):
    """Finite float32 features (N, D), as an array."""
    features = np.asarray(features, "float32")
    if features.ndim != 2 or not len(features):
        raise ValueError(f"`{name}` must be of shape (examples, width). Received: {features.shape}")
    if not np.all(np.isfinite(features)):
        row = int(np.argmin(np.isfinite(features).all(1)))
        raise ValueError(f"`{name}` must be finite. Received: row {row} is not")
    return features
