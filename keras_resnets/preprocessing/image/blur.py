"""Gaussian blur, with borders mirrored."""

import numpy as np


def gaussian_blur(images, sigma, radius):
    """Averages over neighbours by a Gaussian; beyond the border the image is mirrored.

    Args:
        images: float tensor `(..., height, width, channels)`, of known height and width.
        sigma: deviation in pixels: one for all, or one an image, `(...)`.
        radius: int, the farthest neighbour; at most the shorter side.

    Returns:
        float32 tensor, of the shape of `images`.

    Example:

    >>> image = np.zeros((5, 5, 1), "float32")
    >>> image[2, 2] = 1
    >>> np.round(gaussian_blur(image, sigma=1.0, radius=1)[2, :, 0], 3).tolist()
    [0.0, 0.12..., 0.20..., 0.12..., 0.0]
    """
    import tensorflow as tf

    images = tf.cast(images, tf.float32)
    height, width, channels = images.shape[-3:]
    sigma = tf.cast(sigma, tf.float32)[..., None]
    weights = tf.exp(-0.5 * tf.square(np.arange(-radius, radius + 1, dtype="float32") / sigma))
    weights = weights / tf.reduce_sum(weights, -1, keepdims=True)

    def band(side):
        neighbours = np.arange(side)[:, None] + np.arange(-radius, radius + 1)
        mirrored = np.where(neighbours < 0, -1 - neighbours, neighbours)
        mirrored = np.where(mirrored >= side, 2 * side - 1 - mirrored, mirrored)
        # (2 radius + 1, side, side): which pixel a tap reads
        taps = mirrored.T[..., None] == np.arange(side)
        matrix = tf.tensordot(weights, taps.reshape(len(taps), -1).astype("float32"), 1)
        return tf.reshape(matrix, (*weights.shape[:-1], side, side))

    lead = images.shape[:-3]
    rows = tf.matmul(band(height), tf.reshape(images, (*lead, height, width * channels)))
    columns = tf.reshape(rows, (*lead, height, width, channels))
    return tf.matmul(band(width)[..., None, :, :], columns)


def random_blur(images, seed, radius, sigma=(0.1, 2.0)):
    """`gaussian_blur` of half the images, each with a deviation of its own, cut to [0, 1].

    Args:
        images: float tensor `(..., height, width, channels)` in about [0, 1].
        seed: two integers.
        radius: int, of the kernel.
        sigma: least and greatest deviation, in pixels.

    Returns:
        float32 tensor, of the shape of `images`.

    Example:

    >>> random_blur(np.zeros((5, 8, 8, 3)), seed=(0, 0), radius=2).shape
    TensorShape([5, 8, 8, 3])
    """
    import tensorflow as tf

    images = tf.cast(images, tf.float32)
    draws = tf.random.stateless_uniform((2, *images.shape[:-3]), seed)
    blurred = gaussian_blur(images, sigma[0] + (sigma[1] - sigma[0]) * draws[0], radius)
    blurred = tf.where((draws[1] < 0.5)[..., None, None, None], blurred, images)
    return tf.clip_by_value(blurred, 0.0, 1.0)
