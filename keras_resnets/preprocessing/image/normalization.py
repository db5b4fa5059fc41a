"""Pixel values as networks expect them."""

import numpy as np
from keras import ops

from keras_resnets.weights import imagenet

# Subtracted and divided by, of RGB in 0 to 255
MODES = {
    "torch": (
        255 * np.array(imagenet.MEAN, "float32"),
        255 * np.array(imagenet.DEVIATION, "float32"),
    ),
    "caffe": (np.array(imagenet.CAFFE_MEAN_255, "float32"), np.float32(1)),
    "tf": (np.float32(127.5), np.float32(127.5)),
    "half": (np.float32(127.5), np.float32(127.5)),
    "swav": (
        255 * np.array(imagenet.MEAN, "float32"),
        255 * np.array(imagenet.SWAV_DEVIATION, "float32"),
    ),
    "unit": (np.float32(0), np.float32(255)),
}


def preprocess_input(x, mode="torch"):
    """Images as the authors of published weights feed them to their networks.

    Args:
        x: array or tensor `(..., 3)` of RGB in 0 to 255; the modes without a mean for each channel
            take any number of channels.
        mode: `"torch"`: ImageNet's mean and deviation (torchvision, timm); `"caffe"`: BGR minus
            their means (`keras.applications` ResNet v1, VGG); `"tf"`: to [-1, 1]
            (`keras.applications` ResNet v2, MobileNet); `"half"`: the same numbers, as timm calls
            them (ResNet v2, BiT); `"swav"`: SwAV's, whose deviation of red is 0.228; `"unit"`: to
            [0, 1] (SimCLR).

    Returns:
        float32, of the shape of `x`; an array of an array, a tensor of a tensor.

    Raises:
        ValueError: unknown mode, or not three channels.

    Example:

    >>> preprocess_input(np.full((1, 1, 3), 255, "uint8"), "tf").ravel().tolist()
    [1.0, 1.0, 1.0]
    >>> np.round(preprocess_input(np.zeros((1, 1, 3)), "caffe"), 1).ravel().tolist()
    [-103.9..., -116.8..., -123.6...]
    """
    if mode not in MODES:
        raise ValueError(f"`mode` must be one of {[*MODES]}. Received: mode={mode!r}")
    if mode not in ("tf", "half", "unit") and x.shape[-1] != 3:
        raise ValueError(f"`x` must be RGB, (..., 3). Received: x.shape={tuple(x.shape)}")
    if mode == "caffe":
        x = (np if isinstance(x, np.ndarray) else ops).flip(x, -1)
    return normalize(x, *MODES[mode])


def normalize(x, mean, deviation):
    """`(x - mean) / deviation` in float32.

    Args:
        x: array or tensor `(..., channels)`, of integers or floats.
        mean, deviation: a number, or one a channel.

    Returns:
        As `x`, in float32.

    Example:

    >>> normalize(np.array([[1, 20]], "uint8"), [1, 10], [1, 5]).tolist()
    [[0.0, 2.0]]
    """
    mean, deviation = np.asarray(mean, "float32"), np.asarray(deviation, "float32")
    if isinstance(x, np.ndarray):
        return (x.astype("float32") - mean) / deviation
    return ops.divide(ops.subtract(ops.cast(x, "float32"), mean), deviation)
