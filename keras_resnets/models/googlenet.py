"""GoogLeNet with batch normalisation, torchvision's form."""

import keras

from keras_resnets.layers import AdaptiveMeanPooling2D, PaddedMaxPooling2D
from keras_resnets.models.conv_norm_act import ConvNormAct, channel_axis
from keras_resnets.models.image_model import image_input, image_model, like
from keras_resnets.weights import load_weights

# 1x1 | 1x1, 3x3 | 1x1, "5x5" | channels behind the pooling
BLOCKS = {
    "3a": (64, 96, 128, 16, 32, 32),
    "3b": (128, 128, 192, 32, 96, 64),
    "4a": (192, 96, 208, 16, 48, 64),
    "4b": (160, 112, 224, 24, 64, 64),
    "4c": (128, 128, 256, 24, 64, 64),
    "4d": (112, 144, 288, 32, 64, 64),
    "4e": (256, 160, 320, 32, 128, 128),
    "5a": (256, 160, 320, 32, 128, 128),
    "5b": (384, 192, 384, 48, 128, 128),
}


def googlenet(
    include_top=True,
    weights=None,
    input_tensor=None,
    input_shape=None,
    pooling=None,
    classes=1000,
    classifier_activation="softmax",
    name="googlenet",
    fix_5x5=False,
    aux_logits=False,
):
    """GoogLeNet (Inception v1 with batch normalisation).

    Args:
        include_top: whether global pooling and a classifier follow.
        weights: None, a Keras file, or torchvision's checkpoint.
        input_tensor: Keras tensor to stand on; None makes an input.
        input_shape: `(height, width, channels)`; default: RGB of any size from 32 up.
        pooling: without the top, `"avg"`, `"max"` or None for feature maps.
        classes: number of classes.
        classifier_activation: None for logits.
        name: of the model.
        fix_5x5: 5x5 convolutions where the paper has them; torchvision has 3x3 by mistake.
        aux_logits: also put out the logits of the two auxiliary classifiers, for training: their
            losses count 0.3 in the paper.

    Returns:
        A functional `keras.Model`; with `aux_logits` its outputs are the classifier's and those of
        the heads behind blocks 4a and 4d.

    Raises:
        ValueError: `aux_logits` without the top, sides that are too small, or `weights` that do
            not fit.

    Example:

    >>> googlenet(include_top=False, input_shape=(64, 64, 3)).output_shape
    (None, 2, 2, 1024)

    Reference:
        Szegedy et al., Going Deeper with Convolutions, CVPR 2015 (arXiv 1409.4842).
    """
    if aux_logits and not include_top:
        raise ValueError("`aux_logits=True` needs the classifier. Received: include_top=False")
    init = keras.initializers.TruncatedNormal(stddev=0.01)
    unit = ConvNormAct(epsilon=1e-3, kernel_initializer=init)
    inputs = image_input(input_tensor, input_shape)
    x = unit(inputs, 64, 7, 2, name="conv1_conv")
    x = ceil_pool(x, 3, "pool1")
    x = unit(x, 64, 1, name="conv2_conv")
    x = unit(x, 192, 3, name="conv3_conv")
    x = ceil_pool(x, 3, "pool2")
    aux = []
    for block, widths in BLOCKS.items():
        if block in ("4a", "5a"):
            x = ceil_pool(x, 3 if block == "4a" else 2, f"pool{int(block[0]) - 1}")
        x = inception(unit, x, widths, 5 if fix_5x5 else 3, f"inception{block}")
        if aux_logits and block in ("4a", "4d"):
            aux.append(auxiliary(unit, x, classes, f"aux{len(aux) + 1}"))
    model = image_model(
        inputs, x, include_top, pooling, classes, classifier_activation, name, dropout=0.2
    )
    if aux:
        model = like(model, keras.Model(model.input, [model.output, *aux], name=name))
    return load_weights(model, weights)


def inception(unit, x, widths, size, name):
    """Four branches side by side."""
    ones, reduce3, three, reduce5, five, pooled = widths
    a = unit(x, ones, 1, name=f"{name}_branch1_conv")
    b = unit(x, reduce3, 1, name=f"{name}_branch2_0_conv")
    b = unit(b, three, 3, name=f"{name}_branch2_1_conv")
    c = unit(x, reduce5, 1, name=f"{name}_branch3_0_conv")
    c = unit(c, five, size, name=f"{name}_branch3_1_conv")
    d = keras.layers.MaxPooling2D(3, 1, "same", name=f"{name}_pool")(x)
    d = unit(d, pooled, 1, name=f"{name}_branch4_1_conv")
    return keras.layers.Concatenate(channel_axis(), name=name)([a, b, c, d])


def auxiliary(unit, x, classes, name):
    """A classifier on inner features. They are flattened in torch's order, channels first."""
    x = AdaptiveMeanPooling2D(4, name=f"{name}_pool")(x)
    x = unit(x, 128, 1, name=f"{name}_conv")
    if channel_axis() == -1:
        x = keras.layers.Permute((3, 1, 2), name=f"{name}_permute")(x)
    x = keras.layers.Flatten(data_format="channels_last", name=f"{name}_flatten")(x)
    x = keras.layers.Dense(1024, "relu", name=f"{name}_fc1")(x)
    x = keras.layers.Dropout(0.7, name=f"{name}_dropout")(x)
    return keras.layers.Dense(classes, name=f"{name}_fc2")(x)


def ceil_pool(x, size, name):
    """Max pooling of stride 2 whose last window may hang over the edge."""
    return PaddedMaxPooling2D(size, 2, (0, 1), name=name)(x)
