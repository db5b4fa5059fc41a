import tensorflow as tf

from keras_resnets.kernels.xla import in_xla

DTYPES = ("float32", "float16", "bfloat16")


def can_fuse(x, parameter):
    """Whether the fused kernel takes `x`. XLA fuses the plain form better."""
    return x.dtype in DTYPES and parameter.dtype == "float32" and not in_xla()


def fused_batch_norm(x, gamma, beta, mean, variance, epsilon):
    """Batch normalisation over all axes but the last.

    Args:
        x: `(B, ..., C)`.
        gamma, beta: `(C,)`.
        mean, variance: `(C,)`, or None for those of the batch.
        epsilon: Added to the variance.

    Returns:
        The output, and the mean and the unbiased variance that were used.
    """
    training = mean is None
    empty = tf.zeros((0,), gamma.dtype)
    # Not tf.nn.fused_batch_norm, which raises epsilon to 1.001e-5.
    y, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
        x=x if x.shape.rank == 4 else tf.reshape(x, (1, 1, -1, x.shape[-1])),
        scale=gamma,
        offset=beta,
        mean=empty if training else mean,
        variance=empty if training else variance,
        epsilon=epsilon,
        is_training=training,
    )
    return (y if x.shape.rank == 4 else tf.reshape(y, tf.shape(x))), mean, variance
