"""CutMix: a box of one image in another."""

import keras
import tensorflow as tf


@keras.saving.register_keras_serializable("keras_resnets")
class CutMix(keras.layers.Layer):
    """Pastes a box of another image of the batch into each image; the box is the same for all.

    Args:
        alpha: the images' share is drawn from Beta(alpha, alpha): for 1 uniformly. TensorFlow
            cannot compile another with XLA.
        seed: int.

    Example:

    >>> import numpy as np
    >>> CutMix(seed=0)(np.ones((4, 8, 8, 3), "float32")).shape
    TensorShape([4, 8, 8, 3])

    Reference:
        Yun et al., CutMix, ICCV 2019 (arXiv 1905.04899), appendix A.
    """

    def __init__(self, alpha=1.0, seed=None):
        super().__init__(dtype="float32", autocast=False)
        if not alpha > 0:
            raise ValueError(f"`alpha` must be positive. Received: alpha={alpha}")
        self.alpha = alpha
        self.seeds = keras.random.SeedGenerator(seed)
        self.built = True

    def get_config(self):
        return {"alpha": self.alpha, "seed": self.seeds.get_config()["seed"]}

    def call(self, images):
        """The mixed images (B, H, W, C)."""
        return self.mix(images)[0]

    def mix(self, images):
        """The mixed images, the numbers of those pasted (B,), and the share kept of each image."""
        images = tf.convert_to_tensor(images)
        batch, height, width = tf.unstack(tf.shape(images)[:3])
        if self.alpha == 1:  # which XLA can compile
            keep = keras.random.uniform((), seed=self.seeds)
        else:
            keep = keras.random.beta((), self.alpha, self.alpha, seed=self.seeds)
        share = tf.sqrt(1 - keep)

        def side(size):
            box = tf.cast(tf.cast(size, tf.float32) * share, tf.int32)
            centre = keras.random.uniform((), seed=self.seeds) * tf.cast(size, tf.float32)
            first = tf.cast(centre, tf.int32) - box // 2
            places = tf.range(size)
            return (places >= first) & (places < first + box)

        inside = side(height)[:, None] & side(width)[None]
        pairs = tf.argsort(keras.random.uniform((batch,), seed=self.seeds))
        mixed = tf.where(inside[None, :, :, None], tf.gather(images, pairs), images)
        return mixed, pairs, 1 - tf.reduce_mean(tf.cast(inside, tf.float32))
