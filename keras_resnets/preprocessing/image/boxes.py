"""Where random crops lie: boxes `(top, left, height, width)` in whole pixels.

Each law is a function of uniform numbers, an image's sides, and the ranges of area and shape.
"""

import math
from collections import namedtuple

Law = namedtuple("Law", ["draws", "boxes"])  # how many numbers a box takes, the function


def uniform_heights(draws, height, width, area, ratio):
    """Boxes of a uniform ratio, and a height that is uniform among those that fit.

    Args:
        draws: float tensor `(..., 4)` in [0, 1).
        height, width: int tensors, the sides of the image.
        area: least and greatest share of the image's area.
        ratio: least and greatest width by height.

    Returns:
        int32 tensor `(..., 4)`; the whole image where no box of such a shape fits.

    Reference:
        `tf.image.sample_distorted_bounding_box`, which SimCLR's code calls.
    """
    import tensorflow as tf

    height, width = tf.cast(height, tf.float32), tf.cast(width, tf.float32)
    shape = _between(ratio, draws[..., 0])
    least, greatest = (tf.sqrt(share * height * width / shape) for share in area)
    greatest = tf.minimum(greatest, tf.minimum(height, width / shape))
    high = _between((least, greatest), draws[..., 1])
    return _placed(draws[..., 2:], high, high * shape, least <= greatest, height, width, area)


def uniform_areas(draws, height, width, area, ratio):
    """Boxes of a uniform area and a ratio whose logarithm is uniform: the first of ten that fits.

    Args:
        draws: float tensor `(..., 22)` in [0, 1).
        height, width, area, ratio: as for `uniform_heights`.

    Returns:
        As `uniform_heights`.

    Reference:
        torchvision's `RandomResizedCrop`, which SwAV's code calls.
    """
    import tensorflow as tf

    height, width = tf.cast(height, tf.float32), tf.cast(width, tf.float32)
    areas = height * width * _between(area, draws[..., :10])
    shapes = tf.exp(_between((math.log(ratio[0]), math.log(ratio[1])), draws[..., 10:20]))
    highs, wides = tf.sqrt(areas / shapes), tf.sqrt(areas * shapes)
    fit = (highs <= height) & (wides <= width)
    first = tf.one_hot(tf.argmax(fit, -1, tf.int32), 10)
    high, wide = (tf.reduce_sum(first * sides, -1) for sides in (highs, wides))
    fits = tf.reduce_any(fit, -1)
    return _placed(draws[..., 20:], high, wide, fits, height, width, area)


UNIFORM_HEIGHTS, UNIFORM_AREAS = Law(4, uniform_heights), Law(22, uniform_areas)


def _between(ends, draw):
    return ends[0] + (ends[1] - ends[0]) * draw


def _placed(draws, high, wide, fits, height, width, area):
    """Whole pixels, at a uniform place; rounding leaves the area in its range."""
    import tensorflow as tf

    wide = tf.clip_by_value(tf.round(wide), 1, width)
    least, greatest = (share * height * width / wide for share in area)
    high = tf.maximum(tf.minimum(tf.round(high), tf.floor(greatest)), tf.math.ceil(least))
    high = tf.clip_by_value(high, 1, height)
    high, wide = tf.where(fits, high, height), tf.where(fits, wide, width)
    top = tf.floor(draws[..., 0] * (height - high + 1))
    left = tf.floor(draws[..., 1] * (width - wide + 1))
    return tf.cast(tf.stack([top, left, high, wide], -1), tf.int32)
