"""What a trainer's step needs to mean the same on one device and on several replicas."""

import warnings

import keras
import tensorflow as tf


def synchronize_batch_norm(trainer):
    """Every `BatchNormalization` inside takes its statistics of the global batch."""
    for layer in trainer._flatten_layers():
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.synchronized = True


def jit_without_replicas(trainer, jit_compile):
    """`jit_compile`, switched off with a warning under several replicas: Keras cannot."""
    if trainer.distribute_strategy.num_replicas_in_sync > 1 and jit_compile is True:
        warnings.warn("`jit_compile=True` is ignored with several replicas.", stacklevel=3)
        return False
    return jit_compile


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


def assign_everywhere(variables, values):
    """Assign variables in a replica context; under a strategy each device takes its replica's.

    Args:
        variables: list of `keras.Variable`.
        values: list of tensors, the same on every replica.
    """

    def assign_all(strategy, values):
        for variable, value in zip(variables, values, strict=True):
            strategy.extended.update(
                variable.value,
                lambda held, new: held.assign(tf.cast(new, held.dtype)),
                args=(value,),
                group=False,
            )

    # As Keras' own optimizers do: variables are mirrored, so they are updated across replicas.
    tf.__internal__.distribute.interim.maybe_merge_call(
        assign_all, tf.distribute.get_strategy(), list(values)
    )


def global_mean(values, weights):
    """A replica's part of the weighted mean over the global batch; 0 where nothing has weight."""
    weights = tf.cast(weights, values.dtype)
    total = tf.reduce_sum(weights)
    if tf.distribute.get_strategy().num_replicas_in_sync > 1:
        total = tf.distribute.get_replica_context().all_reduce("SUM", total)
    part = tf.reduce_sum(tf.where(weights > 0, values, 0) * weights)
    return part / tf.where(total > 0, total, 1)
