"""Images from anywhere, one by one: folders, files, records, datasets, arrays."""

import os
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from keras_resnets.datasets.image import find_images, folder_labels

RECORDS = ".tfrecord"


@dataclass(frozen=True, eq=False)
class ImageSource:
    """Numbered items, and how to read the image of one.

    Args:
        items: `tf.data.Dataset` of `(number, item)` or `(number, item, label)`, of fixed shapes.
        read: function of number and item, or of many at once where images are of one size, to an
            image `(height, width, channels)`.
        image: `tf.TensorSpec` of an image.
        count: number of items, or None where only reading them all tells.
        paths: the files' names, where items are such.
        light: bool, whether items are small, as names and numbers are.
        encoded: bool, whether images have to be decoded.
    """

    items: object
    read: object
    image: object
    count: int | None
    paths: list | None = None
    light: bool = False
    encoded: bool = False


def open_source(source, labels=None, image_key="image/encoded", label_key=None):
    """An `ImageSource` of what `multi_crop_dataset` takes."""
    import tensorflow as tf

    if isinstance(source, str | os.PathLike):
        source, labels = _folder(os.fspath(source), labels)
    if isinstance(source, list | tuple) and source and isinstance(source[0], str | os.PathLike):
        source = [os.fspath(path) for path in source]
        if not all(RECORDS in Path(path).name for path in source):
            return _in_order(source, labels, _read_file, _color(), paths=source, encoded=True)
        source = tf.data.TFRecordDataset(source)
    if isinstance(source, tf.data.Dataset):
        if labels is not None:
            raise ValueError(
                "`labels` of a dataset are in its elements, `(image, label)`, those of records "
                f"under `label_key`. Received: labels={labels!r}"
            )
        if isinstance(source, tf.data.TFRecordDataset):
            source = source.map(lambda record: _parse(record, image_key, label_key))
        return _stream(source)
    if len(getattr(source, "shape", ())) in (3, 4):
        images = tf.convert_to_tensor(source[..., None] if len(source.shape) == 3 else source)
        spec = tf.TensorSpec(images.shape[1:], images.dtype)
        numbers = np.arange(len(source))
        return _in_order(numbers, labels, lambda number, _: tf.gather(images, number), spec)
    raise ValueError(
        "`source` must be a folder, a list of image or record files, a `tf.data.Dataset`, or an "
        f"array (images, height, width[, channels]). Received: source={source!r:.200}"
    )


def _color():
    import tensorflow as tf

    return tf.TensorSpec((None, None, 3), tf.uint8)


def _decode(number, encoded):
    """Three channels of uint8, whatever the file has; of an animation the first image."""
    import tensorflow as tf

    image = tf.io.decode_image(encoded, channels=3, expand_animations=False)
    return tf.ensure_shape(image, (None, None, 3))


def _read_file(number, path):
    import tensorflow as tf

    return _decode(number, tf.io.read_file(path))


def _folder(path, labels):
    """The files below a folder, or one record file; labels of the class folders if asked for."""
    if RECORDS in Path(path).name and os.path.isfile(path):
        return [path], labels
    if not os.path.isdir(path):
        raise FileNotFoundError(f"`source` must be a folder that exists. Received: source={path}")
    files = find_images(path)
    if isinstance(labels, str):
        if labels != "inferred":
            raise ValueError(
                '`labels` must be None, "inferred" or one for each image. '
                f"Received: labels={labels!r}"
            )
        labels = folder_labels(files, path)[0]
    files = files or sorted(str(file) for file in Path(path).rglob(f"*{RECORDS}*"))
    if not files:
        raise ValueError(f"`source` must hold images or records. Received: source={path}")
    return files, labels


def _in_order(items, labels, read, image, **more):
    import tensorflow as tf

    if isinstance(labels, str):
        raise ValueError(f"`labels={labels!r}` is for a folder of class folders.")
    if labels is not None and len(labels) != len(items):
        raise ValueError(
            "`labels` must be as many as the images. "
            f"Received: {len(labels)} labels of {len(items)} images"
        )
    columns = (items,) if labels is None else (items, np.asarray(labels))
    numbered = tf.data.Dataset.from_tensor_slices((np.arange(len(items)), *columns))
    return ImageSource(numbered, read, image, len(items), light=True, **more)


def _stream(dataset):
    import tensorflow as tf

    spec = dataset.element_spec
    labelled = isinstance(spec, tuple) and len(spec) == 2
    image = spec[0] if labelled else spec
    encoded = isinstance(image, tf.TensorSpec) and (image.dtype, image.shape.rank) == (tf.string, 0)
    if not encoded and not (isinstance(image, tf.TensorSpec) and image.shape.rank in (3, None)):
        raise ValueError(
            "`source` must have elements `image` or `(image, label)`, an image encoded or of shape "
            f"(height, width, channels). Received: {spec}"
        )
    if encoded:
        pack, read, image = tf.identity, _decode, _color()
    elif image.shape.is_fully_defined():
        pack, read = tf.identity, lambda number, x: x
    else:  # only what is of one shape can be shuffled
        pack, read = tf.io.serialize_tensor, partial(_unpack, image)
    items = dataset.enumerate().map(
        (lambda n, x: (n, pack(x[0]), x[1])) if labelled else (lambda n, x: (n, pack(x)))
    )
    count = int(dataset.cardinality())
    return ImageSource(items, read, image, count if count >= 0 else None, encoded=encoded)


def _unpack(spec, number, packed):
    import tensorflow as tf

    return tf.ensure_shape(tf.io.parse_tensor(packed, spec.dtype), spec.shape)


def _parse(record, image_key, label_key):
    import tensorflow as tf

    features = {image_key: tf.io.FixedLenFeature((), tf.string)}
    if label_key is not None:
        features[label_key] = tf.io.FixedLenFeature((), tf.int64)
    found = tf.io.parse_single_example(record, features)
    return found[image_key] if label_key is None else (found[image_key], found[label_key])
