import tensorflow as tf


def assert_finite(name, finite):
    """Stop a graph where a row is not finite; under XLA, which has no such operation, go on.

    Args:
        name: What the message calls the tensor.
        finite: Booleans, whether each row is finite.
    """
    row = tf.argmin(tf.cast(finite, tf.int32))
    tf.debugging.Assert(
        tf.reduce_all(finite), [f"`{name}` must be finite. Received: row", row, "is not"]
    )
