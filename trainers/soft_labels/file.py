"""The file of stored soft labels: a TFRecord file of a header, a record an image, and their count.

An image's record has its crops' boxes and flips, the best classes and their probabilities, and the
image's size and mean, by which another order of the images is noticed.
"""

import json
from dataclasses import asdict, dataclass

import numpy as np
import tensorflow as tf

FORMAT = "keras_resnets soft labels 1"
TOLERANCE = 1e-3  # by which probabilities may miss the sum of 1; half precision misses it by 5e-4
FEATURES = {
    **{
        name: tf.io.FixedLenFeature((), tf.string)
        for name in ("boxes", "flips", "indices", "probabilities")
    },
    "shape": tf.io.FixedLenFeature((2,), tf.int64),
    "mean": tf.io.FixedLenFeature((), tf.float32),
}


@dataclass(frozen=True)
class Header:
    """What all records share.

    Args:
        classes: int, classes of the teachers.
        top_k: int, classes kept of them.
        crops: int, crops an image.
        size: int, side of the crops.
        temperature: float, of the probabilities.
    """

    classes: int
    top_k: int
    crops: int
    size: int
    temperature: float

    def to_bytes(self):
        return json.dumps({"format": FORMAT, **asdict(self)}).encode()

    @classmethod
    def from_bytes(cls, record, path):
        try:
            fields = json.loads(record)
            if fields.pop("format") != FORMAT:
                raise KeyError("format")
            return cls(**fields)
        except (ValueError, KeyError, TypeError, AttributeError):
            raise ValueError(
                f"`path` must be a file of `trainers.soft_labels.precompute`. Received: {path}, "
                f"which begins with {record[:40]!r}"
            ) from None

    @property
    def index_type(self):
        """The smallest type that holds a class."""
        return tf.int16 if self.classes <= 2**15 else tf.int32

    def encode(self, boxes, flips, indices, probabilities, shape, mean):
        """An image's record, from arrays over its crops."""
        values = {
            "boxes": np.asarray(boxes, "float32"),
            "flips": np.asarray(flips, "uint8"),
            "indices": np.asarray(indices, self.index_type.as_numpy_dtype),
            "probabilities": np.asarray(probabilities, "float16"),
        }
        features = {
            name: tf.train.Feature(bytes_list=tf.train.BytesList(value=[array.tobytes()]))
            for name, array in values.items()
        }
        features["shape"] = tf.train.Feature(int64_list=tf.train.Int64List(value=shape))
        features["mean"] = tf.train.Feature(float_list=tf.train.FloatList(value=[mean]))
        example = tf.train.Example(features=tf.train.Features(feature=features))
        return example.SerializeToString(deterministic=True)

    def decode(self, records):
        """A dict of tensors of serialised records (B,): the arrays of `encode`, batched."""
        parsed = tf.io.parse_example(records, FEATURES)
        crops, k = self.crops, self.top_k
        for name, kind, shape in (
            ("boxes", tf.float32, (crops, 4)),
            ("flips", tf.uint8, (crops,)),
            ("indices", self.index_type, (crops, k)),
            ("probabilities", tf.float16, (crops, k)),
        ):
            parsed[name] = tf.reshape(tf.io.decode_raw(parsed[name], kind), (-1, *shape))
        parsed["flips"] = parsed["flips"] > 0
        parsed["indices"] = tf.cast(parsed["indices"], tf.int32)
        parsed["probabilities"] = tf.cast(parsed["probabilities"], tf.float32)
        return parsed


def check_probabilities(probabilities, source, whole=True):
    """Raise `ValueError` where rows (..., K) are no probabilities.

    Args:
        probabilities: float array.
        source: str, what they are called in the message.
        whole: whether rows must sum to 1; else they may be parts of such rows.
    """
    sums = np.sum(probabilities, -1, dtype="float64")
    wrong = ~np.isfinite(sums) | (sums > 1 + TOLERANCE) | (np.min(probabilities, -1) < 0)
    if whole:
        wrong |= sums < 1 - TOLERANCE
    if np.any(wrong):
        row = np.asarray(probabilities)[wrong][0]
        raise ValueError(
            f"{source} must be probabilities that sum to 1 (tolerance {TOLERANCE}). "
            f"Received: {np.round(row[:5], 4)}..., which sum to {np.sum(row):.4f}"
        )


def verify(path):
    """Read a file once from its beginning to its end.

    Returns:
        `Header`, and the number of images.

    Raises:
        FileNotFoundError: no such file.
        ValueError: another kind of file, one that is damaged or cut off, or soft labels that are no
            probabilities.
    """
    if not tf.io.gfile.exists(path) or tf.io.gfile.isdir(path):
        raise FileNotFoundError(f"A file of soft labels that exists is needed. Received: {path}")
    header, images, end = None, 0, None
    try:
        for records in tf.data.TFRecordDataset(path).batch(1024).as_numpy_iterator():
            records = [*records]
            if header is None:
                header = Header.from_bytes(records.pop(0), path)
            if records and records[-1][:1] == b"{":
                end = json.loads(records.pop())["images"]
            if records:
                _verify_records(header.decode(tf.constant(records)), header, path)
            images += len(records)
    except (tf.errors.DataLossError, tf.errors.InvalidArgumentError) as error:
        reason = error.message.partition("\n")[0]
        raise ValueError(
            f"`path` must be a whole file of soft labels. Received: {path}, which is damaged or "
            f"another kind of file after {images} images: {reason}. Write it again by `precompute`."
        ) from None
    if end != images:
        raise ValueError(
            f"`path` must be a whole file of soft labels. Received: {path}, which is cut off after "
            f"{images} images. Write it again by `precompute`."
        )
    return header, images


def _verify_records(records, header, path):
    source = f"The soft labels in {path}"
    whole = header.top_k == header.classes
    check_probabilities(records["probabilities"].numpy(), source, whole)
    indices = records["indices"].numpy()
    if indices.min() < 0 or indices.max() >= header.classes:
        raise ValueError(
            f"{source} must be of classes in [0, {header.classes}). "
            f"Received: {indices.min()} to {indices.max()}"
        )
