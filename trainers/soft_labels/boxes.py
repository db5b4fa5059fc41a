"""Random crops as boxes that can be kept, and the pixels that a box cuts out."""

import tensorflow as tf


def sample_boxes(size, seed, count, area=(0.08, 1.0), ratio=(3 / 4, 4 / 3)):
    """The boxes of `count` random resized crops, each `(top, left, height, width)` in 0 to 1.

    Args:
        size: int32 tensor `(height, width, channels)`.
        seed: two integers.
        count: int.
        area, ratio: as in `keras_resnets.preprocessing.image.random_resized_crop`.
    """
    sides = tf.cast(size[:2], tf.float32)

    def sample(number):
        begin, extent, _ = tf.image.stateless_sample_distorted_bounding_box(
            size,
            tf.zeros((0, 0, 4)),
            tf.random.fold_in(seed, number),
            min_object_covered=0.0,
            area_range=area,
            aspect_ratio_range=ratio,
            max_attempts=10,
            use_image_if_no_bounding_boxes=True,
        )
        extent = tf.where(extent < 0, size, extent)  # -1: to the end
        places = tf.cast(tf.concat([begin[:2], extent[:2]], 0), tf.float32)
        return places / tf.concat([sides, sides], 0)

    return tf.map_fn(sample, tf.range(count), fn_output_signature=tf.float32)


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
    sides = tf.cast(tf.shape(image)[:2], tf.float32)
    pixels = tf.cast(tf.round(boxes * tf.concat([sides, sides], 0)), tf.int32)

    def piece(where):
        (top, left, height, width), flip = tf.unstack(where[0]), where[1]
        crop = tf.slice(image, (top, left, 0), (height, width, -1))
        crop = tf.image.resize(crop, (size, size))
        return tf.where(flip, tf.reverse(crop, [1]), crop)

    pieces = tf.map_fn(piece, (pixels, flips), fn_output_signature=tf.float32)
    return tf.ensure_shape(pieces, (None, size, size, image.shape[-1]))


def image_of(image, label=None):
    """The image alone, with channels."""
    image = tf.convert_to_tensor(image)
    return image[..., None] if image.shape.rank == 2 else image


def mean_of(image):
    """By which another image is told from this one."""
    return tf.reduce_mean(tf.cast(image, tf.float32))
