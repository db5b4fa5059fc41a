"""Batches of views of images, for training without labels."""

import warnings

import numpy as np

from keras_resnets.datasets import pipeline
from keras_resnets.datasets.image_source import open_source
from keras_resnets.preprocessing.image import multi_crop

SHUFFLED = 1024  # images of a stream that are shuffled at a time


def multi_crop_dataset(
    source,
    batch_size,
    views=multi_crop,
    labels=None,
    seed=None,
    epoch=0,
    start_batch=0,
    repeat=False,
    shuffle=True,
    batched=False,
    cache=False,
    errors="raise",
    image_key="image/encoded",
    label_key=None,
):
    """A `tf.data.Dataset` of batches of views, for `trainers.SwAV` and `trainers.SimCLR`.

    With a `seed` the order is a function of `(seed, epoch)`, and an image's views one of `(seed,
    epoch, number of the image in the source)`, with no other state: `epoch=3, start_batch=40` goes
    on exactly where a run stopped. Batches are whole. Under `tf.distribute` each replica gets a
    part of every batch, so that all views of an image are together.

    Files and arrays are shuffled as a whole, before any is read. A stream (a dataset, records) is
    shuffled in blocks, and `start_batch` reads what it leaves out: its images should not come
    sorted.

    Args:
        source: a folder of images, at any depth; or of TFRecords (`*.tfrecord*`); a list of such
            files; a `tf.data.TFRecordDataset`; a `tf.data.Dataset` of encoded or decoded images,
            perhaps with labels; or an array `(images, height, width[, channels])`. Encoded images
            become three channels of uint8, of an animation the first image.
        batch_size: int.
        views: function of an image and a seed to a tensor or a tuple of tensors.
        labels: one an image, for files and arrays; `"inferred"`: the class folders' names in
            alphabetical order; None: only those that a dataset or records have.
        seed: int, at least 0; None: another each time.
        epoch: int, the epoch to begin with.
        start_batch: int, batches of that epoch to leave out.
        repeat: bool, whether the following epochs follow, without end, as `fit` with
            `steps_per_epoch` wants it. Without it, iterating again gives the same epoch again.
        shuffle: bool, a new order each epoch; or int, images in a block; True means 1024 for a
            stream.
        batched: bool, whether `views` takes a batch of images and of seeds at once: for small
            images of one size several times as fast, and the same result.
        cache: bool, whether images are decoded once and kept in memory.
        errors: `"raise"`; or `"ignore"`: images that cannot be read are left out, with a warning,
            and listed in the dataset's attribute `ignored`.
        image_key, label_key: features of a TFRecord; without `label_key` there are no labels.

    Returns:
        Dataset of what `views` returns, batched; or of `(views, labels)`.

    Raises:
        FileNotFoundError: no such folder.
        ValueError: an argument out of range, a source of another kind, fewer images than a batch.

    Example:

    >>> images = kr.datasets.load("fashion_sample").x_train[..., None]
    >>> def views(image, seed):
    ...     return kr.preprocessing.image.simclr_views(
    ...         image, seed, size=28, color_strength=0, grayscale=0)
    >>> data = kr.datasets.multi_crop_dataset(images, 64, views=views, seed=0, batched=True)
    >>> next(iter(data)).shape, len(data)
    (TensorShape([64, 2, 28, 28, 1]), 93)

    Reference:
        Caron et al., SwAV, NeurIPS 2020 (arXiv 2006.09882), section 3.3.
    """
    import tensorflow as tf

    if errors not in ("raise", "ignore"):
        raise ValueError(f'`errors` must be "raise" or "ignore". Received: errors={errors!r}')
    for name, value, least in (
        ("batch_size", batch_size, 1),
        ("seed", 0 if seed is None else seed, 0),
        ("epoch", epoch, 0),
        ("start_batch", start_batch, 0),
        ("shuffle", shuffle, 0),
    ):
        pipeline.check_integer(name, value, least)
    source = open_source(source, labels, image_key, label_key)
    ignore = errors == "ignore"
    _check_fit(source, batch_size, batched, {'errors="ignore"': ignore, "cache=True": cache})
    base = np.random.default_rng().integers(2**31) if seed is None else seed
    ignored = []

    read = _remembered(source) if cache else source.read

    def load(examples):
        if ignore:
            return _readable(examples, read, source.paths, ignored)
        return _map(examples, lambda number, item, *label: (number, read(number, item), *label))

    block = (source.count if source.light else SHUFFLED) if shuffle is True else shuffle

    def one_epoch(e):
        order, look = (tf.random.fold_in(tf.constant((base, n), tf.int64), e) for n in (0, 1))
        look = tf.random.fold_in(look, tf.constant(0, tf.int64))[0]

        def seen(number, image, *label):
            # `fold_in` of each number
            seed = tf.stack([tf.broadcast_to(look, tf.shape(number)), number], -1)
            return (views(image, seed), *label) if label else views(image, seed)

        examples = _shuffled(source, block, order) if block else source.items
        skipped = tf.where(e == epoch, tf.constant(start_batch * batch_size, tf.int64), 0)
        if ignore:  # only reading them tells which are left out
            examples = load(examples).skip(skipped)
        elif batched:
            examples = load(examples.skip(skipped).batch(batch_size, drop_remainder=True))
        else:
            examples = load(examples.skip(skipped))
        examples = _map(examples, seen)
        return examples if batched else examples.batch(batch_size, drop_remainder=True)

    options = tf.data.Options()
    options.deterministic = seed is not None
    # several workers share the images, not the files of a source that may have one
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.DATA
    dataset = pipeline.epochs(one_epoch, epoch, repeat).with_options(options)
    dataset.ignored = ignored
    return dataset


def _map(dataset, function):
    import tensorflow as tf

    return dataset.map(function, num_parallel_calls=tf.data.AUTOTUNE)


def _shuffled(source, block, seed):
    """Every `block` items in a random order, which nothing but the seed decides."""
    import tensorflow as tf

    def permute(number, columns):
        seeds = tf.random.fold_in(seed, number)
        order = tf.random.experimental.stateless_shuffle(tf.range(tf.size(columns[0])), seeds)
        return tuple(tf.gather(column, order) for column in columns)

    blocks = source.items.batch(block).enumerate().map(permute)
    items = blocks.prefetch(1).unbatch()
    if source.count is None:
        return items
    return items.apply(tf.data.experimental.assert_cardinality(source.count))


def _remembered(source):
    """As `source.read`, which it calls once an image."""
    import tensorflow as tf

    images = {}

    def look_up(number, item):
        if number not in images:
            images[number] = source.read(number, item).numpy()
        return images[number]

    def read(number, item):
        image = tf.numpy_function(look_up, [number, item], source.image.dtype)
        return tf.ensure_shape(image, source.image.shape)

    return read


def _readable(examples, read, paths, ignored):
    """The examples that are images; names of the others go to `ignored`."""
    import tensorflow as tf

    def report(number):
        name = paths[number] if paths else int(number)
        if name not in ignored:
            ignored.append(name)
            warnings.warn(f"An image cannot be read and is left out: {name}", stacklevel=2)
        return number

    def attempt(number, item, *label):
        # An error ends a dataset of one element, and nothing else.
        one = tf.data.Dataset.from_tensors((number, item)).map(read).ignore_errors()
        nothing = (False, tf.zeros((0, 0, 3), tf.uint8))
        found, image = one.reduce(nothing, lambda _, image: (True, image))
        number = tf.cond(
            found, lambda: number, lambda: tf.numpy_function(report, [number], tf.int64)
        )
        return found, tf.ensure_shape(number, ()), tf.ensure_shape(image, (None, None, 3)), *label

    examples = _map(examples, attempt).filter(lambda found, *_: found)
    return examples.map(lambda found, *example: example)


def _check_fit(source, batch_size, batched, encoded):
    if source.count is not None and source.count < batch_size:
        raise ValueError(
            "`source` must have the images of a batch at least. "
            f"Received: {source.count} images, batch_size={batch_size}"
        )
    if batched and not source.image.shape.is_fully_defined():
        raise ValueError("`batched=True` needs images of one known size, that are not encoded.")
    for name, given in encoded.items():
        if given and not source.encoded:
            raise ValueError(f"`{name}` is for files and encoded images. Received: decoded images")
