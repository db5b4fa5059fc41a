"""The r-vector: a ResNet over the spectrogram as an image (Zeinali et al. 2019, WeSpeaker)."""

import types

import keras
from keras import ops

from keras_resnets.layers import (
    MaskedBatchNormalization,
    MaskedConv2D,
    StatisticsPooling,
)
from keras_resnets.models.residual import RUN
from keras_resnets.models.resnet import MAX_FLAT
from keras_resnets.models.top import check_top, cosine_classifier
from keras_resnets.models.variable_length import VariableLengthModel, speech_inputs
from keras_resnets.weights import load_weights

# blocks a stage, bottleneck
DEPTHS = {
    18: ((2, 2, 2, 2), False),
    34: ((3, 4, 6, 3), False),
    50: ((3, 4, 6, 3), True),
    101: ((3, 4, 23, 3), True),
    152: ((3, 8, 36, 3), True),
    221: ((6, 16, 48, 3), True),
    293: ((10, 20, 64, 3), True),
}


def r_vector(
    depth=34,
    include_top=False,
    weights=None,
    input_shape=None,
    pooling="stats",
    classes=None,
    classifier_activation=None,
    embedding_dim=256,
    width=32,
    frontend=None,
    spec_augment=None,
    name=None,
):
    """r-vector speaker encoder: a 2-D ResNet over log-mel features; 6.6 M parameters at depth 34.

    Args:
        depth: 18 or 34 (basic blocks), 50, 101, 152, 221 or 293 (bottlenecks).
        include_top: Whether a margin-free cosine classifier over `classes` speakers follows.
        weights: None, a `.keras` or `.weights.h5` file, or a WeSpeaker checkpoint.
        input_shape: `(frames, bins)`, or `(samples,)` with a front end. Default: any number of
            frames of 80 bins.
        pooling: `"stats"` (mean and standard deviation over time), `"avg"`, or None for the frame
            features `(B, T / 8, channels x bins / 8)`.
        classes: Number of speakers of the classifier.
        classifier_activation: Activation of the classifier; None for logits.
        embedding_dim: Width of the embedding.
        width: Channels of the first stage.
        frontend: None, a name for `keras_resnets.layers.front_end`, or a layer like those.
        spec_augment: Layer for the normalised features that acts in training only.
        name: Name of the model; default `r_vector_<depth>`.

    Returns:
        A `keras.Model`: features or waveform, and optionally `lengths`, to `(B, embedding_dim)`.

    Raises:
        ValueError: Unknown `depth` or `pooling`, `include_top` without `classes`, or `weights` that
            do not fit.

    Example:

    >>> r_vector(18, width=8)(np.zeros((2, 20, 80), "float32")).shape
    TensorShape([2, 256])

    Reference:
        Zeinali et al., BUT System Description to VoxCeleb Speaker Recognition Challenge 2019
        (arXiv 1910.12592), table 2.
    """
    if depth not in DEPTHS:
        raise ValueError(f"`depth` must be one of {[*DEPTHS]}. Received: depth={depth}")
    if pooling not in ("stats", "avg", None):
        raise ValueError(f'`pooling` must be "stats", "avg" or None. Received: pooling={pooling!r}')
    check_top(include_top, classes, pooling)
    blocks, bottleneck = DEPTHS[depth]
    inputs, x, frames = speech_inputs(input_shape, frontend, spec_augment)
    x = AsImage(name="image")(x)
    x, frames = conv_bn(x, frames, width, 3, names=("conv1", "bn1"))
    nested = 3 * sum(blocks) > MAX_FLAT
    for s, count in enumerate(blocks, start=1):
        filters = width * 2 ** (s - 1)
        x, frames = block(x, frames, filters, 2 if s > 1 else 1, bottleneck, f"stage{s}_block1")
        names = [f"stage{s}_block{b}" for b in range(2, count + 1)]
        for start in range(0, len(names), RUN):
            run = nested_blocks if nested else chain
            x, frames = run(x, frames, filters, bottleneck, names[start : start + RUN])
    mask = frames.mask(x)
    x = ChannelsThenBins(name="flatten")(x)
    if pooling is not None:
        std = pooling == "stats"
        x = StatisticsPooling(std, ddof=1, epsilon=1e-7, floor="add", name="pool")(x, mask=mask)
        x = keras.layers.Dense(embedding_dim, name="embedding")(x)
        x = frames.zero_empty(x)
    if include_top:
        x = cosine_classifier(x, classes, classifier_activation)
    model = VariableLengthModel(inputs, x, name=name or f"r_vector_{depth}")
    return load_weights(model, weights)


def chain(x, frames, filters, bottleneck, names):
    """Blocks that keep the shape."""
    for name in names:
        x, frames = block(x, frames, filters, 1, bottleneck, name)
    return x, frames


def nested_blocks(x, frames, filters, bottleneck, names):
    """`chain` as a model inside the model."""
    mask = keras.Input((None,), dtype="bool", optional=True, name="mask")
    features = keras.Input(x.shape[1:], name="features")
    given = types.SimpleNamespace(mask=lambda x: mask, through=lambda strides: given)
    y, _ = chain(features, given, filters, bottleneck, names)
    inner = keras.Model([features, mask], y, name=f"{names[0]}_to_{names[-1].split('_')[1]}")
    # the mask is an input: none comes with `x` by Keras' own ways, where it may not be None
    return inner([x, frames.mask(x)], mask=[None, None]), frames


def block(x, frames, filters, stride, bottleneck, name):
    """Basic or bottleneck residual block with its stride in the first 3x3 convolution."""
    out = 4 * filters if bottleneck else filters
    convs = [(filters, 3, stride), (out, 3, 1)]
    if bottleneck:
        convs = [(filters, 1, 1), (filters, 3, stride), (out, 1, 1)]
    shortcut = x
    if stride > 1 or x.shape[-1] != out:
        names = (f"{name}_shortcut_conv", f"{name}_shortcut_bn")
        shortcut, _ = conv_bn(x, frames, out, 1, stride, relu=False, names=names)
    for i, (channels, size, step) in enumerate(convs, start=1):
        names = (f"{name}_conv{i}", f"{name}_bn{i}")
        x, frames = conv_bn(x, frames, channels, size, step, relu=i < len(convs), names=names)
    x = keras.layers.Add(name=f"{name}_add")([x, shortcut])
    return keras.layers.ReLU(name=f"{name}_out")(x), frames


def conv_bn(x, frames, filters, size, stride=1, relu=True, *, names):
    """Convolution, normalisation and ReLU, and the frames after the stride."""
    conv, bn = names
    x = MaskedConv2D(
        filters, size, stride, use_bias=False, kernel_initializer="he_normal", name=conv
    )(x, mask=frames.mask(x))
    frames = frames.through(strides=stride)
    x = MaskedBatchNormalization(name=bn)(x, mask=frames.mask(x))
    return (keras.layers.ReLU(name=f"{bn}_relu")(x) if relu else x), frames


@keras.saving.register_keras_serializable("keras_resnets")
class AsImage(keras.layers.Layer):
    """`(B, T, F)` to `(B, T, F, 1)`."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.supports_masking = True

    def call(self, inputs):
        return inputs[..., None]

    def compute_output_shape(self, input_shape):
        return (*input_shape, 1)


@keras.saving.register_keras_serializable("keras_resnets")
class ChannelsThenBins(keras.layers.Layer):
    """`(B, T, F, C)` to `(B, T, C F)`, the order in which public checkpoints flatten."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.supports_masking = True

    def call(self, inputs):
        bins, channels = inputs.shape[2:]
        frames = ops.shape(inputs)[1]
        return ops.reshape(ops.transpose(inputs, (0, 1, 3, 2)), (-1, frames, channels * bins))

    def compute_output_shape(self, input_shape):
        return (*input_shape[:2], input_shape[2] * input_shape[3])
