"""What a crop looks like: mirrored or not, its colours, its sharpness."""

import itertools
from dataclasses import dataclass

from keras_resnets.preprocessing.image.blur import gaussian_blur
from keras_resnets.preprocessing.image.color import color_jitter, cut, grayscale

ORDERS = list(itertools.permutations(range(4)))


@dataclass(frozen=True)
class Appearance:
    """Changes a crop, by chance: a function of the crop and of `draws` numbers.

    Args:
        strength: of the colour jitter that eight of ten crops get; 0: none.
        additive: whether brightness is added, as in SimCLR's first version.
        grayscale: probability of a grey crop.
        blur: radius of the kernel that half the crops are blurred with; None: none are.
        mean, deviation: a number a channel, subtracted and divided by; None: neither.
    """

    strength: float = 1.0
    additive: bool = False
    grayscale: float = 0.2
    blur: int | None = None
    mean: tuple | None = None
    deviation: tuple | None = None

    draws = 10

    def __call__(self, crop, draws):
        """The crop, changed.

        Args:
            crop: float32 tensor `(height, width, channels)` in about [0, 1].
            draws: float tensor `(10,)` in [0, 1).

        Returns:
            Tensor, of the shape of `crop`, in [0, 1] before it is normalised.
        """
        import tensorflow as tf

        flip, jitter, gray, blur, sigma, order, *color = tf.unstack(draws)
        x = tf.transpose(crop, (2, 0, 1))
        x = tf.cond(flip < 0.5, lambda: tf.reverse(x, [2]), lambda: x)
        if self.strength:
            x = tf.cond(jitter < 0.8, lambda: self.jittered(x, order, color), lambda: x)
        if self.grayscale:
            x = tf.cond(gray < self.grayscale, lambda: grayscale(x), lambda: x)
        if self.blur is not None:
            sigma = 0.1 + 1.9 * sigma
            x = tf.cond(blur < 0.5, lambda: gaussian_blur(x, sigma, self.blur), lambda: x)
        x = cut(x)
        if self.mean is not None:
            mean, deviation = (tf.reshape(v, (-1, 1, 1)) for v in (self.mean, self.deviation))
            x = (x - mean) / deviation
        return tf.transpose(x, (1, 2, 0))

    def jittered(self, planes, order, color):
        import tensorflow as tf

        side = 0.8 * self.strength
        least, greatest = max(1 - side, 0), 1 + side
        brightness, contrast, saturation = (least + (greatest - least) * x for x in color[:3])
        offset = 0.0
        if self.additive:
            brightness, offset = 1.0, side * (2 * color[0] - 1)
        order = tf.gather(ORDERS, tf.cast(order * len(ORDERS), tf.int32))
        hue = 0.2 * self.strength * (2 * color[3] - 1)
        return color_jitter(planes, order, brightness, contrast, saturation, hue, offset)
