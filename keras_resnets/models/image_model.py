"""Input, classifier and checks that the 2-D families share, in the manner of keras.applications."""

import keras

from keras_resnets.models.conv_norm_act import TORCH_LINEAR, channel_axis
from keras_resnets.weights import load_weights


def image_input(input_tensor=None, input_shape=None, minimum=32, channels=3):
    """The tensor of images.

    Args:
        input_tensor: what the model is to stand on; None makes an input.
        input_shape: `(height, width, channels)`, sides may be None; channels first where Keras is
            set so. Default: any size.
        minimum: least side.
        channels: of the default shape.
    """
    first = channel_axis() == 1
    if input_tensor is None:
        default = (channels, None, None) if first else (None, None, channels)
        input_tensor = keras.Input(default if input_shape is None else input_shape, name="images")
    shape = input_tensor.shape
    if len(shape) != 4 or shape[channel_axis()] is None:
        raise ValueError(
            "`input_shape` must be (height, width, channels), with known channels. "
            f"Received: input_shape={tuple(shape[1:])}"
        )
    sides = shape[2:] if first else shape[1:3]
    if any(side is not None and side < minimum for side in sides):
        raise ValueError(
            f"`input_shape` must have sides of at least {minimum}. "
            f"Received: input_shape={tuple(shape[1:])}"
        )
    return input_tensor


def image_model(
    inputs,
    x,
    include_top,
    pooling,
    classes,
    classifier_activation,
    name,
    dropout=0.0,
    dense_init="torch",
):
    """Global pooling and classifier on the features `x`, and the model from `inputs` to there."""
    if pooling not in (None, "avg", "max"):
        raise ValueError(f'`pooling` must be None, "avg" or "max". Received: pooling={pooling!r}')
    if include_top or pooling == "avg":
        x = keras.layers.GlobalAveragePooling2D(name="avg_pool")(x)
    elif pooling == "max":
        x = keras.layers.GlobalMaxPooling2D(name="max_pool")(x)
    if include_top:
        if dropout:
            x = keras.layers.Dropout(dropout, name="dropout")(x)
        x = classifier(x, classes, classifier_activation, dense_init)
    if not keras.utils.is_keras_tensor(inputs):
        raise ValueError(f"`input_tensor` must be a Keras tensor. Received: {inputs!r}")
    sources = keras.utils.get_source_inputs(inputs)
    return keras.Model(sources[0] if len(sources) == 1 else sources, x, name=name)


def classifier(x, classes, activation, init="torch"):
    """Logits `"predictions"`, and the activation behind them in float32."""
    if not isinstance(classes, int) or classes < 1:
        raise ValueError(f"`classes` must be a positive integer. Received: classes={classes!r}")
    if init == "torch":
        bound = x.shape[-1] ** -0.5
        kernel, bias = TORCH_LINEAR.clone(), keras.initializers.RandomUniform(-bound, bound)
    elif init == "normal_0.01":
        kernel, bias = keras.initializers.RandomNormal(stddev=0.01), "zeros"
    else:
        raise ValueError(f'`dense_init` must be "torch" or "normal_0.01". Received: {init!r}')
    dense = keras.layers.Dense(
        classes, kernel_initializer=kernel, bias_initializer=bias, name="predictions"
    )
    logits = dense(x)
    if activation in (None, "linear"):
        return logits
    return keras.layers.Activation(activation, dtype="float32", name="predictions_activation")(
        logits
    )


def wrapped(application, weights, input_tensor, input_shape, **settings):
    """A network of keras.applications with this package's `weights=`."""
    theirs = weights if weights == "imagenet" else None
    model = application(
        weights=theirs, input_tensor=input_tensor, input_shape=input_shape, **settings
    )
    return load_weights(model, None if theirs else weights)
