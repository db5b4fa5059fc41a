"""VGG from keras.applications."""

import keras

from keras_resnets.models.image_model import wrapped


def vgg16(
    include_top=True,
    weights=None,
    input_tensor=None,
    input_shape=None,
    pooling=None,
    classes=1000,
    classifier_activation="softmax",
    name="vgg16",
):
    """VGG-16, by keras.applications; 138,357,544 parameters.

    Args:
        include_top: whether the three dense layers follow; the images are then 224x224.
        weights: None, `"imagenet"`, a Keras file, or a public checkpoint (torchvision, timm).
        input_tensor: Keras tensor to stand on; None makes an input.
        input_shape: `(height, width, channels)`.
        pooling: without the top, `"avg"`, `"max"` or None.
        classes: number of classes.
        classifier_activation: None for logits.
        name: of the model.

    Returns:
        A functional `keras.Model`.

    Example:

    >>> vgg16(include_top=False).count_params()
    14714688

    Reference:
        Simonyan and Zisserman, ICLR 2015 (arXiv 1409.1556).
    """
    return wrapped(
        keras.applications.VGG16,
        weights,
        input_tensor,
        input_shape,
        "caffe",
        include_top=include_top,
        pooling=pooling,
        classes=classes,
        classifier_activation=classifier_activation,
        name=name,
    )
