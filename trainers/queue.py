"""A queue of embeddings that lives in the trainer's weights."""

import warnings

import keras
import tensorflow as tf

from keras_resnets.collectives import replica_count
from trainers.replicas import assign_everywhere


class EmbeddingQueue(keras.layers.Layer):
    """The embeddings of the last batches, newest first; the same on every replica.

    Args:
        size: int, rows.
        width: int, width of an embedding.

    Example:

    >>> import tensorflow as tf
    >>> queue = EmbeddingQueue(4, 2)
    >>> queue.push(tf.ones((3, 2)))
    >>> queue.weight_of_rows().numpy()
    array([1., 1., 1., 0.], dtype=float32)
    """

    def __init__(self, size, width, **kwargs):
        super().__init__(trainable=False, dtype="float32", **kwargs)
        self.rows = self.add_weight(shape=(size, width), initializer="zeros", name="rows")
        self.filled = self.add_weight(shape=(), dtype="int32", initializer="zeros", name="filled")
        self.built = True

    def push(self, embeddings, when=True):
        """Put the global batch's embeddings in front; to be called in a replica context.

        Args:
            embeddings: tensor (n, width).
            when: bool tensor; nothing happens where it is False.
        """
        held = tf.convert_to_tensor(self.rows)
        size, count = held.shape[0], tf.shape(embeddings)[0]
        rows = tf.concat([tf.cast(embeddings, held.dtype), held], 0)[:size]
        filled = tf.convert_to_tensor(self.filled)
        rows = tf.where(when, rows, held)
        filled = tf.where(when, tf.minimum(filled + count, size), filled)
        assign_everywhere([self.rows, self.filled], [tf.ensure_shape(rows, held.shape), filled])

    def weight_of_rows(self):
        """1 for the rows that hold an embedding, else 0."""
        return tf.cast(tf.range(self.rows.shape[0]) < tf.convert_to_tensor(self.filled), tf.float32)


def whole_batches(queue_length, rows):
    """A queue's length, rounded down to a multiple of the global batch of so many rows a replica.

    Raises:
        ValueError: the rows are not known, or more than the queue holds.
    """
    if rows is None:
        raise ValueError("A queue needs batches of a fixed size: `batch(drop_remainder=True)`.")
    batch = rows * replica_count()
    length = queue_length // batch * batch
    if not length:
        raise ValueError(
            "`queue_length` must be at least the global batch. "
            f"Received: queue_length={queue_length}, batch={batch}"
        )
    if length < queue_length:
        warnings.warn(
            f"`queue_length={queue_length}` is rounded down to {length}, a multiple of the global "
            f"batch of {batch}.",
            stacklevel=2,
        )
    return length
