"""Sinkhorn-Knopp: scores to codes that use every prototype equally, in the log domain."""

from keras import ops

from keras_resnets.collectives import cross_replica_concat
from keras_resnets.losses.checks import check_finite, count, positive

EMPTY = -1e30


def sinkhorn_knopp(scores, epsilon=0.05, iterations=3, weights=None, distributed="auto"):
    """Soft codes of samples: near the scores, with equal shares of all prototypes.

    Alternately every prototype's codes are scaled to one total, and every sample's codes to the sum
    1, which is the last step. In float32 and on logarithms, so that it stays finite where
    `exp(scores / epsilon)` would overflow. No gradient.

    Args:
        scores: Tensor (n, K), samples by prototypes: cosines.
        epsilon: Positive float; the smaller, the harder the codes.
        iterations: Integer >= 1.
        weights: Tensor (n,) of ones and zeros: samples of weight zero, such as the unfilled places
            of a queue, have no influence (their codes are still given); None: all count.
        distributed: Whether prototypes have equal shares over all replicas of a `tf.distribute`
            strategy; `"auto"` and True where there are several, False: each for itself.

    Returns:
        A float32 tensor (n, K) whose rows sum to 1.

    Raises:
        ValueError: an argument out of range; eagerly (TensorFlow, torch) also scores that are not
            finite.

    Example:

    >>> codes = sinkhorn_knopp(keras.ops.eye(4) * 2 - 1, epsilon=0.5)
    >>> [round(float(c), 3) for c in codes[0]]
    [0.948, 0.017, 0.017, 0.017]

    Reference:
        Caron et al., SwAV, NeurIPS 2020 (arXiv 2006.09882), section 3.1; Cuturi, Sinkhorn
        Distances, NeurIPS 2013.
    """
    epsilon = positive("epsilon", epsilon)
    iterations = count("iterations", iterations)
    scores = ops.cast(ops.convert_to_tensor(scores), "float32")
    if len(scores.shape) != 2:
        raise ValueError(
            f"`scores` must be of shape (samples, prototypes). Received: {tuple(scores.shape)}"
        )
    check_finite("scores", scores)
    logs = ops.stop_gradient(scores) / epsilon
    if weights is None:
        counted = 0.0
    else:
        counted = ops.where(ops.convert_to_tensor(weights) > 0, 0.0, EMPTY)[:, None]
    for _ in range(iterations):
        logs = logs - log_totals(logs + counted, distributed)
        logs = logs - ops.logsumexp(logs, axis=1, keepdims=True)
    return ops.exp(logs)


def log_totals(logs, distributed):
    """Logarithm of every prototype's total over the samples, of all replicas if `distributed`."""
    totals = ops.logsumexp(logs, axis=0, keepdims=True)
    if distributed:
        totals = ops.logsumexp(cross_replica_concat(totals), axis=0, keepdims=True)
    return totals
