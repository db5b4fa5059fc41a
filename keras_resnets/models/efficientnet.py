"""EfficientNet from keras.applications."""

import keras

from keras_resnets.models.image_model import wrapped


def efficientnet_b0(
    include_top=True,
    weights=None,
    input_tensor=None,
    input_shape=None,
    pooling=None,
    classes=1000,
    classifier_activation="softmax",
    name="efficientnet_b0",
):
    """EfficientNet-B0, by keras.applications; takes bytes, which are normalised inside.

    Args:
        include_top: whether the classifier follows.
        weights: None, `"imagenet"`, a Keras file, or timm's checkpoint (`tf_...`). At odd
            sides the padding is timm's only if `input_shape` gives the sides.
        input_tensor: Keras tensor to stand on; None makes an input.
        input_shape: `(height, width, channels)`; default: RGB of 224x224 with the top, else of any
            size from 32 up.
        pooling: without the top, `"avg"`, `"max"` or None.
        classes: number of classes.
        classifier_activation: None for logits.
        name: of the model.

    Returns:
        A functional `keras.Model`.

    Example:

    >>> efficientnet_b0(include_top=False, input_shape=(64, 64, 3)).output_shape
    (None, 2, 2, 1280)

    Reference:
        Tan and Le, EfficientNet, ICML 2019 (arXiv 1905.11946).
    """
    return wrapped(
        keras.applications.EfficientNetB0,
        weights,
        input_tensor,
        input_shape,
        "none",
        include_top=include_top,
        pooling=pooling,
        classes=classes,
        classifier_activation=classifier_activation,
        name=name,
    )
