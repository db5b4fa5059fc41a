"""Several small networks trained at once: every weight has a first axis of members."""

import keras
import numpy as np
import tensorflow as tf
from keras import ops


@keras.saving.register_keras_serializable("keras_resnets")
class EnsembleDense(keras.layers.Layer):
    """A dense layer of every member, each with weights of its own.

    Args:
        members: how many.
        units: of each.
        activation: as in `keras.layers.Dense`.
        seed: of the weights.

    Example:

    >>> from tuners.ensemble import EnsembleDense
    >>> EnsembleDense(5, 2)(np.ones((1, 8, 3))).shape  # (members or 1, rows, columns)
    TensorShape([5, 8, 2])
    """

    def __init__(self, members, units, activation=None, seed=0, **kwargs):
        super().__init__(**kwargs)
        self.members = members
        self.units = units
        self.activation = keras.activations.get(activation)
        self.seed = seed

    def build(self, shape):
        def initialize(shape, dtype):
            seeds = np.random.default_rng(self.seed).integers(2**31, size=self.members)
            members = [keras.initializers.GlorotUniform(int(s))(shape[1:], dtype) for s in seeds]
            return ops.stack(members)

        self.kernel = self.add_weight(
            shape=(self.members, shape[-1], self.units), initializer=initialize, name="kernel"
        )
        self.bias = self.add_weight(shape=(self.members, 1, self.units), name="bias")

    def call(self, x):
        return self.activation(ops.matmul(x, self.kernel) + self.bias)

    def compute_output_shape(self, shape):
        return (self.members, *shape[1:-1], self.units)

    def get_config(self):
        return {
            **super().get_config(),
            "members": self.members,
            "units": self.units,
            "activation": keras.activations.serialize(self.activation),
            "seed": self.seed,
        }


class EnsembleTraining:
    """Adam on all members at once, every one on batches of its own, in one compiled loop.

    Args:
        model: of `EnsembleDense`s, from `(members or 1, rows, columns)` to
            `(members, rows, outputs)`.
        loss: of targets and outputs, element by element.
        variables: those that are trained; default: all.
        weight_decay: of Adam's.
    """

    def __init__(self, model, loss, variables=None, weight_decay=None):
        self.model = model
        self.loss = loss
        self.variables = model.trainable_variables if variables is None else variables
        self.optimizer = keras.optimizers.Adam(weight_decay=weight_decay)
        self.optimizer.build(self.variables)

    def reset(self):
        """Forgets the moments of earlier training."""
        for variable in self.optimizer.variables:
            if variable is not self.optimizer._learning_rate:
                variable.assign(ops.zeros_like(variable))

    def run(self, inputs, targets, batches, learning_rate):
        """Trains on `inputs[batch]`, `targets[batch]` for every batch.

        Args:
            inputs, targets: arrays `(rows, columns)`; targets that are NaN don't count.
            batches: whole numbers `(steps, members, batch size)`.
            learning_rate: of all these steps.
        """
        self.optimizer.learning_rate = learning_rate
        arrays = (np.asarray(array, "float32") for array in (inputs, targets))
        self._run(*map(tf.constant, arrays), tf.constant(batches, tf.int32))

    @tf.function(
        input_signature=[
            tf.TensorSpec((None, None), tf.float32),
            tf.TensorSpec((None, None), tf.float32),
            tf.TensorSpec((None, None, None), tf.int32),
        ],
        reduce_retracing=True,
    )
    def _run(self, inputs, targets, batches):
        known = tf.cast(tf.math.is_finite(targets), tf.float32)
        targets = tf.where(tf.math.is_finite(targets), targets, 0.0)
        for batch in batches:
            x, y, counts = (tf.gather(array, batch) for array in (inputs, targets, known))
            with tf.GradientTape() as tape:
                losses = counts * self.loss(y, self.model(x, training=True))
                # a mean of rows, a sum of members: each learns as if it were alone
                loss = tf.reduce_sum(losses) / tf.cast(tf.shape(batch)[1], tf.float32)
            self.optimizer.apply(tape.gradient(loss, self.variables), self.variables)


def epochs_of_batches(members, rows, epochs, batch_size, rng, bootstrap=False):
    """Whole numbers below `rows`, `(steps, members, batch_size)`: shuffled epochs of each member.

    The last batch of an epoch is filled from its beginning. With `bootstrap`, a member's epochs
    are of one resample, with replacement.
    """
    steps = -(-rows // batch_size)
    found = np.empty((epochs, steps * batch_size, members), int)
    for member in range(members):
        own = rng.integers(rows, size=rows) if bootstrap else np.arange(rows)
        for epoch in range(epochs):
            found[epoch, :, member] = np.resize(rng.permutation(own), steps * batch_size)
    return found.reshape(epochs * steps, batch_size, members).transpose(0, 2, 1)
