"""Several small networks trained at once: every weight has a first axis of members."""

import keras
import numpy as np
import tensorflow as tf
from keras import ops

BETA_1, BETA_2, EPSILON = 0.9, 0.999, 1e-7  # Adam's


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
        self.bias = self.add_weight(
            shape=(self.members, 1, self.units), initializer="zeros", name="bias"
        )

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
        weight_decay: so many times the weights are added to the gradient.
    """

    def __init__(self, model, loss, weight_decay=0.0):
        self.model = model
        self.loss = loss
        self.weight_decay = weight_decay
        self.shapes = [variable.shape for variable in model.trainable_variables]
        self.sizes = [int(np.prod(shape)) for shape in self.shapes]

    def run(self, inputs, targets, batches, rates, frozen=()):
        """Trains on `inputs[batch]`, `targets[batch]` for every batch.

        Args:
            inputs, targets: arrays `(rows, columns)`; targets that are NaN don't count.
            batches: whole numbers `(steps, members, batch size)`.
            rates: the learning rates of the steps.
            frozen: which of the model's variables stay as they are.
        """
        kept = {id(variable) for variable in frozen}
        variables = self.model.trainable_variables
        trained = np.repeat([id(variable) not in kept for variable in variables], self.sizes)
        start = np.concatenate([ops.convert_to_numpy(v).ravel() for v in variables])
        flat = self._run(
            *(np.asarray(array, "float32") for array in (start, inputs, targets, trained)),
            np.asarray(batches, "int32"),
            np.asarray(rates, "float32"),
        )
        for variable, value in zip(variables, self._weights(flat)):
            variable.assign(value)

    @tf.function(
        input_signature=[
            tf.TensorSpec((None,), tf.float32),
            tf.TensorSpec((None, None), tf.float32),
            tf.TensorSpec((None, None), tf.float32),
            tf.TensorSpec((None,), tf.float32),
            tf.TensorSpec((None, None, None), tf.int32),
            tf.TensorSpec((None,), tf.float32),
        ]
    )
    def _run(self, flat, inputs, targets, trained, batches, rates):
        known = tf.math.is_finite(targets)
        targets = tf.where(known, targets, 0.0)
        known = tf.cast(known, tf.float32)
        rows = tf.cast(tf.shape(batches)[2], tf.float32)
        momentum, square = tf.zeros_like(flat), tf.zeros_like(flat)
        for step in tf.range(tf.shape(batches)[0]):
            x, y, counts = (tf.gather(array, batches[step]) for array in (inputs, targets, known))
            with tf.GradientTape() as tape:
                tape.watch(flat)
                outputs, _ = self.model.stateless_call(self._weights(flat), [], x)
                # a mean of rows, a sum of members: each learns as if it were alone
                loss = tf.reduce_sum(counts * self.loss(y, outputs)) / rows
            gradient = tape.gradient(loss, flat) + self.weight_decay * flat
            time = tf.cast(step + 1, tf.float32)
            momentum = BETA_1 * momentum + (1 - BETA_1) * gradient
            square = BETA_2 * square + (1 - BETA_2) * gradient**2
            update = momentum / (1 - BETA_1**time)
            update /= tf.sqrt(square / (1 - BETA_2**time)) + EPSILON
            flat -= rates[step] * trained * update
        return flat

    def _weights(self, flat):
        return [tf.reshape(*part) for part in zip(tf.split(flat, self.sizes), self.shapes)]


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
