"""Colours of RGB images in [0, 1]: jitter in random order, grey."""

import numpy as np

from keras_resnets.preprocessing.image.checks import check_rgb

LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601


def color_jitter(
    images, brightness=1.0, contrast=1.0, saturation=1.0, hue=0.0, order=(0, 1, 2, 3), offset=0.0
):
    """Changes brightness, contrast, saturation and hue, and cuts to [0, 1] after each.

    Every number but the images may be one for all, or one an image, of shape `(...)`.

    Args:
        images: float tensor `(..., height, width, 3)` of RGB in about [0, 1].
        brightness: factor.
        contrast: factor of the distance to each channel's mean.
        saturation: factor of the saturation in HSV.
        hue: turn, in full circles.
        order: `(..., 4)`, when brightness, contrast, saturation and hue come: the least first.
        offset: what brightness adds.

    Returns:
        float32 tensor, of the shape of `images`.

    Raises:
        ValueError: not three channels.

    Example:

    >>> red = np.tile(np.float32([0.8, 0, 0]), (2, 2, 1))
    >>> np.round(color_jitter(red, hue=1 / 3), 3)[0, 0].tolist()
    [0.0, 0.8..., 0.0]
    >>> np.round(color_jitter(red, brightness=2.0), 3)[0, 0].tolist()
    [1.0, 0.0, 0.0]

    Reference:
        Chen et al., SimCLR, 2020 (arXiv 2002.05709), appendix A.
    """
    import tensorflow as tf

    images = tf.cast(images, tf.float32)
    check_rgb("images", images)
    brightness, contrast, saturation, hue, offset = (
        tf.cast(x, tf.float32)[..., None, None]
        for x in (brightness, contrast, saturation, hue, offset)
    )
    b, c, s, h = tf.unstack(tf.convert_to_tensor(order)[..., None, None, :], axis=-1)
    # Saturation and hue do not touch each other: only their place among the other two counts.
    first, second = tf.minimum(b, c), tf.maximum(b, c)
    planes = tf.unstack(images, axis=-1)
    for slot in range(3):
        here = [tf.equal(_count(first < x) + _count(second < x), slot) for x in (s, h)]
        turned = _turn(planes, tf.where(here[0], saturation, 1.0), tf.where(here[1], hue, 0.0))
        planes = [tf.where(here[0] | here[1], _cut(new), old) for new, old in zip(turned, planes)]
        if slot == 2:
            break
        contrasted = tf.equal(c < b, slot == 0)
        means = [tf.reduce_mean(plane, (-2, -1), keepdims=True) for plane in planes]
        scale = tf.where(contrasted, contrast, brightness)
        planes = [
            _cut(plane * scale + tf.where(contrasted, mean * (1 - contrast), offset))
            for plane, mean in zip(planes, means)
        ]
    return tf.stack(planes, -1)


def _count(condition):
    import tensorflow as tf

    return tf.cast(condition, tf.int32)


def _cut(x):
    import tensorflow as tf

    return tf.minimum(tf.maximum(x, 0.0), 1.0)


def _turn(planes, saturation, hue):
    """Red, green and blue with another saturation and hue."""
    import tensorflow as tf

    r, g, b = planes
    high = tf.maximum(tf.maximum(r, g), b)
    chroma = high - tf.minimum(tf.minimum(r, g), b)
    per_chroma = 1 / tf.maximum(chroma, 1e-12)
    sixths = tf.where(
        tf.equal(high, r),
        (g - b) * per_chroma,
        tf.where(tf.equal(high, g), (b - r) * per_chroma + 2, (r - g) * per_chroma + 4),
    )
    sixths = sixths + 6 * hue
    sixths = sixths - 6 * tf.floor(sixths / 6)
    chroma = tf.minimum(chroma * saturation, high)
    away = [2 - tf.abs(sixths - 3), tf.abs(sixths - 2) - 1, tf.abs(sixths - 4) - 1]
    return [high - chroma * _cut(x) for x in away]


def grayscale(images):
    """Grey images that keep their three channels: ITU-R BT.601's weights.

    Args:
        images: float tensor `(..., height, width, 3)` of RGB.

    Returns:
        Tensor, of the shape and type of `images`.

    Raises:
        ValueError: not three channels.

    Example:

    >>> grayscale(np.array([[[1.0, 0, 0]]])).numpy().ravel().tolist()
    [0.299, 0.299, 0.299]
    """
    import tensorflow as tf

    images = tf.convert_to_tensor(images)
    check_rgb("images", images)
    weights = np.tile(np.array(LUMA)[:, None], 3)
    return tf.tensordot(images, tf.cast(weights, images.dtype), 1)


def random_color_jitter(images, seed, strength=1.0, brightness="multiplicative", hue=0.2):
    """`color_jitter` with random numbers and in random order, of eight images in ten.

    Brightness, contrast and saturation change by up to 0.8 `strength`, hue by `hue * strength`.

    Args:
        images: float tensor `(..., height, width, 3)` of RGB in about [0, 1].
        seed: two integers.
        strength: float, at least 0.
        brightness: `"multiplicative"`, or `"additive"` as in SimCLR's first version.
        hue: float, greatest turn for strength 1, in full circles.

    Returns:
        float32 tensor, of the shape of `images`.

    Raises:
        ValueError: an argument out of range, not three channels.

    Example:

    >>> random_color_jitter(np.zeros((5, 8, 8, 3)), seed=(0, 0)).shape
    TensorShape([5, 8, 8, 3])
    """
    import tensorflow as tf

    images = tf.cast(images, tf.float32)
    draws = tf.random.stateless_uniform((9, *images.shape[:-3]), seed)
    side = 0.8 * strength
    factors = tf.maximum(1 + side * (2 * draws[:3] - 1), 0.0)
    additive = brightness == "additive"
    jittered = color_jitter(
        images,
        brightness=1.0 if additive else factors[0],
        contrast=factors[1],
        saturation=factors[2],
        hue=hue * strength * (2 * draws[3] - 1),
        order=tf.stack(tf.unstack(draws[4:8]), -1),
        offset=side * (2 * draws[0] - 1) if additive else 0.0,
    )
    return tf.where((draws[8] < 0.8)[..., None, None, None], jittered, images)


def random_grayscale(images, seed, probability=0.2):
    """`grayscale` of some images.

    Args:
        images: float tensor `(..., height, width, 3)` of RGB.
        seed: two integers.
        probability: float, of each image to turn grey.

    Returns:
        Tensor, of the shape and type of `images`.

    Example:

    >>> random_grayscale(np.zeros((5, 8, 8, 3), "float32"), seed=(0, 0)).shape
    TensorShape([5, 8, 8, 3])
    """
    import tensorflow as tf

    images = tf.convert_to_tensor(images)
    chosen = tf.random.stateless_uniform(images.shape[:-3], seed) < probability
    return tf.where(chosen[..., None, None, None], grayscale(images), images)
