"""Random crops as boxes that can be kept, and the pixels that a box cuts out."""

import tensorflow as tf

from keras_resnets.preprocessing.image.boxes import UNIFORM_AREAS
from keras_resnets.preprocessing.image.resize import scaled


def sample_boxes(size, seed, count, area=(0.08, 1.0), ratio=(3 / 4, 4 / 3)):
    """The boxes of `count` random resized crops, each `(top, left, height, width)` in 0 to 1.

    Args:
        size: int32 tensor `(height, width)`.
        seed: two integers.
        count: int.
        area: least and greatest share of the image's area.
        ratio: least and greatest width by height.
    """
    draws = tf.random.stateless_uniform((count, UNIFORM_AREAS.draws), seed)
    boxes = UNIFORM_AREAS.boxes(draws, size[0], size[1], area, ratio)
    return tf.cast(boxes, tf.float32) / tf.cast(tf.tile(size, [2]), tf.float32)


def cut(image, boxes, flips, size):
    """The pieces of an image, scaled to a square, mirrored where it is said.

    Args:
        image: tensor `(height, width, channels)`.
        boxes: float32 tensor `(crops, 4)`, as of `sample_boxes`.
        flips: bool tensor `(crops,)`.
        size: int, side of the result.

    Returns:
        float32 tensor `(crops, size, size, channels)`, in the range of `image`.
    """
    sides = tf.cast(tf.tile(tf.shape(image)[:2], [2]), tf.float32)

    def piece(where):
        box, flip = where
        crop = scaled(image, box, size, "bilinear", antialias=False)
        return tf.where(flip, tf.reverse(crop, [1]), crop)

    pixels = tf.cast(tf.round(boxes * sides), tf.int32)
    pieces = tf.map_fn(piece, (pixels, flips), fn_output_signature=tf.float32)
    return tf.ensure_shape(pieces, (None, size, size, image.shape[-1]))


def image_of(image, label=None):
    """The image alone, with channels."""
    image = tf.convert_to_tensor(image)
    return image[..., None] if image.shape.rank == 2 else image


def mean_of(image):
    """By which another image is told from this one."""
    return tf.reduce_mean(tf.cast(image, tf.float32))
