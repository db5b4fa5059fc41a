"""What the replicas of a `tf.distribute` strategy tell one another. One replica: the identity."""

import keras


def cross_replica_mean(x):
    """Mean of `x` over the replicas of the current distribution strategy.

    Differentiable. JAX computes on global arrays, where every mean is one over all devices already;
    there, under torch, and outside a strategy, `x` is returned.

    Args:
        x: Tensor of the same shape on every replica.

    Returns:
        A tensor of the shape of `x`.

    Example:

    >>> float(cross_replica_mean(keras.ops.convert_to_tensor(3.0)))
    3.0
    """
    if keras.backend.backend() != "tensorflow":
        return x
    import tensorflow as tf

    context = tf.distribute.get_replica_context()
    if context is None or context.num_replicas_in_sync == 1:
        return x
    return context.all_reduce(tf.distribute.ReduceOp.MEAN, x)


def replica_count():
    """The number of replicas of the current distribution strategy.

    Returns:
        A Python integer; 1 outside a strategy and on the other backends.

    Example:

    >>> replica_count()
    1
    """
    if keras.backend.backend() != "tensorflow":
        return 1
    import tensorflow as tf

    return tf.distribute.get_strategy().num_replicas_in_sync
