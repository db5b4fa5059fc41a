"""Cross-entropy against probabilities: what a student learns from its teacher."""

from keras import ops


def soft_cross_entropy(targets, logits, temperature=1.0):
    """`-sum_k targets_k log softmax(logits / temperature)_k`, computed in float32.

    Args:
        targets: Tensor (..., K) of probabilities; no gradient is stopped here.
        logits: Tensor (..., K).
        temperature: Positive float that divides the logits.

    Returns:
        A float32 tensor (...): one value a row.

    Raises:
        ValueError: `temperature` is not positive, or the shapes differ in their last axis.

    Example:

    >>> [round(float(v), 4) for v in soft_cross_entropy([[1.0, 0.0], [0.5, 0.5]], [[2.0, 0.0]] * 2)]
    [0.1269, 1.1269]

    Reference:
        Hinton et al., Distilling the Knowledge in a Neural Network, 2015 (arXiv 1503.02531), eq. 1.
    """
    if not temperature > 0:
        raise ValueError(f"`temperature` must be positive. Received: temperature={temperature}")
    targets = ops.cast(ops.convert_to_tensor(targets), "float32")
    logits = ops.cast(ops.convert_to_tensor(logits), "float32")
    if targets.shape[-1] != logits.shape[-1]:
        raise ValueError(
            "`targets` and `logits` must have as many classes. Received: "
            f"targets of shape {tuple(targets.shape)}, logits of shape {tuple(logits.shape)}"
        )
    return -ops.sum(targets * ops.log_softmax(logits / temperature, axis=-1), axis=-1)
