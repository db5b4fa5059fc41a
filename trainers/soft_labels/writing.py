"""Asking teachers about random crops, once."""

import keras
import numpy as np
import tensorflow as tf

from keras_resnets.files import write_whole
from trainers.soft_labels.boxes import cut, image_of, mean_of, sample_boxes
from trainers.soft_labels.file import Header, check_probabilities
from trainers.teachers import Teachers


def precompute(
    dataset,
    teachers,
    path,
    crops=8,
    top_k=5,
    size=224,
    seed=0,
    batch_size=64,
    area=(0.08, 1.0),
    flip=True,
    normalize=None,
    temperature=1.0,
    verbose=0,
):
    """Ask teachers about random crops of every image, and keep the crops' places and the answers.

    The file has the boxes in shares of the image, whether a crop is mirrored, the `top_k` most
    probable classes and their probabilities in half precision: 37 bytes a crop for five classes. It
    is written beside `path` and moved there when it is complete.

    Args:
        dataset: `tf.data.Dataset` of images `(height, width, channels)` or of `(image, label)`, in
            an order that comes again: `StoredSoftLabels` wants the same.
        teachers: what `trainers.teachers.Teachers` takes, or one, which may weigh its teachers and
            prepare their inputs.
        path: file to write.
        crops: int, crops an image.
        top_k: int, classes kept; all of them keep the whole answer.
        size: int, side of the crops.
        seed: int.
        batch_size: int, crops that the teachers are asked about at a time.
        area: least and greatest share of the image in a crop.
        flip: whether half the crops are mirrored.
        normalize: function of a batch of crops, before the teachers see them.
        temperature: positive float that divides the teachers' logits.
        verbose: 1 shows a progress bar.

    Returns:
        `path`.

    Raises:
        ValueError: an argument out of range; no image; answers that are no probabilities.

    Example:

    >>> import tempfile
    >>> data = kr.datasets.load("fashion_sample").test.take(10)
    >>> teacher = kr.cifar_resnet(8, 4, input_shape=(28, 28, 1))
    >>> path = trainers.soft_labels.precompute(
    ...     data, teacher, tempfile.mkdtemp() + "/labels", crops=4, size=28)
    >>> trainers.soft_labels.StoredSoftLabels(path)
    <StoredSoftLabels: 10 images, 4 crops each, 5 of 10 classes>

    Reference:
        Shen and Xing, A Fast Knowledge Distillation Framework for Visual Recognition, ECCV 2022
        (arXiv 2112.01528), section 3.
    """
    for name, value in (
        ("crops", crops),
        ("top_k", top_k),
        ("size", size),
        ("batch_size", batch_size),
        ("temperature", temperature),
    ):
        if not value > 0 or (name != "temperature" and value != int(value)):
            kind = "number" if name == "temperature" else "integer"
            raise ValueError(f"`{name}` must be a positive {kind}. Received: {name}={value}")
    if not isinstance(teachers, Teachers):
        teachers = Teachers(teachers)

    def crop(number, image):
        here = tf.random.fold_in(tf.constant((seed, 0), tf.int64), number)
        boxes = sample_boxes(tf.shape(image)[:2], here, crops, area)
        chance = tf.random.stateless_uniform((crops,), tf.random.fold_in(here, crops))
        flips = (chance < 0.5) & flip
        return cut(image, boxes, flips, size), boxes, flips, tf.shape(image)[:2], mean_of(image)

    @tf.function
    def ask(images):
        images = tf.reshape(images, (-1, *images.shape[2:]))
        targets, _ = teachers(images if normalize is None else normalize(images), temperature)
        return tf.ensure_shape(targets, (None, None))

    images = dataset.map(image_of).enumerate().map(crop, num_parallel_calls=tf.data.AUTOTUNE)
    images = images.batch(max(1, batch_size // crops)).prefetch(2)
    known = int(dataset.cardinality())
    bar = keras.utils.Progbar(known if known > 0 else None, verbose=verbose, unit_name="image")
    header, count = None, 0
    with write_whole(path) as place, tf.io.TFRecordWriter(str(place)) as file:
        for pieces, *parts in images:
            answers = ask(pieces).numpy()
            check_probabilities(answers, "The teachers' answers")
            if header is None:
                header = _header(answers.shape[-1], top_k, crops, size, temperature)
                file.write(header.to_bytes())
            best = np.argsort(-answers, -1, kind="stable")[:, :top_k]
            best = best.reshape(-1, crops, top_k)
            kept = np.take_along_axis(answers.reshape(*best.shape[:2], -1), best, -1)
            boxes, flips, shapes, means = (part.numpy() for part in parts)
            for record in zip(boxes, flips, best, kept, shapes, means):
                file.write(header.encode(*record))
            count += len(best)
            bar.add(len(best))
        if header is None:
            raise ValueError("`dataset` must have at least one image. Received: none")
        file.write(b'{"images": %d}' % count)
    return path


def _header(classes, top_k, crops, size, temperature):
    if top_k > classes:
        raise ValueError(
            f"`top_k` must not exceed the teachers' {classes} classes. Received: top_k={top_k}"
        )
    return Header(classes, int(top_k), int(crops), int(size), float(temperature))
