"""Statistics over the valid positions of padded sequences."""

from keras import ops


def apply_mask(x, mask):
    """`x` with the padded positions of axis 1 set to 0; `x` itself when `mask` is None."""
    if mask is None:
        return x
    return ops.where(expand_mask(mask, x), x, ops.cast(0, x.dtype))


def expand_mask(mask, x):
    """`(B, T)` boolean mask with trailing axes of size 1 up to the rank of `x`."""
    return ops.reshape(ops.cast(mask, "bool"), ops.shape(mask) + (1,) * (len(x.shape) - 2))


def valid_count(x, mask):
    """Valid positions per example along axis 1, at least 1, broadcastable to `x`."""
    if mask is None:
        return ops.cast(ops.shape(x)[1], x.dtype)
    count = ops.sum(ops.cast(expand_mask(mask, x), x.dtype), axis=1, keepdims=True)
    return ops.maximum(count, ops.cast(1, x.dtype))


def masked_mean(x, mask=None):
    """Mean over the valid positions of axis 1, which stays as size 1."""
    return ops.sum(apply_mask(x, mask), axis=1, keepdims=True) * (1 / valid_count(x, mask))


def masked_moments(x, mask=None, ddof=0):
    """Mean and centred variance over the valid positions of axis 1.

    `ddof=1` divides by the count less one (at least 1, so that one frame has variance 0).
    """
    mean = masked_mean(x, mask)
    squares = ops.sum(ops.square(apply_mask(x - mean, mask)), axis=1, keepdims=True)
    count = valid_count(x, mask)
    if ddof:
        count = ops.maximum(count - ddof, ops.cast(1, x.dtype))
    return mean, squares * (1 / count)


def masked_exp(logits, mask=None):
    """Softmax over axis 1 before its division: `exp(logits - max)`, and its sum over time.

    Padded positions get 0; where every position is padded, the sum is 1.
    """
    if mask is not None:
        mask = expand_mask(mask, logits)
        logits = ops.where(mask, logits, ops.cast(-1e9, logits.dtype))
    weights = ops.exp(logits - ops.stop_gradient(ops.max(logits, axis=1, keepdims=True)))
    if mask is None:
        return weights, ops.sum(weights, axis=1, keepdims=True)
    weights = ops.where(mask, weights, ops.cast(0, weights.dtype))
    total = ops.sum(weights, axis=1, keepdims=True)
    return weights, ops.where(total > 0, total, ops.cast(1, total.dtype))
