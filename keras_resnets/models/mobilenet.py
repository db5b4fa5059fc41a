"""MobileNets: V1 with groups of any size, V3 from keras.applications."""

import keras

from keras_resnets.models.conv_norm_act import ConvNormAct, channel_axis
from keras_resnets.models.image_model import image_input, image_model, wrapped
from keras_resnets.weights import load_weights

# channels and stride of each pair of a grouped 3x3 and a dense 1x1 convolution
BLOCKS = [(64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *[(512, 1)] * 5]
BLOCKS += [(1024, 2), (1024, 1)]


def mobilenet_v1(
    group_size=1,
    groups=None,
    include_top=True,
    weights=None,
    input_tensor=None,
    input_shape=None,
    pooling=None,
    classes=1000,
    classifier_activation="softmax",
    name="mobilenet_v1",
    norm_act="batch_norm+relu",
):
    """MobileNet V1; with `group_size > 1`, grouped in place of depthwise convolutions.

    Args:
        group_size: channels of a group of the 3x3 convolutions; 1 is the original.
        groups: their number of groups instead, in layers with as many channels.
        include_top: whether global pooling and a classifier follow.
        weights: None, a Keras file, or timm's checkpoint of `mobilenetv1_100`, whose activation is
            `norm_act="batch_norm+relu6"`.
        input_tensor: Keras tensor to stand on; None makes an input.
        input_shape: `(height, width, channels)`; default: RGB of any size from 32 up.
        pooling: without the top, `"avg"`, `"max"` or None for feature maps.
        classes: number of classes.
        classifier_activation: None for logits.
        name: of the model.
        norm_act: as in `ConvNormAct`.

    Returns:
        A functional `keras.Model`.

    Raises:
        ValueError: both `group_size` and `groups`, or one that does not divide the channels.

    Example:

    >>> model = mobilenet_v1(group_size=8, include_top=False, input_shape=(64, 64, 3))
    >>> model.output_shape
    (None, 2, 2, 1024)

    Reference:
        Howard et al., MobileNets (arXiv 1704.04861); Jha et al., E2GC (arXiv 2006.15100).
    """
    if groups is not None:
        if group_size != 1:
            raise ValueError(
                "Give `groups` or `group_size`, not both. "
                f"Received: groups={groups}, group_size={group_size}"
            )
        group_size = None
    unit = ConvNormAct(norm_act)
    inputs = image_input(input_tensor, input_shape)
    x = unit(inputs, 32, 3, 2, name="stem_conv")
    for b, (filters, stride) in enumerate(BLOCKS, start=1):
        channels = x.shape[channel_axis()]
        parts = dict(groups=min(groups, channels)) if groups else dict(group_size=group_size)
        x = unit(x, channels, 3, stride, **parts, name=f"block{b}_conv1")
        x = unit(x, filters, 1, name=f"block{b}_conv2")
    model = image_model(inputs, x, include_top, pooling, classes, classifier_activation, name)
    return load_weights(model, weights)


def mobilenet_v3_small(
    alpha=1.0,
    include_top=True,
    weights=None,
    input_tensor=None,
    input_shape=None,
    pooling=None,
    classes=1000,
    classifier_activation="softmax",
    name="mobilenet_v3_small",
    include_preprocessing=False,
):
    """MobileNet V3 small, by keras.applications.

    Args:
        alpha: width multiplier, as 0.75.
        include_top: whether the classifier follows.
        weights: None, `"imagenet"`, a Keras file, or timm's checkpoint (`tf_...`). At odd
            sides the padding is timm's only if `input_shape` gives the sides.
        input_tensor: Keras tensor to stand on; None makes an input.
        input_shape: `(height, width, channels)`; default: RGB of any size from 32 up.
        pooling: without the top, `"avg"`, `"max"` or None.
        classes: number of classes.
        classifier_activation: None for logits.
        name: of the model.
        include_preprocessing: whether the model takes bytes, scaled inside to [-1, 1].

    Returns:
        A functional `keras.Model`.

    Example:

    >>> mobilenet_v3_small(0.75).count_params()
    2051552

    Reference:
        Howard et al., Searching for MobileNetV3, ICCV 2019 (arXiv 1905.02244).
    """
    return wrapped(
        keras.applications.MobileNetV3Small,
        weights,
        input_tensor,
        input_shape,
        "none" if include_preprocessing else "tf",
        include_top=include_top,
        pooling=pooling,
        classes=classes,
        classifier_activation=classifier_activation,
        name=name,
        alpha=alpha,
        include_preprocessing=include_preprocessing,
    )


def mobilenet_v3_large(
    alpha=1.0,
    include_top=True,
    weights=None,
    input_tensor=None,
    input_shape=None,
    pooling=None,
    classes=1000,
    classifier_activation="softmax",
    name="mobilenet_v3_large",
    include_preprocessing=False,
):
    """MobileNet V3 large, by keras.applications.

    Args:
        alpha: width multiplier.
        include_top: whether the classifier follows.
        weights: None, `"imagenet"`, a Keras file, or timm's checkpoint (`tf_...`). At odd
            sides the padding is timm's only if `input_shape` gives the sides.
        input_tensor: Keras tensor to stand on; None makes an input.
        input_shape: `(height, width, channels)`; default: RGB of any size from 32 up.
        pooling: without the top, `"avg"`, `"max"` or None.
        classes: number of classes.
        classifier_activation: None for logits.
        name: of the model.
        include_preprocessing: whether the model takes bytes, scaled inside to [-1, 1].

    Returns:
        A functional `keras.Model`.

    Example:

    >>> mobilenet_v3_large().count_params()
    5507432

    Reference:
        Howard et al., Searching for MobileNetV3, ICCV 2019 (arXiv 1905.02244).
    """
    return wrapped(
        keras.applications.MobileNetV3Large,
        weights,
        input_tensor,
        input_shape,
        "none" if include_preprocessing else "tf",
        include_top=include_top,
        pooling=pooling,
        classes=classes,
        classifier_activation=classifier_activation,
        name=name,
        alpha=alpha,
        include_preprocessing=include_preprocessing,
    )
