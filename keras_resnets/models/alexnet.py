"""AlexNet in torchvision's form."""

import keras

from keras_resnets.initializers import TORCH_LINEAR
from keras_resnets.models.conv_norm_act import channel_axis
from keras_resnets.models.image_model import classifier, image_input, image_model
from keras_resnets.weights import load_weights


def alexnet(
    include_top=True,
    weights=None,
    input_tensor=None,
    input_shape=None,
    pooling=None,
    classes=1000,
    classifier_activation="softmax",
    name="alexnet",
):
    """AlexNet, the "one weird trick" variant of torchvision; 61,100,840 parameters.

    The five rectified convolutions are the layers `conv1_act` ... `conv5_act`.

    Args:
        include_top: whether the three dense layers follow.
        weights: None, a Keras file, or torchvision's checkpoint.
        input_tensor: Keras tensor to stand on; None makes an input.
        input_shape: `(height, width, channels)`; with the top 224x224, the default.
        pooling: without the top, `"avg"`, `"max"` or None for feature maps.
        classes: number of classes.
        classifier_activation: None for logits.
        name: of the model.

    Returns:
        A functional `keras.Model`.

    Raises:
        ValueError: sides whose features are not 6x6 with the top, or `weights` that do not fit.

    Example:

    >>> alexnet(include_top=False, input_shape=(96, 96, 3)).output_shape
    (None, 2, 2, 256)

    Reference:
        Krizhevsky, One weird trick for parallelizing convolutional neural networks (arXiv
        1404.5997).
    """
    if include_top and input_shape is None and input_tensor is None:
        input_shape = (224, 224, 3)
        if keras.config.image_data_format() == "channels_first":
            input_shape = (3, 224, 224)
    inputs = x = image_input(input_tensor, input_shape, minimum=63)
    convs = [(64, 11, 4, 2), (192, 5, 1, 2), (384, 3, 1, 1), (256, 3, 1, 1), (256, 3, 1, 1)]
    for k, (filters, size, stride, pad) in enumerate(convs, start=1):
        fan_in = size * size * x.shape[channel_axis()]
        x = keras.layers.ZeroPadding2D(pad, name=f"conv{k}_pad")(x)
        x = keras.layers.Conv2D(filters, size, stride, **_uniform(fan_in), name=f"conv{k}")(x)
        x = keras.layers.Activation("relu", name=f"conv{k}_act")(x)
        if k in (1, 2, 5):
            x = keras.layers.MaxPooling2D(3, 2, name=f"pool{k}")(x)
    if include_top:
        x = _top(x, classes, classifier_activation)
        pooling = None
    model = image_model(inputs, x, False, pooling, classes, classifier_activation, name)
    return load_weights(model, weights)


def _top(x, classes, activation):
    if sorted(x.shape[1:]) != [6, 6, 256]:
        raise ValueError(
            "`input_shape` must be 224x224 with `include_top`, so that the features are 6x6. "
            f"Received features of shape {tuple(x.shape[1:])}"
        )
    if channel_axis() == -1:  # flattened in the order of the public weights
        x = keras.layers.Permute((3, 1, 2), name="channels_first")(x)
    x = keras.layers.Flatten(data_format="channels_last", name="flatten")(x)
    for k in (1, 2):
        x = keras.layers.Dropout(0.5, name=f"dropout{k}")(x)
        x = keras.layers.Dense(4096, **_uniform(x.shape[-1]), name=f"fc{k}")(x)
        x = keras.layers.Activation("relu", name=f"fc{k}_act")(x)
    return classifier(x, classes, activation)


def _uniform(fan_in):
    """torch's default initialisation."""
    bias = keras.initializers.RandomUniform(-(fan_in**-0.5), fan_in**-0.5)
    return {"kernel_initializer": TORCH_LINEAR.clone(), "bias_initializer": bias}
