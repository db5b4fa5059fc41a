"""TensorFlow Datasets: VoxCeleb and other audio, and images."""

from dataclasses import dataclass

import numpy as np

from keras_resnets.datasets import pipeline
from keras_resnets.datasets.audio import AudioData
from keras_resnets.datasets.image import ImageStream

SHUFFLE_BLOCK = 2048


@dataclass(frozen=True, eq=False)
class TFDSAudio:
    """One split of a prepared TFDS audio set, read as a stream.

    Args:
        builder: the TFDS builder, with features `audio` (integers, full scale 32768) and `label`.
        split: str.
        class_names: list, the speaker of each class.
        first_label: int, the TFDS label of class 0.
    """

    builder: object
    split: str
    class_names: list
    first_label: int = 0

    def __len__(self):
        return self.builder.info.splits[self.split].num_examples

    def dataset(
        self,
        crop=None,
        batch_size=None,
        shuffle=False,
        seed=0,
        epoch=0,
        start_batch=0,
        repeat=False,
        speeds=(1.0,),
        cache=False,
        drop_remainder=False,
        sampling_rate=16000,
        resample=False,
    ):
        """As `AudioFiles.dataset`, with three differences of a stream.

        Examples are shuffled in blocks of 2048 (TFDS has shuffled them all once, when it prepared
        the set), `start_batch` reads what it leaves out, and `cache=True` keeps the whole split in
        memory as int16, without a limit.
        """
        import tensorflow as tf

        pipeline.check_arguments(crop, batch_size, seed, epoch, start_batch, speeds)
        rate = self.builder.info.features["audio"].sample_rate or sampling_rate
        if rate != sampling_rate and not resample:
            raise ValueError(
                f"`sampling_rate` must be the data's {rate} Hz (or pass `resample=True`). "
                f"Received: sampling_rate={sampling_rate}"
            )
        examples, classes = len(self), len(self.class_names)

        def example(e, index, audio, label, speed):
            label = label - self.first_label
            if not 0 <= label < classes:
                raise ValueError(f"A label must lie in [0, {classes}). Received: {label}")
            if rate != sampling_rate:
                audio = pipeline.resampled(audio, rate, sampling_rate)
            waveform = pipeline.at_speed(audio, speeds[speed])
            if crop is not None:
                seeds = (seed, e, index + examples * speed)
                waveform = pipeline.random_crop(waveform, crop, seeds)
            return waveform, np.int32(label + classes * speed)

        def load(e, index, audio, label, speed):
            inputs = [e, index, audio, label, speed]
            waveform, label = tf.numpy_function(example, inputs, (tf.int16, tf.int32))
            return tf.ensure_shape(waveform, [crop]), tf.ensure_shape(label, [])

        source = self.builder.as_dataset(split=self.split, shuffle_files=False)
        source = source.map(lambda x: (tf.cast(x["audio"], tf.int16), x["label"]))
        source = source.cache() if cache else source

        def one_epoch(e):
            dataset = source.enumerate().flat_map(
                lambda index, x: tf.data.Dataset.range(len(speeds)).map(
                    lambda speed: (index, *x, speed)
                )
            )
            dataset = dataset.map(lambda *x: load(e, *x), num_parallel_calls=tf.data.AUTOTUNE)
            if shuffle:
                dataset = _shuffled_in_blocks(dataset, seed * 1_000_003 + e, crop is None)
            skipped = tf.where(e == epoch, start_batch * (batch_size or 1), 0)
            return pipeline.finish(
                dataset.skip(tf.cast(skipped, tf.int64)), crop, batch_size, drop_remainder
            )

        return pipeline.epochs(one_epoch, epoch, repeat)


def _shuffled_in_blocks(dataset, seed, ragged):
    """Unlike `Dataset.shuffle`, a function of `seed` alone, which may be a tensor."""
    import tensorflow as tf

    def shuffled(index, block):
        order = tf.range(tf.size(block[1]))
        order = tf.random.experimental.stateless_shuffle(order, tf.stack([seed, index]))
        return tuple(tf.gather(part, order) for part in block)

    blocks = dataset.ragged_batch(SHUFFLE_BLOCK) if ragged else dataset.batch(SHUFFLE_BLOCK)
    blocks = blocks.enumerate().map(shuffled)
    return blocks.prefetch(1).unbatch()


def _builder(name):
    try:
        import tensorflow_datasets
    except ImportError as error:
        raise ImportError(
            "TensorFlow Datasets is missing: pip install keras_resnets[tfds]"
        ) from error
    builder = tensorflow_datasets.builder(name)
    builder.download_and_prepare()
    return builder


def load_tfds(name):
    """A TFDS audio set as `AudioData`, an image set as an `ImageStream`."""
    builder = _builder(name)
    features = builder.info.features
    known = set(features)
    if "label" not in known or not known & {"audio", "image"}:
        raise ValueError(
            "A TFDS data set must have the features `audio` or `image`, and `label`. "
            f"Received: {name!r} with {sorted(known)}"
        )
    label = features["label"]
    splits = {split: split in builder.info.splits for split in ("train", "test", "validation")}
    held_out = "test" if splits["test"] else "validation" if splits["validation"] else None
    if "audio" not in known:
        read = {
            split: builder.as_dataset(split=split, as_supervised=False, shuffle_files=False)
            for split in filter(None, ("train", held_out))
        }
        read = {
            split: stream.map(lambda x: (x["image"], x["label"])) for split, stream in read.items()
        }
        return ImageStream(read["train"], read.get(held_out), list(label.names))
    if builder.name == "voxceleb":
        # Its label is the number NNNN of speaker id1NNNN: 1252 classes, of which 0 never occurs.
        names, first = [f"id1{number:04d}" for number in range(1, label.num_classes)], 1
    else:
        names, first = list(label.names), 0
    parts = [
        TFDSAudio(builder, split, names, first) if split else None for split in ("train", held_out)
    ]
    return AudioData(*parts)
