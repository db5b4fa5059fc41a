"""Batches of labelled images, as a recipe wants them."""

from dataclasses import replace
from functools import partial

import numpy as np
import tensorflow as tf

from keras_resnets.datasets import pipeline
from keras_resnets.preprocessing import image as preprocessing

SHUFFLED = 1024  # images of a stream that are shuffled at a time
MEASURED = 1024  # images of a stream whose mean and deviation stand for all


class ImageBatches:
    """The batches that a recipe makes of labelled images.

    Order and augmentation of a batch depend on the seed, the epoch and the batch's number only, so
    that a training can go on where it was stopped (`trainers.Resume`). A stream (a folder, a set of
    TensorFlow Datasets) is shuffled by and by: begun at a later epoch it has another order.

    Args:
        data: images of `keras_resnets.datasets.load`.
        recipe: `ImageRecipe`.

    Attributes:
        image_shape: `(height, width, channels)` of what the network sees.
        classes: int.
        steps_per_epoch: int, whole batches an epoch.
        normalize: function of images in 0 to 255.

    Raises:
        ValueError: a stream of images of many sizes and a recipe without one; fewer images than a
            batch has.

    Example:

    >>> data = kr.datasets.load("fashion_sample")
    >>> batches = trainers.ImageBatches(data, trainers.recipes.RESNET_CIFAR10)
    >>> images, labels = next(iter(batches.train(seed=0)))
    >>> images.shape, batches.steps_per_epoch, len(batches.test())
    (TensorShape([128, 28, 28, 1]), 46, 4)
    """

    def __init__(self, data, recipe):
        self.recipe = recipe
        self.classes = len(data.class_names)
        self.data = data = with_channels(data)
        # whose crops are batched pieces of one size; others are cut image by image
        self.arrays = hasattr(data, "x_train") and recipe.crop != "resized"
        if self.arrays:
            self.x_train = self._prepared(data.x_train)
        spec = (self.x_train if self.arrays else data.train.element_spec[0]).shape
        channels = spec[-1]
        sides = spec[-3:-1] if recipe.size is None else (recipe.size, recipe.size)
        if None in (*sides, channels):
            raise ValueError(
                "Images of many sizes need a recipe with a `size`. "
                f"Received: images {tuple(spec)}, size=None"
            )
        self.image_shape = (*map(int, sides), int(channels))
        self.examples = len(self.x_train) if self.arrays else int(data.train.cardinality())
        self.steps_per_epoch = self.examples // recipe.batch_size
        if self.steps_per_epoch < 1:
            raise ValueError(
                "`batch_size` must not exceed the training images. "
                f"Received: batch_size={recipe.batch_size}, {self.examples} images"
            )
        self.normalize = self._normalization()

    def train(self, seed=None, epoch=0, start_batch=0):
        """Training batches without end, of whole batches each.

        Args:
            seed: int; default: the recipe's.
            epoch, start_batch: where to begin.

        Returns:
            `tf.data.Dataset` of `(images, labels)`.
        """
        seed = self.recipe.seed if seed is None else seed
        read = self._read_arrays if self.arrays else self._read_stream

        def finish(number, batch):
            images, labels = batch
            return self.normalize(self._augment(images, _fold_in((seed, 2), number))), labels

        batches = read(seed, epoch, start_batch)
        batches = batches.enumerate(epoch * self.steps_per_epoch + start_batch)
        batches = batches.map(finish, num_parallel_calls=tf.data.AUTOTUNE)
        return batches.prefetch(tf.data.AUTOTUNE)

    def test(self, batch_size=256, normalized=True):
        """The test images in their order, a `tf.data.Dataset` of `(images, labels)`, or `None`."""
        if self.data.test is None:
            return None
        if self.arrays:
            images = (self._prepared(self.data.x_test), self.data.y_test)
            images = tf.data.Dataset.from_tensor_slices(images)
        else:
            images = self.data.test.map(self._test_image, num_parallel_calls=tf.data.AUTOTUNE)
        images = images.batch(batch_size)
        if normalized:
            images = images.map(lambda x, y: (self.normalize(x), y))
        return images.prefetch(tf.data.AUTOTUNE)

    def _read_arrays(self, seed, epoch, start_batch):
        x, y = tf.constant(self.x_train), tf.constant(self.data.y_train)

        def one_epoch(e):
            order = tf.random.experimental.stateless_shuffle(
                tf.range(self.examples), _fold_in((seed, 0), e)
            )
            batches = self._batch(tf.data.Dataset.from_tensor_slices(order))
            return batches.skip(tf.where(e == epoch, tf.constant(start_batch, tf.int64), 0))

        numbers = pipeline.epochs(one_epoch, epoch, repeat=True)
        return numbers.map(lambda n: (tf.gather(x, n), tf.gather(y, n)))

    def _read_stream(self, seed, epoch, start_batch):
        def cut(number, example):
            image, label = example
            if self.recipe.crop != "resized":
                return self._scaled(image), label
            crop = _fold_in((seed, 1), number)
            return preprocessing.random_resized_crop(image, crop, self.recipe.size), label

        images = self.data.train.shuffle(SHUFFLED, seed=seed * 1_000_003 + epoch).repeat()
        skipped = start_batch * self.recipe.batch_size
        images = images.skip(skipped).enumerate(epoch * self.examples + skipped)
        return self._batch(images.map(cut, num_parallel_calls=tf.data.AUTOTUNE))

    def _batch(self, examples):
        return examples.batch(self.recipe.batch_size, drop_remainder=True)

    def _augment(self, images, seed):
        crop, flip = tf.unstack(tf.random.split(seed))
        if self.recipe.crop == "pad":
            images = preprocessing.random_pad_crop(images, crop, self.recipe.pad)
        return preprocessing.random_flip(images, flip) if self.recipe.flip else images

    def _test_image(self, image, label):
        if self.recipe.crop == "resized":
            return preprocessing.eval_crop(image, self.recipe.size), label
        return self._scaled(image), label

    def _scaled(self, images):
        size = self.recipe.size
        if size is None or images.shape[-3:-1] == (size, size):
            return images
        return tf.image.resize(images, (size, size), antialias=True)

    def _prepared(self, images):
        """Arrays at the recipe's size."""
        parts = np.array_split(images, -(-len(images) // 512))
        return np.concatenate([np.asarray(self._scaled(part)) for part in parts])

    def _normalization(self):
        if self.recipe.normalization != "data":
            return partial(preprocessing.preprocess_input, mode=self.recipe.normalization)
        if self.arrays:
            images = self.x_train.reshape(-1, self.image_shape[-1])
        else:
            some = self.data.train.take(MEASURED)
            images = np.concatenate(
                [x.reshape(-1, self.image_shape[-1]) for x, _ in some.as_numpy_iterator()]
            )
        mean, deviation = images.mean(0, "float64"), images.std(0, "float64")
        return partial(preprocessing.normalize, mean=mean, deviation=np.maximum(deviation, 1e-6))


def with_channels(data):
    """Images in memory with an axis of channels; streams have one."""
    if not hasattr(data, "x_train") or data.x_train.ndim == 4:
        return data
    images = {name: getattr(data, name) for name in ("x_train", "x_test")}
    images = {name: x if x is None else x[..., None] for name, x in images.items()}
    return replace(data, **images)


def _fold_in(seed, number):
    return tf.random.fold_in(tf.cast(seed, tf.int64), number)
