"""Filter response normalisation, and the activation that goes with it."""

import keras
from keras import ops

from keras_resnets.layers.moments import affine, upcast


class _PerChannel(keras.layers.Layer):
    """A layer with one parameter of each kind a channel."""

    def __init__(self, axis=-1, **kwargs):
        super().__init__(**kwargs)
        self.axis = axis

    def build(self, input_shape):
        rank = len(input_shape)
        if self.axis not in (1, -1, rank - 1) or input_shape[self.axis] is None:
            raise ValueError(
                "`inputs` must have channels, of a known number, on axis 1 or -1. "
                f"Received: inputs.shape={tuple(input_shape)}, axis={self.axis}"
            )
        self.broadcast_shape = [1] * rank
        self.broadcast_shape[self.axis] = input_shape[self.axis]

    def _parameter(self, name, initializer, shape):
        return self.add_weight(name=name, shape=shape, initializer=initializer, autocast=False)

    def _broadcast(self, parameter):
        return ops.reshape(parameter, self.broadcast_shape)

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {**super().get_config(), "axis": self.axis}


@keras.saving.register_keras_serializable("keras_resnets")
class FilterResponseNorm(_PerChannel):
    """`x / sqrt(mean(x^2) + epsilon) * gamma + beta`, the mean over one example's positions.

    Nothing is centred and no batch is seen: training and inference are the same.

    Args:
        axis: of the channels, -1 or 1.
        epsilon: added to the mean of squares.
        learn_epsilon: add the magnitude of one learned number too, which starts at `epsilon`; the
            paper's form for maps of 1x1, with `epsilon=1e-4`.
        beta_initializer, gamma_initializer: of the parameters.
        **kwargs: as `keras.layers.Layer`.

    Call arguments:
        inputs: `(B, ..., C)` or `(B, C, ...)`, of any rank from 3.

    Returns:
        As `inputs`.

    Raises:
        ValueError: channels on another axis, fewer than 3 axes, or an `epsilon` that is not
            positive.

    Example:

    >>> x = np.array([[[[3.0]], [[4.0]]]], "float32")
    >>> np.round(np.ravel(FilterResponseNorm()(x)), 3)
    array([0.849, 1.131], dtype=float32)

    Reference:
        Singh and Krishnan, Filter Response Normalization Layer, CVPR 2020 (arXiv 1911.09737),
        section 3.1.
    """

    def __init__(
        self,
        axis=-1,
        epsilon=1e-6,
        learn_epsilon=False,
        beta_initializer="zeros",
        gamma_initializer="ones",
        **kwargs,
    ):
        super().__init__(axis, **kwargs)
        if not epsilon > 0:
            raise ValueError(f"`epsilon` must be positive. Received: epsilon={epsilon}")
        self.epsilon = float(epsilon)
        self.learn_epsilon = learn_epsilon
        self.beta_initializer = keras.initializers.get(beta_initializer)
        self.gamma_initializer = keras.initializers.get(gamma_initializer)

    def build(self, input_shape):
        if len(input_shape) < 3:
            raise ValueError(f"`inputs` must have at least 3 axes. Received: {tuple(input_shape)}")
        super().build(input_shape)
        channels = (input_shape[self.axis],)
        self.gamma = self._parameter("gamma", self.gamma_initializer, channels)
        self.beta = self._parameter("beta", self.beta_initializer, channels)
        if self.learn_epsilon:
            start = keras.initializers.Constant(self.epsilon)
            self.learned_epsilon = self._parameter("learned_epsilon", start, ())

    def call(self, inputs):
        rank = len(inputs.shape)
        axes = [i for i in range(1, rank) if i != self.axis % rank]
        power = ops.mean(ops.square(upcast(inputs)), axes, keepdims=True) + self.epsilon
        if self.learn_epsilon:
            power = power + ops.abs(self.learned_epsilon)
        scale = ops.rsqrt(power) * self._broadcast(self.gamma)
        return affine(inputs, scale, self._broadcast(self.beta))

    def get_config(self):
        return {
            **super().get_config(),
            "epsilon": self.epsilon,
            "learn_epsilon": self.learn_epsilon,
            "beta_initializer": keras.initializers.serialize(self.beta_initializer),
            "gamma_initializer": keras.initializers.serialize(self.gamma_initializer),
        }


@keras.saving.register_keras_serializable("keras_resnets")
class ThresholdedLinearUnit(_PerChannel):
    """`max(x, tau)` with a learned threshold a channel, which starts at 0: as a ReLU.

    Args:
        axis: of the channels, -1 or 1.
        **kwargs: as `keras.layers.Layer`.

    Call arguments:
        inputs: `(B, ..., C)` or `(B, C, ...)`.

    Returns:
        As `inputs`.

    Example:

    >>> np.ravel(ThresholdedLinearUnit()(np.array([[-1.0, 2.0]], "float32")))
    array([0., 2.], dtype=float32)

    Reference:
        Singh and Krishnan, Filter Response Normalization Layer, CVPR 2020 (arXiv 1911.09737),
        section 3.2.
    """

    def build(self, input_shape):
        super().build(input_shape)
        self.tau = self._parameter("tau", "zeros", (input_shape[self.axis],))

    def call(self, inputs):
        return ops.maximum(inputs, ops.cast(self._broadcast(self.tau), inputs.dtype))
