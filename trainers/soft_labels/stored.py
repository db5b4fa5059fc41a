"""Training on crops and soft labels that were stored."""

import tensorflow as tf

from keras_resnets.datasets import pipeline
from trainers.soft_labels.boxes import cut, image_of, mean_of
from trainers.soft_labels.file import verify
from trainers.soft_labels.shuffling import shuffled

MODES = ("marginal_smoothing", "marginal_renorm", "smoothing", "hard")


class StoredSoftLabels:
    """The file of `precompute`: crops and soft labels for training, in place of the teachers.

    `trainers.MEALV2(student, StoredSoftLabels(path))` and `trainers.Distiller` train on its
    `dataset`; so does any Keras model with
    `keras.losses.CategoricalCrossentropy(from_logits=True)`. The whole file is read and checked
    once, here.

    Args:
        path: file of `precompute`.
        mode: what a row becomes of the classes that were kept: `"marginal_smoothing"`: they keep
            their probabilities, the others share what is left; `"marginal_renorm"`: they alone,
            scaled to sum to 1; `"smoothing"`: the best keeps its probability, the others share what
            is left; `"hard"`: the best alone.

    Attributes:
        classes, top_k, crops, size, temperature: as `precompute` had them.
        images: int.

    Raises:
        FileNotFoundError: no such file.
        ValueError: an unknown mode; a file of another kind, damaged or cut off; soft labels that
            are no probabilities.

    Example:

    >>> import tempfile
    >>> data = kr.datasets.load("fashion_sample").test.take(16)
    >>> model = kr.cifar_resnet(8, 4, input_shape=(28, 28, 1))
    >>> path = trainers.soft_labels.precompute(
    ...     data, model, tempfile.mkdtemp() + "/labels", crops=4, size=28)
    >>> stored = trainers.soft_labels.StoredSoftLabels(path)
    >>> images, soft_labels = next(iter(stored.dataset(data, batch_size=8, num_crops=2)))
    >>> images.shape, soft_labels.shape
    (TensorShape([8, 28, 28, 1]), TensorShape([8, 10]))

    Reference:
        Shen and Xing, FKD, ECCV 2022 (arXiv 2112.01528), sections 3.2 and 3.3.
    """

    def __init__(self, path, mode="marginal_smoothing"):
        if mode not in MODES:
            raise ValueError(f"`mode` must be one of {MODES}. Received: mode={mode!r}")
        self.path = str(path)
        self.mode = mode
        self.header, self.images = verify(self.path)

    classes = property(lambda self: self.header.classes)
    top_k = property(lambda self: self.header.top_k)
    crops = property(lambda self: self.header.crops)
    size = property(lambda self: self.header.size)
    temperature = property(lambda self: self.header.temperature)

    def __repr__(self):
        return (
            f"<StoredSoftLabels: {self.images} images, {self.crops} crops each, "
            f"{self.top_k} of {self.classes} classes>"
        )

    def dataset(
        self,
        images,
        batch_size,
        num_crops=8,
        seed=0,
        epoch=0,
        start_batch=0,
        normalize=None,
        labels=False,
        shuffle=1024,
        repeat=False,
    ):
        """Batches of crops and their soft labels, each of `batch_size / num_crops` images.

        Order and choice of the crops depend on the seed, the epoch and the image's number only. One
        pass gives `num_crops` crops of every image.

        Args:
            images: the `dataset` of `precompute`, in the same order.
            batch_size: int, crops a batch; whole batches only.
            num_crops: int, crops of an image in a batch, drawn from those stored.
            seed, epoch, start_batch: int; where to begin.
            normalize: function of a batch of crops: that of `precompute`.
            labels: whether the labels in `images` come too, for metrics or `label_weight`.
            shuffle: int, images that are shuffled at a time; 0: none.
            repeat: whether further epochs follow, without end.

        Returns:
            `tf.data.Dataset` of `(images, soft_labels)`, or of `(images, (soft_labels, labels))`.

        Raises:
            ValueError: an argument out of range, or as many images as the file does not have.
                Images in another order are an error of the first batch.
        """
        self._check(images, batch_size, num_crops, labels)
        together = batch_size // num_crops

        def take(number, example, record):
            image, label = example if labels else (example, 0)
            known = self.header.decode(record[None])
            known = {name: value[0] for name, value in known.items()}
            with tf.control_dependencies(_same(image, known)):
                order = tf.random.stateless_uniform(
                    (self.crops,), tf.random.fold_in(tf.constant((seed, 1), tf.int64), number)
                )
            chosen = tf.argsort(order)[:num_crops]
            boxes, flips, indices, probabilities = (
                tf.gather(known[name], chosen)
                for name in ("boxes", "flips", "indices", "probabilities")
            )
            crops = cut(image, boxes, flips, self.size)
            return crops, indices, probabilities, tf.repeat(label, num_crops)

        def finish(crops, indices, probabilities, label):
            crops, indices, probabilities = (
                tf.reshape(x, (batch_size, *x.shape[2:])) for x in (crops, indices, probabilities)
            )
            crops = crops if normalize is None else normalize(crops)
            soft = self.rows(indices, probabilities)
            return crops, (soft, tf.reshape(label, (-1,))) if labels else soft

        examples = images.map(_example if labels else image_of)
        records = tf.data.TFRecordDataset(self.path).skip(1)
        pairs = tf.data.Dataset.zip(
            examples.apply(tf.data.experimental.assert_cardinality(self.images)),
            records.take(self.images),
        )
        per_epoch = self.images // together

        def one_epoch(e):
            numbered = pairs.enumerate(e * self.images).map(lambda n, pair: (n, *pair))
            if shuffle:
                numbered = shuffled(numbered, shuffle, (seed, 2), e)
            begin = tf.where(e == epoch, tf.constant(start_batch, tf.int64), 0)
            parts = numbered.skip(begin * together)
            parts = parts.map(take, num_parallel_calls=tf.data.AUTOTUNE)
            return parts.batch(together, drop_remainder=True)

        batches = pipeline.epochs(one_epoch, epoch, repeat)
        batches = batches.map(finish, num_parallel_calls=tf.data.AUTOTUNE)
        if not repeat:
            count = tf.data.experimental.assert_cardinality(max(0, per_epoch - start_batch))
            batches = batches.apply(count)
        return batches.prefetch(tf.data.AUTOTUNE)

    def rows(self, indices, probabilities):
        """Soft labels (B, classes) of the classes kept (B, k) and their probabilities (B, k)."""
        others = tf.zeros_like(probabilities[:, 0])
        if self.mode in ("smoothing", "hard"):
            indices, probabilities = indices[:, :1], probabilities[:, :1]
        kept = probabilities.shape[-1]
        total = tf.reduce_sum(probabilities, -1)
        if self.mode == "hard":
            probabilities = tf.ones_like(probabilities)
        elif self.mode == "marginal_renorm" or kept == self.classes:
            probabilities /= total[:, None]
        else:
            others = tf.maximum(1 - total, 0) / (self.classes - kept)
        rows = tf.repeat(others[:, None], self.classes, 1)
        numbers = tf.repeat(tf.range(tf.shape(indices)[0])[:, None], kept, 1)
        return tf.tensor_scatter_nd_update(rows, tf.stack([numbers, indices], -1), probabilities)

    def split(self, targets):
        """Soft labels, and labels or None, of a batch of `dataset`."""
        soft = targets[0] if isinstance(targets, tuple) else targets
        if soft is None or not soft.dtype.is_floating or soft.shape[-1] != self.classes:
            raise ValueError(
                "Training with stored soft labels needs `(images, soft_labels)`, as "
                f"`StoredSoftLabels.dataset` gives them. Received: {targets}"
            )
        return soft, self.labels(targets)

    def labels(self, targets):
        """The labels in a batch's targets, or None: of `dataset`, or those of `evaluate`."""
        if isinstance(targets, tuple):
            return targets[1]
        return None if targets.dtype.is_floating else targets

    def _check(self, images, batch_size, num_crops, labels):
        if not 1 <= num_crops <= self.crops or batch_size % num_crops or batch_size < 1:
            raise ValueError(
                f"`num_crops` must be at most {self.crops} and divide `batch_size`. "
                f"Received: num_crops={num_crops}, batch_size={batch_size}"
            )
        found = int(images.cardinality())
        if found not in (self.images, tf.data.UNKNOWN_CARDINALITY):
            raise ValueError(
                f"`images` must be the {self.images} images of `precompute`. Received: {found}"
            )
        if labels and not isinstance(images.element_spec, tuple):
            raise ValueError(
                f"`labels=True` needs a dataset of (image, label). Received: {images.element_spec}"
            )


def _example(image, label):
    return image_of(image), label


def _same(image, known):
    """Assertions that an image is the one that a record was written for."""
    mean = known["mean"]
    same = tf.reduce_all(tf.shape(image, tf.int64)[:2] == known["shape"])
    same &= tf.abs(mean_of(image) - mean) <= 1e-3 + 0.02 * tf.abs(mean)  # decoders differ a little
    message = "The images must come in the order of `precompute`: shape and mean are another's."
    return [tf.debugging.Assert(same, [message, tf.shape(image), known["shape"], mean])]
