"""Gaussian blur of one image, as planes."""

import numpy as np


def gaussian_blur(planes, sigma, radius):
    """Averages over neighbours by a Gaussian; beyond its borders the image is mirrored.

    Args:
        planes: float32 tensor `(channels, height, width)`.
        sigma: deviation in pixels.
        radius: int, of the farthest neighbour; at most the shorter side.

    Returns:
        Tensor, of the shape of `planes`.
    """
    import tensorflow as tf

    taps = np.arange(-radius, radius + 1, dtype="float32")
    weights = tf.exp(-0.5 * tf.square(taps / sigma))
    weights = tf.unstack(weights / tf.reduce_sum(weights))
    _, height, width = planes.shape
    rows = tf.pad(planes, [(0, 0), (radius, radius), (0, 0)], "SYMMETRIC")
    planes = sum(w * rows[:, k : k + height] for k, w in enumerate(weights))
    columns = tf.pad(planes, [(0, 0), (0, 0), (radius, radius)], "SYMMETRIC")
    return sum(w * columns[:, :, k : k + width] for k, w in enumerate(weights))
