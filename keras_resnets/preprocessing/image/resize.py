"""A box of an image, scaled to a square: by TensorFlow's kernels, or as two matrix products.

Both give the same. The products take images of one known size, and so run inside a compiled
function over a batch; their work grows with the image, so that they suit small images.
"""

import numpy as np


def scaled(image, box, size, method, antialias):
    """The box of an image, as float32.

    Args:
        image: tensor `(height, width, channels)`.
        box: four int32, `(top, left, height, width)`.
        size: int, side of the result.
        method: `"bilinear"` or `"bicubic"`.
        antialias: bool, whether a smaller result averages over all that it covers.

    Returns:
        float32 tensor `(size, size, channels)`.
    """
    import tensorflow as tf

    top, left, height, width = tf.unstack(box)
    piece = tf.slice(image, [top, left, 0], [height, width, image.shape[-1]])
    if antialias:
        x = _with_lines(_with_lines(piece, size, method), size, method)
        return tf.ensure_shape(x, (size, size, image.shape[-1]))
    return tf.image.resize(tf.cast(piece, tf.float32), (size, size), method)


def _with_lines(x, size, method):
    """`x` with `size` lines, and its first two axes exchanged.

    As `tf.image.resize`, to the bit; its kernel adds up whole lines three times as fast as pixels.
    """
    import tensorflow as tf

    height, width, channels = *tf.unstack(tf.shape(x)[:2]), x.shape[-1]
    lines = tf.raw_ops.ScaleAndTranslate(
        images=tf.reshape(x, (1, height, 1, width * channels)),
        size=(size, 1),
        scale=tf.stack([size / tf.cast(height, tf.float32), 1.0]),
        translation=(0.0, 0.0),
        kernel_type={"bilinear": "triangle", "bicubic": "keyscubic"}[method],
        antialias=True,
    )
    return tf.transpose(tf.reshape(lines, (size, width, channels)), (1, 0, 2))


def scaled_by_products(image, box, size, method, antialias):
    """As `scaled`, for an image of known size."""
    import tensorflow as tf

    top, left, height, width = tf.unstack(box)
    rows = _weights(top, height, image.shape[0], size, method, antialias)
    columns = _weights(left, width, image.shape[1], size, method, antialias)
    x = tf.tensordot(rows, tf.cast(image, tf.float32), 1)
    return tf.transpose(tf.tensordot(columns, x, [[1], [1]]), (1, 0, 2))


def _weights(start, extent, side, size, method, antialias):
    """What each of `size` pixels takes of each of `side`, `(size, side)`; each takes 1 in all."""
    import tensorflow as tf

    start, extent = tf.cast(start, tf.float32), tf.cast(extent, tf.float32)
    step = extent / size
    center = start + (np.arange(size, dtype="float32")[:, None] + 0.5) * step - 0.5
    pixel = np.arange(side, dtype="float32")
    distance = tf.abs(pixel - center) / (tf.maximum(step, 1.0) if antialias else 1.0)
    weights = KERNELS[method](distance)
    weights = tf.where((pixel >= start) & (pixel < start + extent), weights, 0.0)
    return weights / tf.reduce_sum(weights, -1, keepdims=True)


def _triangle(x):
    import tensorflow as tf

    return tf.maximum(1 - x, 0.0)


def _keys(x):
    """Keys' cubic convolution, a = -0.5."""
    import tensorflow as tf

    near, far = (1.5 * x - 2.5) * x * x + 1, ((2.5 - 0.5 * x) * x - 4) * x + 2
    return tf.where(x < 1, near, tf.where(x < 2, far, 0.0))


KERNELS = {"bilinear": _triangle, "bicubic": _keys}
