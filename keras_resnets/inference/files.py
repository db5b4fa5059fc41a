"""Embeddings of audio files."""

import os
import warnings
from dataclasses import dataclass

import keras
import numpy as np

from keras_resnets.inference.batches import by_length, compiled, sampling_rate_of
from keras_resnets.preprocessing.audio_file import audio_seconds, find_audio, read_audio


@dataclass(frozen=True, eq=False)
class Embeddings:
    """What `embed_files` made of a list of files.

    Args:
        paths: list of the files that were embedded, in the order given.
        vectors: float32 array `(len(paths), D)`.
        failed: dictionary of the other files: path to what is wrong with it.
    """

    paths: list
    vectors: np.ndarray
    failed: dict


def embed_files(model, paths, batch_size=16, resample=False, verbose=1):
    """Embeds audio files. A bad one is named in the result and in a warning, and skipped.

    Files of like length share a batch, and only one batch of audio is held in memory. A file of
    more than ten minutes is better given to `embed_long`.

    Args:
        model: Speech encoder that takes waveforms, such as
            `keras_resnets.ecapa_tdnn(frontend="kaldi_fbank")`.
        paths: List of mono audio files, or a folder: all audio files in and below it, sorted.
        batch_size: int, files in a batch; fewer where they are long.
        resample: Whether files of another rate than the model's are resampled, or are bad.
        verbose: 0 for no progress bar.

    Returns:
        `Embeddings(paths, vectors, failed)`. The vectors are not normalised.

    Raises:
        FileNotFoundError: The folder does not exist.
        ValueError: There is no file, or not one of them can be embedded; or the model takes
            features.

    Example:

    >>> speech = kr.datasets.load("speech_sample")
    >>> model = kr.ecapa_tdnn(channels=32, frontend="kaldi_fbank")
    >>> result = kr.inference.embed_files(model, speech.test.paths[:3], verbose=0)
    >>> result.vectors.shape, result.failed
    ((3, 192), {})
    """
    rate = sampling_rate_of(model)
    paths = _listed(paths)
    embed = compiled(model)
    vectors, failed = {}, {}
    progress = keras.utils.Progbar(len(paths), verbose=verbose, unit_name="file")
    for batch in by_length([audio_seconds(path) * rate for path in paths], batch_size):
        waveforms = {}
        for i in batch:
            try:
                waveforms[i] = read_audio(paths[i], rate, resample)
            except (OSError, ValueError) as error:
                failed[i] = str(error)
        if waveforms:
            embedded = embed(list(waveforms.values()))
            for (i, waveform), vector in zip(waveforms.items(), embedded):
                if np.isfinite(vector).all() and vector.any():
                    vectors[i] = vector
                else:
                    failed[i] = _fault(paths[i], waveform)
        progress.add(len(batch))

    failed = {paths[i]: failed[i] for i in sorted(failed)}
    if failed:
        first = "\n".join([*failed.values()][:5])
        message = f"{len(failed)} of {len(paths)} files cannot be embedded, such as:\n{first}"
        if not vectors:
            raise ValueError(message)
        warnings.warn(message, stacklevel=2)
    good = sorted(vectors)
    return Embeddings([paths[i] for i in good], np.stack([vectors[i] for i in good]), failed)


def _listed(paths):
    if isinstance(paths, str | os.PathLike):
        folder = os.fspath(paths)
        if not os.path.isdir(folder):
            raise FileNotFoundError(
                f"`paths` must be a list of files, or a folder that exists. Received: {folder}"
            )
        paths = find_audio(folder)
    paths = [os.fspath(path) for path in paths]
    if not paths:
        raise ValueError("`paths` must hold at least one audio file. Received none.")
    return paths


def _fault(path, waveform):
    if not np.isfinite(waveform).all():
        return f"The audio must be finite. Received: path={path}, with NaN or inf"
    return (
        "The audio must hold at least one frame of the model. "
        f"Received: path={path}, {len(waveform)} samples"
    )
