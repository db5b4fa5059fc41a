"""Densely connected networks: every layer sees the outputs of all before it."""

import keras

from keras_resnets.layers import PaddedMaxPooling2D
from keras_resnets.models.conv_norm_act import ConvNormAct, channel_axis
from keras_resnets.models.image_model import image_input, image_model
from keras_resnets.weights import load_weights

# growth, channels of the stem, layers of each block
VARIANTS = {
    121: (32, 64, (6, 12, 24, 16)),
    161: (48, 96, (6, 12, 36, 24)),
    169: (32, 64, (6, 12, 32, 32)),
    201: (32, 64, (6, 12, 48, 32)),
}


def densenet(
    depth,
    include_top=True,
    weights=None,
    input_tensor=None,
    input_shape=None,
    pooling=None,
    classes=1000,
    classifier_activation="softmax",
    name=None,
    norm_act="batch_norm+relu",
):
    """DenseNet of 121, 161, 169 or 201 layers, torchvision's network.

    Args:
        depth: number of layers.
        include_top: whether global pooling and a classifier follow.
        weights: None, a Keras file, or a public checkpoint (timm, torchvision).
        input_tensor: Keras tensor to stand on; None makes an input.
        input_shape: `(height, width, channels)`; default: RGB of any size from 32 up.
        pooling: without the top, `"avg"`, `"max"` or None for feature maps.
        classes: number of classes.
        classifier_activation: None for logits.
        name: of the model; default `densenet<depth>`.
        norm_act: as in `ConvNormAct`.

    Returns:
        A functional `keras.Model`.

    Raises:
        ValueError: unknown `depth`, sides that are too small, or `weights` that do not fit.

    Example:

    >>> densenet121(include_top=False, input_shape=(64, 64, 3)).output_shape
    (None, 2, 2, 1024)

    Reference:
        Huang et al., Densely Connected Convolutional Networks, CVPR 2017 (arXiv 1608.06993).
    """
    if depth not in VARIANTS:
        raise ValueError(f"`depth` must be one of {[*VARIANTS]}. Received: depth={depth}")
    growth, width, depths = VARIANTS[depth]
    kaiming = keras.initializers.VarianceScaling(2.0, "fan_in", "untruncated_normal")
    unit = ConvNormAct(norm_act, kernel_initializer=kaiming)
    inputs = image_input(input_tensor, input_shape)
    x = unit(inputs, width, 7, 2, name="stem_conv")
    x = PaddedMaxPooling2D(3, 2, (1, 1), name="stem_pool")(x)
    for b, count in enumerate(depths, start=1):
        if b > 1:
            x = transition(unit, x, f"transition{b - 1}")
        for i in range(1, count + 1):
            x = dense_layer(unit, x, growth, f"block{b}_layer{i}")
    x = unit.norm(x, name="norm")
    name = name or f"densenet{depth}"
    model = image_model(inputs, x, include_top, pooling, classes, classifier_activation, name)
    return load_weights(model, weights)


def dense_layer(unit, x, growth, name):
    """`growth` new channels behind those of `x`."""
    new = unit.norm(x, name=f"{name}_norm1")
    new = unit.conv(new, 4 * growth, 1, normalized=True, name=f"{name}_conv1")
    new = unit.norm(new, name=f"{name}_norm2")
    new = unit.conv(new, growth, 3, name=f"{name}_conv2")
    return keras.layers.Concatenate(channel_axis(), name=f"{name}_concat")([x, new])


def transition(unit, x, name):
    """Half the channels and half the sides."""
    x = unit.norm(x, name=f"{name}_norm")
    x = unit.conv(x, x.shape[channel_axis()] // 2, 1, name=f"{name}_conv")
    return keras.layers.AveragePooling2D(2, 2, name=f"{name}_pool")(x)


def _factory(depth, what):
    def factory(
        include_top=True,
        weights=None,
        input_tensor=None,
        input_shape=None,
        pooling=None,
        classes=1000,
        classifier_activation="softmax",
        name=f"densenet{depth}",
    ):
        return densenet(
            depth,
            include_top,
            weights,
            input_tensor,
            input_shape,
            pooling,
            classes,
            classifier_activation,
            name,
        )

    factory.__name__ = factory.__qualname__ = f"densenet{depth}"
    factory.__doc__ = f"""{what}

    Args:
        include_top: whether global pooling and a classifier follow.
        weights: None, a Keras file, or a public checkpoint (timm, torchvision).
        input_tensor: Keras tensor to stand on; None makes an input.
        input_shape: `(height, width, channels)`; default: RGB of any size from 32 up.
        pooling: without the top, `"avg"`, `"max"` or None for feature maps.
        classes: number of classes.
        classifier_activation: None for logits.
        name: of the model.

    Returns:
        A functional `keras.Model`; see `densenet`.
    """
    return factory


densenet121 = _factory(121, "DenseNet-121; 7,978,856 parameters.")
densenet161 = _factory(161, "DenseNet-161, growth 48; 28,681,000 parameters.")
densenet169 = _factory(169, "DenseNet-169; 14,149,480 parameters.")
densenet201 = _factory(201, "DenseNet-201; 20,013,928 parameters.")
