"""Few labels: what semi-supervised learning begins with."""

import numpy as np


def few_labels(labels, share, seed=0):
    """Labels of which a share is kept, the same in every class; the others become -1.

    Args:
        labels: integers (N,), from 0.
        share: float in (0, 1]; at least one label of each class is kept.
        seed: int; a smaller share of the same seed is part of a larger one.

    Returns:
        int32 array (N,).

    Raises:
        ValueError: `share` out of range, labels that are not integers from 0.

    Example:

    >>> labels = trainers.few_labels([0, 1] * 50, share=0.1)
    >>> int(np.sum(labels == 0)), int(np.sum(labels == 1)), int(np.sum(labels < 0))
    (5, 5, 90)
    """
    labels = np.asarray(labels)
    if not 0 < share <= 1:
        raise ValueError(f"`share` must be in (0, 1]. Received: share={share}")
    if labels.ndim != 1 or not np.issubdtype(labels.dtype, np.integer) or np.any(labels < 0):
        raise ValueError(
            "`labels` must be a vector of integers from 0. "
            f"Received: {labels.dtype} of shape {labels.shape}"
        )
    kept = np.full(len(labels), -1, "int32")
    order = np.random.default_rng(seed).permutation(len(labels))
    for label in np.unique(labels):
        of_class = order[labels[order] == label]
        chosen = of_class[: max(1, round(share * len(of_class)))]
        kept[chosen] = label
    return kept
