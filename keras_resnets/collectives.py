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


def cross_replica_concat(x):
    """The rows of all replicas, in replica order; gradients flow back to the replica of each row.

    Args:
        x: Tensor of the same shape on every replica, rank 1 or more: give the dataset's `batch`
            `drop_remainder=True`.

    Returns:
        A tensor with the rows of every replica along axis 0; `x` itself with one replica and on the
        other backends.

    Example:

    >>> cross_replica_concat(keras.ops.ones((2, 3))).shape
    TensorShape([2, 3])
    """
    if replica_count() == 1:
        return x
    import tensorflow as tf

    return tf.distribute.get_replica_context().all_gather(x, axis=0)


def replica_index():
    """Which replica of the current distribution strategy this is, from 0.

    Returns:
        A Python integer 0 with one replica and on the other backends, else an integer tensor.

    Example:

    >>> replica_index()
    0
    """
    if replica_count() == 1:
        return 0
    import tensorflow as tf

    return tf.distribute.get_replica_context().replica_id_in_sync_group


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
