"""Input, classifier and checks that the 2-D families share, in the manner of keras.applications."""

import types

import keras

from keras_resnets.initializers import TORCH_LINEAR
from keras_resnets.models.conv_norm_act import channel_axis
from keras_resnets.weights import imagenet, load_weights

# What published weights were trained on: `(scale * x - mean) / std` of x in 0 to 255, in this order
# of channels, after a resize to `side / crop_pct` and the crop of the middle.
_EVAL = {"channel_order": "rgb", "interpolation": "bilinear", "crop_pct": 0.875}
_IMAGENET = {"mean": imagenet.MEAN, "std": imagenet.DEVIATION, "scale": 1 / 255}
PREPROCESSING = {
    "torch": {**_IMAGENET, **_EVAL},
    "caffe": {"mean": imagenet.CAFFE_MEAN_255, "std": (1.0, 1.0, 1.0), "scale": 1.0}
    | {**_EVAL, "channel_order": "bgr"},
    "tf": {"mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5), "scale": 1 / 255, **_EVAL},
    "unit": {"mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0), "scale": 1 / 255, **_EVAL},
    "none": {"mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0), "scale": 1.0, **_EVAL},
}


@keras.saving.register_keras_serializable("keras_resnets")
class ImageModel(keras.Model):
    """A functional model that knows how its images are prepared; this is saved with it.

    Args:
        inputs, outputs, name: as `keras.Model`.

    Example:

    >>> model = kr.resnet18()
    >>> model.preprocessing["mean"], model.preprocessing["channel_order"]
    ((0.485, 0.456, 0.406), 'rgb')
    """

    @property
    def preprocessing(self):
        """What the family's public weights expect, or None where it is not known.

        A dict: images of 0 to 255 in `channel_order` (`"rgb"`, `"bgr"`) become `(scale * x - mean)
        / std`, after a resize by `interpolation` and a crop that leaves the share `crop_pct` of a
        side. Assign another one for other weights. `keras.models.clone_model` loses it.
        """
        kept = getattr(self, "_preprocessing", None)  # in a namespace: Keras would wrap a dict
        return kept and kept.value

    @preprocessing.setter
    def preprocessing(self, value):
        keys = set(PREPROCESSING["torch"])
        if value is not None and (not isinstance(value, dict) or set(value) != keys):
            raise ValueError(
                f"`preprocessing` must be None or a dict of {sorted(keys)}. Received: {value!r}"
            )
        if value is not None:
            value = {k: tuple(v) if isinstance(v, list) else v for k, v in value.items()}
        self._preprocessing = types.SimpleNamespace(value=value)

    def get_config(self):
        return {**super().get_config(), "preprocessing": self.preprocessing}

    @classmethod
    def from_config(cls, config, custom_objects=None):
        config = dict(config)
        preprocessing = config.pop("preprocessing", None)
        model = super().from_config(config, custom_objects)
        model.preprocessing = preprocessing
        return model


def like(model, changed):
    """`changed` as a model of images that are prepared as those of `model` are."""
    if not isinstance(model, ImageModel):
        return changed
    if not isinstance(changed, ImageModel):
        changed = ImageModel(changed.input, changed.output, name=changed.name)
    changed.preprocessing = model.preprocessing
    return changed


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
    if any(side < minimum for side in known_sides(input_tensor)):
        raise ValueError(
            f"`input_shape` must have sides of at least {minimum}. "
            f"Received: input_shape={tuple(shape[1:])}"
        )
    return input_tensor


def known_sides(images):
    """Height and width of a tensor of images, as far as they are known."""
    sides = images.shape[2:] if channel_axis() == 1 else images.shape[1:3]
    return [side for side in sides if side is not None]


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
    preprocessing="torch",
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
    model = ImageModel(sources[0] if len(sources) == 1 else sources, x, name=name)
    model.preprocessing = PREPROCESSING[preprocessing]
    return model


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


def wrapped(application, weights, input_tensor, input_shape, preprocessing, **settings):
    """A network of keras.applications with this package's `weights=`."""
    theirs = weights if weights == "imagenet" else None
    model = application(
        weights=theirs, input_tensor=input_tensor, input_shape=input_shape, **settings
    )
    model = ImageModel(model.input, model.output, name=model.name)
    model.preprocessing = PREPROCESSING[preprocessing]
    return load_weights(model, None if theirs else weights)
