"""Colours of one image, as red, green and blue planes in [0, 1]: jitter in random order, grey."""

LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601


def color_jitter(planes, order, brightness, contrast, saturation, hue, offset=0.0):
    """Changes brightness, contrast, saturation and hue in turn, and cuts to [0, 1] after each.

    Args:
        planes: float32 tensor `(3, height, width)`, RGB.
        order: four int32: of brightness 0, contrast 1, saturation 2 and hue 3 the first, the second
            and so on.
        brightness, offset: factor, and what is added.
        contrast: factor of the distance to each channel's mean.
        saturation: factor of the saturation in HSV.
        hue: turn, in full circles.

    Returns:
        Tensor, of the shape of `planes`.

    Reference:
        Chen et al., SimCLR, 2020 (arXiv 2002.05709), appendix A.
    """
    import tensorflow as tf

    def step(number, x):
        changes = [
            lambda: x * brightness + offset,
            lambda: change_contrast(x, contrast),
            lambda: change_saturation(x, saturation),
            lambda: turn_hue(x, hue),
        ]
        return number + 1, cut(tf.switch_case(order[number], changes))

    return tf.while_loop(lambda number, x: number < 4, step, (0, planes))[1]


def cut(x):
    """`x` within [0, 1]."""
    import tensorflow as tf

    return tf.minimum(tf.maximum(x, 0.0), 1.0)


def change_contrast(planes, factor):
    import tensorflow as tf

    mean = tf.reduce_mean(planes, (1, 2), keepdims=True)
    return mean + factor * (planes - mean)


def change_saturation(planes, factor):
    import tensorflow as tf

    high, low = tf.reduce_max(planes, 0), tf.reduce_min(planes, 0)
    saturated = high / tf.maximum(high - low, TINY)  # the factor at which the least is zero
    return high - tf.minimum(factor, saturated) * (high - planes)


def turn_hue(planes, turn):
    import tensorflow as tf

    red, green, blue = tf.unstack(planes)
    high = tf.maximum(tf.maximum(red, green), blue)
    chroma = high - tf.minimum(tf.minimum(red, green), blue)
    unit = 1 / tf.maximum(chroma, TINY)
    sixths = tf.where(
        tf.equal(high, red),
        (green - blue) * unit,
        tf.where(tf.equal(high, green), 2 + (blue - red) * unit, 4 + (red - green) * unit),
    )
    sixths = sixths + 6 * turn
    sixths = sixths - 6 * tf.floor(sixths / 6)
    below = (2 - tf.abs(sixths - 3), tf.abs(sixths - 2) - 1, tf.abs(sixths - 4) - 1)
    return high - chroma * tf.stack([cut(x) for x in below])


TINY = 1e-12


def grayscale(planes):
    """Three equal planes of the brightness that is seen."""
    import tensorflow as tf

    red, green, blue = tf.unstack(planes)
    return tf.stack([LUMA[0] * red + LUMA[1] * green + LUMA[2] * blue] * 3)
