"""The x-vector TDNN (Snyder et al., ICASSP 2018)."""

import keras
from keras import ops

from keras_resnets.layers import (
    MaskedBatchNormalization,
    MaskedConv1D,
    StatisticsPooling,
)
from keras_resnets.models.top import check_top, cosine_classifier
from keras_resnets.models.variable_length import VariableLengthModel, speech_inputs
from keras_resnets.weights import load_weights

# channels, kernel size, dilation: no padding, so that 15 frames give one.
FRAME_LAYERS = ((512, 5, 1), (512, 3, 2), (512, 3, 3), (512, 1, 1), (1500, 1, 1))
SHORTEST = 1 + sum(dilation * (size - 1) for _, size, dilation in FRAME_LAYERS)


def x_vector(
    include_top=False,
    weights=None,
    input_shape=None,
    pooling="stats",
    classes=None,
    classifier_activation=None,
    embedding_dim=512,
    frontend=None,
    spec_augment=None,
    name="x_vector",
):
    """x-vector speaker encoder, in WeSpeaker's form: 4.6 M parameters.

    Args:
        include_top: Whether a margin-free cosine classifier over `classes` speakers follows.
        weights: None, a `.keras` or `.weights.h5` file, or a WeSpeaker checkpoint.
        input_shape: `(frames, 80)`, or `(samples,)` with a front end. Default: any length of at
            least 15 frames.
        pooling: `"stats"` (mean and standard deviation), `"avg"`, or None for frame features
            `(B, T - 14, 1500)`.
        classes: Number of speakers of the classifier.
        classifier_activation: Activation of the classifier; None for logits.
        embedding_dim: Width of both dense layers; the second is the embedding.
        frontend: None, a name for `keras_resnets.layers.front_end`, or a layer like those.
        spec_augment: Layer for the normalised features that acts in training only.
        name: Name of the model.

    Returns:
        A `keras.Model`: features or waveform, and optionally `lengths`, to `(B, embedding_dim)`.

    Raises:
        ValueError: Unknown `pooling`, `include_top` without `classes`, fewer than 15 frames, or
            `weights` that do not fit.

    Example:

    >>> x_vector()(np.zeros((2, 20, 80), "float32")).shape
    TensorShape([2, 512])

    Reference:
        Snyder et al., X-Vectors, ICASSP 2018, table 1; layer widths as in `wespeaker`.
    """
    if pooling not in ("stats", "avg", None):
        raise ValueError(f'`pooling` must be "stats", "avg" or None. Received: pooling={pooling!r}')
    check_top(include_top, classes, pooling)
    inputs, x, frames = speech_inputs(input_shape, frontend, spec_augment)
    x = AtLeast(SHORTEST, name="at_least")(x)
    for i, (channels, size, dilation) in enumerate(FRAME_LAYERS, start=1):
        x = MaskedConv1D(
            channels,
            size,
            dilation_rate=dilation,
            padding="valid",
            activation="relu",
            kernel_initializer="he_uniform",
            name=f"frame{i}",
        )(x, mask=frames.mask(x))
        frames = frames.through(dilation * (size - 1) + 1)
        mask = frames.mask(x)
        x = MaskedBatchNormalization(name=f"frame{i}_bn", center=False, scale=False)(x, mask=mask)
    if pooling is not None:
        std = pooling == "stats"
        x = StatisticsPooling(std, ddof=1, epsilon=1e-7, floor="add", name="pool")(x, mask=mask)
        x = keras.layers.Dense(embedding_dim, "relu", name="segment1")(x)
        x = MaskedBatchNormalization(name="segment1_bn", center=False, scale=False)(x)
        x = keras.layers.Dense(embedding_dim, name="segment2")(x)
        x = frames.zero_empty(x)
    if include_top:
        x = cosine_classifier(x, classes, classifier_activation)
    return load_weights(VariableLengthModel(inputs, x, name=name), weights)


@keras.saving.register_keras_serializable("keras_resnets")
class AtLeast(keras.layers.Layer):
    """`(B, T, F)` as it is, if `T` is at least `frames`.

    A shorter batch is an error, unless it comes to a graph traced for any length: that gets zeros
    after its end, so that an exported model never fails.
    """

    def __init__(self, frames, **kwargs):
        super().__init__(**kwargs)
        self.frames = frames
        self.supports_masking = True

    def call(self, inputs):
        if inputs.shape[1] is not None:
            self.compute_output_shape(inputs.shape)
            return inputs
        lacking = ops.maximum(self.frames - ops.shape(inputs)[1], 0)
        return ops.pad(inputs, [(0, 0), (0, lacking), (0, 0)])

    def compute_mask(self, inputs, mask=None):
        """None: the network makes its masks anew, by the lengths."""
        return None

    def compute_output_shape(self, input_shape):
        if input_shape[1] is not None and input_shape[1] < self.frames:
            raise ValueError(
                f"At least {self.frames} frames are needed. Received: inputs.shape={input_shape}"
            )
        return input_shape

    def get_config(self):
        return {**super().get_config(), "frames": self.frames}
