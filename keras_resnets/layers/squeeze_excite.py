import keras
from keras import ops

from keras_resnets.layers.masking import masked_mean


@keras.saving.register_keras_serializable("keras_resnets")
class SqueezeExcite1D(keras.layers.Layer):
    """Squeeze-and-excitation over time: rescales the channels by a gate read from their means.

    `s = mean_t(x)`, `g = sigmoid(W2 relu(W1 s + b1) + b2)`, output `x * g`.

    Args:
        bottleneck: Width of the hidden layer.
        **kwargs: As `keras.layers.Layer`.

    Call arguments:
        inputs: `(B, T, C)`.
        mask: `(B, T)` boolean, True at valid frames; the mean is over these. Optional.

    Returns:
        `(B, T, C)`.

    Example:

    >>> SqueezeExcite1D(bottleneck=4)(np.ones((2, 10, 8), "float32")).shape
    TensorShape([2, 10, 8])

    Reference:
        Hu et al., Squeeze-and-Excitation Networks, CVPR 2018; Desplanques et al. 2020
        (arXiv 2005.07143), equations 3 and 4.
    """

    def __init__(self, bottleneck=128, **kwargs):
        super().__init__(**kwargs)
        if bottleneck < 1:
            raise ValueError(f"`bottleneck` must be at least 1. Received: bottleneck={bottleneck}")
        self.bottleneck = bottleneck
        self.supports_masking = True

    def build(self, input_shape):
        channels = input_shape[-1]
        self.fc1 = keras.layers.Dense(self.bottleneck, "relu", dtype=self.dtype_policy, name="fc1")
        self.fc2 = keras.layers.Dense(channels, "sigmoid", dtype=self.dtype_policy, name="fc2")
        self.fc1.build((None, 1, channels))
        self.fc2.build((None, 1, self.bottleneck))

    def call(self, inputs, mask=None):
        mean = masked_mean(ops.cast(inputs, "float32"), mask)
        return inputs * self.fc2(self.fc1(ops.cast(mean, inputs.dtype)))

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {**super().get_config(), "bottleneck": self.bottleneck}
