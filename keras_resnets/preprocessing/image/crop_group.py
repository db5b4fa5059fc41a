"""Several random crops of an image, of one size and kind.

What follows the cut is one function, compiled by XLA, that a crop at a time passes through, so that
what chance leaves out is not computed. For a batch of small images the cut is in it.
"""

import functools
from dataclasses import dataclass

from keras_resnets.preprocessing.image.appearance import Appearance
from keras_resnets.preprocessing.image.boxes import Law
from keras_resnets.preprocessing.image.resize import scaled, scaled_by_products

OVERSHOOT = 2.0  # floats in [0, 1] that were scaled by cubic pieces are a little above 1


@dataclass(frozen=True)
class CropGroup:
    """Random crops: a function of an image and a seed.

    Args:
        size: side of the crops.
        count: how many.
        area: least and greatest share of the image's area.
        ratio: least and greatest width by height.
        law: how their boxes are drawn.
        method, antialias: how they are scaled, see `resize.scaled`.
        appearance: what else is done to them.
        number: of the group, so that each has random numbers of its own.
    """

    size: int
    count: int
    area: tuple
    ratio: tuple
    law: Law
    method: str
    antialias: bool
    appearance: Appearance
    number: int = 0

    def __call__(self, image, seed):
        """The crops.

        Args:
            image: tensor `(height, width, channels)`, of integers, or of floats in [0, 1]; or
                `(batch, height, width, channels)`.
            seed: two integers; or `(batch, 2)`.

        Returns:
            float32 tensor `(count, size, size, channels)`; or `(batch, count, ...)`.
        """
        import tensorflow as tf

        image, seed = tf.convert_to_tensor(image), tf.convert_to_tensor(seed)
        if image.dtype.is_floating:
            check_unit_range(image)
        draws = self.uniform(seed)
        height, width = tf.unstack(tf.shape(image)[-3:-1])
        draws, looks = draws[..., : self.law.draws], draws[..., self.law.draws :]
        boxes = self.law.boxes(draws, height, width, self.area, self.ratio)
        if image.shape.rank == 4:
            return cut_and_change(self)(image, boxes, looks)
        crops = [scaled(image, box, *self.scaling) for box in tf.unstack(boxes)]
        return change(self)(unit_range(tf.stack(crops), image.dtype), looks)

    def uniform(self, seed):
        """The random numbers of all crops: an image's are the same in a batch as alone."""
        import tensorflow as tf

        shape = (self.count, self.law.draws + self.appearance.draws)

        def of_image(seed):
            return tf.random.stateless_uniform(shape, tf.random.fold_in(seed, self.number))

        return of_image(seed) if seed.shape.rank == 1 else each(of_image, seed)

    @property
    def scaling(self):
        return self.size, self.method, self.antialias


def check_unit_range(image):
    """A `ValueError`, or in a graph an `InvalidArgumentError`, for floats in 0 to 255."""
    import tensorflow as tf

    greatest = tf.reduce_max(image)
    wrong = (
        "`image` of floats must be in [0, 1]; integers are scaled. Received: a greatest value of"
    )
    if not tf.executing_eagerly():
        tf.debugging.Assert(greatest <= OVERSHOOT, [wrong, greatest])
    elif greatest > OVERSHOOT:
        raise ValueError(f"{wrong} {greatest:g}")


def unit_range(x, dtype):
    """Floats that were of type `dtype`, in [0, 1]."""
    return x / dtype.max if dtype.is_integer else x


@functools.cache
def change(group):
    """Compiled: the appearance of crops."""
    import tensorflow as tf

    def every(crops, looks):
        return each(group.appearance, crops, looks)

    return tf.function(every, autograph=False, jit_compile=True)


@functools.cache
def cut_and_change(group):
    """Compiled: boxes of the images of a batch, scaled, and their appearance."""
    import tensorflow as tf

    def of_image(image, boxes, looks):
        def crop(box, look):
            x = scaled_by_products(image, box, *group.scaling)
            return group.appearance(unit_range(x, image.dtype), look)

        return each(crop, boxes, looks)

    return tf.function(functools.partial(each, of_image), autograph=False, jit_compile=True)


def each(function, *tensors):
    """`function` of the first elements, of the second and so on, in one tensor."""
    import tensorflow as tf

    return tf.map_fn(lambda x: function(*x), tensors, fn_output_signature=tf.float32)
