"""What a trainer's step needs to mean the same on one device and on several replicas."""

import tensorflow as tf


def share_of_global_batch(rows):
    """Factor that turns a replica's mean over its own rows into its part of the global mean."""
    replicas = tf.distribute.get_strategy().num_replicas_in_sync
    if replicas == 1:
        return 1.0
    rows = tf.cast(rows, tf.float32)
    return rows * replicas / tf.distribute.get_replica_context().all_reduce("SUM", rows)


def update_loss(trainer, loss, rows):
    """Count a step's loss in the trainer's `loss` metric.

    Args:
        trainer: `keras.Model`.
        loss: what its `compute_loss` returned: this replica's mean divided by the replicas.
        rows: examples that this replica had, perhaps none.
    """
    replicas = tf.distribute.get_strategy().num_replicas_in_sync
    mean = tf.where(rows > 0, loss * replicas, 0.0)
    next(m for m in trainer.metrics if m.name == "loss").update_state(mean, sample_weight=rows)
