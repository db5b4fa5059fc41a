"""Labelled audio files, and the `tf.data` pipeline over them."""

import csv
import os
from dataclasses import dataclass, field

import numpy as np

from keras_resnets.datasets import pipeline
from keras_resnets.datasets.trials import Trials, read_trials
from keras_resnets.preprocessing.audio_file import find_audio, read_audio

CACHE_BYTES = 1 << 30


@dataclass(frozen=True, eq=False)
class AudioFiles:
    """Labelled audio files.

    Args:
        paths: list of file names.
        labels: int32 array, the class of each file.
        class_names: list, the speaker of each class.
        root: the folder that trial lists are relative to.
    """

    paths: list
    labels: np.ndarray
    class_names: list
    root: str
    _cache: dict = field(default_factory=dict, init=False, repr=False)

    def __len__(self):
        return len(self.paths)

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
        cache=True,
        drop_remainder=False,
        sampling_rate=16000,
        resample=False,
    ):
        """A `tf.data.Dataset` of float32 waveforms in [-1, 1] and int32 labels.

        The order is a function of `(seed, epoch)`, a crop one of `(seed, epoch, index)`, with no
        other state: `dataset(..., epoch=3, start_batch=40)` goes on exactly where a run stopped.

        Args:
            crop: int, samples of a random crop, or `None` for whole files. The start is uniform
                over all valid ones, the last included; short audio is tiled.
            batch_size: int, or `None` for single examples.
            shuffle: bool, a new order each epoch.
            seed: int, at least 0.
            epoch: int, the epoch to begin with.
            start_batch: int, batches of that epoch to leave out, without reading them.
            repeat: bool, whether the following epochs follow, without end. A batch never spans two
                epochs. Without it, iterating again gives the same epoch again.
            speeds: speeds that every file is played at. N speakers at 3 speeds are 3N classes,
                `label + N * index of the speed`, and an epoch is three times as long.
            cache: bool, whether decoded audio is kept in memory, up to 1 GiB.
            drop_remainder: bool, leave out the last batch of an epoch if it is not full.
            sampling_rate: int, in Hz.
            resample: bool, whether files of another rate are resampled or refused.

        Returns:
            With `crop`: `(waveform (crop,), label)`, batched if asked. Without: `(waveform, label)`
            of any length, or batches `((waveform, lengths), label)` padded with zeros.

        Example:

        >>> from keras_resnets import datasets
        >>> speech = datasets.load("speech_sample").train
        >>> for waveform, label in speech.dataset(crop=32000, batch_size=8, shuffle=True).take(1):
        ...     print(waveform.shape, label.shape)
        (8, 32000) (8,)
        """
        import tensorflow as tf

        pipeline.check_arguments(crop, batch_size, seed, epoch, start_batch, speeds)
        total = len(self) * len(speeds)

        def order(e):
            index = np.random.default_rng((seed, e)).permutation(total) if shuffle else range(total)
            skipped = start_batch * (batch_size or 1) if e == epoch else 0
            return np.array(index, "int64")[skipped:]

        def example(e, index):
            file, speed = index % len(self), index // len(self)
            waveform = self._read(file, speeds[speed], cache, sampling_rate, resample)
            if crop is not None:
                waveform = pipeline.random_crop(waveform, crop, (seed, e, index))
            return waveform, np.int32(self.labels[file] + len(self.class_names) * speed)

        def load(e, index):
            waveform, label = tf.numpy_function(example, [e, index], (tf.int16, tf.int32))
            return tf.ensure_shape(waveform, [crop]), tf.ensure_shape(label, [])

        def one_epoch(e):
            # Outside a repetition the order is a constant, so that the length is known to `fit`.
            indices = tf.numpy_function(order, [e], tf.int64) if repeat else order(epoch)
            dataset = tf.data.Dataset.from_tensor_slices(tf.ensure_shape(indices, [None]))
            dataset = dataset.map(lambda i: load(e, i), num_parallel_calls=tf.data.AUTOTUNE)
            return pipeline.finish(dataset, crop, batch_size, drop_remainder)

        return pipeline.epochs(one_epoch, epoch, repeat)

    def _read(self, file, speed, cache, sampling_rate, resample):
        key = (int(file), speed, sampling_rate)
        waveform = self._cache.get(key)
        if waveform is None:
            if speed == 1:
                waveform = read_audio(self.paths[file], sampling_rate, resample)
                waveform = pipeline.to_int16(waveform)
            else:
                original = self._read(file, 1.0, cache, sampling_rate, resample)
                waveform = pipeline.at_speed(original, speed)
            held = self._cache.get("bytes", 0)
            if cache and held + waveform.nbytes <= CACHE_BYTES:
                self._cache["bytes"] = held + waveform.nbytes
                self._cache[key] = waveform
        return waveform


@dataclass(frozen=True, eq=False)
class AudioData:
    """A speaker data set: `train` and `test` files (or `None`), and verification `trials`.

    `train` and `test` are `AudioFiles` or `TFDSAudio`. The names in `trials` are relative to
    `test.root`.
    """

    train: object
    test: object = None
    trials: Trials | None = None


def audio_folder(directory):
    """Reads a folder of speakers.

    Three layouts are understood:

    - `train.csv`, and maybe `dev.csv` and `dev_trials.txt`: tables with the columns `path`
      (relative to the folder) and `speaker`;
    - subfolders `train/` and `test/` (or `dev/`), with `speaker/.../file` in each;
    - `speaker/.../file` in the folder itself, as VoxCeleb is laid out: all of it is training data.

    A trial list beside them (`dev_trials.txt`, `test_trials.txt` or `trials.txt`) is read too; its
    names are relative to the folder in the first layout, and to the test folder in the second.

    Args:
        directory: the folder.

    Returns:
        `AudioData`.

    Raises:
        FileNotFoundError: if the folder does not exist.
        ValueError: if a table is malformed, or no audio is found.
    """
    directory = os.path.abspath(directory)
    if not os.path.isdir(directory):
        raise FileNotFoundError(f"`directory` must be a folder. Received: directory={directory}")
    inside = set(os.listdir(directory))
    if "train.csv" in inside:
        train = _from_table(directory, "train.csv")
        held_out = [name for name in ("dev.csv", "test.csv") if name in inside]
        test = _from_table(directory, held_out[0]) if held_out else None
    elif "train" in inside:
        train = _from_speakers(os.path.join(directory, "train"))
        held_out = [name for name in ("test", "dev") if name in inside]
        test = _from_speakers(os.path.join(directory, held_out[0])) if held_out else None
    else:
        train, test = _from_speakers(directory), None
    lists = [n for n in ("dev_trials.txt", "test_trials.txt", "trials.txt") if n in inside]
    trials = read_trials(os.path.join(directory, lists[0])) if lists and test else None
    return AudioData(train, test, trials)


def _labelled(paths, speakers, root):
    names = sorted(set(speakers))
    index = {name: i for i, name in enumerate(names)}
    labels = np.array([index[speaker] for speaker in speakers], "int32")
    return AudioFiles(paths, labels, names, root)


def _from_table(directory, name):
    path = os.path.join(directory, name)
    with open(path, encoding="utf-8", newline="") as file:
        rows = csv.DictReader(file)
        if not {"path", "speaker"} <= set(rows.fieldnames or ()):
            raise ValueError(
                f"A table must have the columns `path` and `speaker`. Received: {path} with "
                f"columns {rows.fieldnames}"
            )
        rows = list(rows)
    for number, row in enumerate(rows, 2):
        if not row["path"] or not row["speaker"]:
            raise ValueError(f"`path` or `speaker` is empty. Received: {path}, line {number}")
    if not rows:
        raise ValueError(f"A table must have at least one row. Received: {path}, empty")
    paths = [os.path.join(directory, row["path"]) for row in rows]
    return _labelled(paths, [row["speaker"] for row in rows], directory)


def _from_speakers(directory):
    paths = find_audio(directory)
    speakers = [os.path.relpath(path, directory).split(os.sep)[0] for path in paths]
    loose = [path for path, name in zip(paths, speakers) if os.path.dirname(path) == directory]
    if loose or not paths:
        found = f"audio outside a speaker's folder: {loose[0]}" if loose else "no audio"
        raise ValueError(
            "A folder of speakers must hold files as speaker/.../file. Received: "
            f"directory={directory}, with {found}"
        )
    return _labelled(paths, speakers, directory)
