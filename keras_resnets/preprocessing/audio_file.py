"""Reading audio files as 16 kHz mono float32."""

import os
from contextlib import contextmanager

import numpy as np

from keras_resnets.preprocessing.resample import resample as resample_waveform

AUDIO_EXTENSIONS = (".wav", ".flac", ".ogg", ".opus", ".mp3", ".aiff", ".aif", ".au", ".w64")


def _soundfile():
    try:
        import soundfile
    except ImportError as error:
        raise ImportError(
            "Reading audio files needs soundfile: pip install keras_resnets[audio]"
        ) from error
    return soundfile


def read_audio(path, sampling_rate=16000, resample=False):
    """Reads one mono audio file.

    Args:
        path: a file that libsndfile reads (WAV, FLAC, Ogg Vorbis or Opus, MP3, ...).
        sampling_rate: int, the rate in Hz that is wanted.
        resample: bool, whether a file of another rate is resampled (`True`) or refused (`False`).

    Returns:
        A float32 array `(samples,)`; full scale is [-1, 1].

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if the file is not audio, is empty, has more than one channel, or has another
            rate while `resample` is `False`.

    Example:

    >>> from keras_resnets import datasets
    >>> speech = datasets.load("speech_sample")
    >>> datasets.read_audio(speech.train.paths[0]).shape
    (102400,)
    """
    with _opened(path, sampling_rate, resample) as file:
        waveform, rate = file.read(dtype="float32"), file.samplerate
    if not len(waveform):
        raise ValueError(f"`path` must hold at least one sample. Received: path={path}, empty")
    return resample_waveform(waveform, rate, sampling_rate)


def audio_blocks(path, sampling_rate=16000, block=1 << 16):
    """The waveform of a file of any length in pieces, checked as `read_audio` does.

    Args:
        path: as in `read_audio`.
        sampling_rate: int, the rate in Hz that the file must have.
        block: int, samples in a piece.

    Yields:
        float32 arrays `(up to block,)`.
    """
    with _opened(path, sampling_rate, resample=False) as file:
        yield from file.blocks(block, dtype="float32")


def audio_seconds(path):
    """Duration by the file's header; 0 for what is not audio."""
    soundfile = _soundfile()
    try:
        return soundfile.info(os.fspath(path)).duration
    except soundfile.SoundFileError:
        return 0.0


@contextmanager
def _opened(path, sampling_rate, resample):
    """A mono `soundfile.SoundFile`; what is wrong with it is a `ValueError` that names it."""
    path = os.fspath(path)
    if not os.path.isfile(path):
        raise FileNotFoundError(f"`path` must be an audio file that exists. Received: path={path}")
    soundfile = _soundfile()
    try:
        with soundfile.SoundFile(path) as file:
            if file.channels != 1:
                raise ValueError(
                    f"`path` must be mono, mix down first. Received: path={path} with "
                    f"{file.channels} channels"
                )
            if file.samplerate != sampling_rate and not resample:
                raise ValueError(
                    f"`path` must be sampled at {sampling_rate} Hz (or pass `resample=True`). "
                    f"Received: path={path} at {file.samplerate} Hz"
                )
            yield file
    except soundfile.SoundFileError as error:
        raise ValueError(
            f"`path` cannot be read as audio ({error}). Received: path={path}"
        ) from error


def find_audio(directory):
    """All audio files below `directory`, sorted."""
    return sorted(
        os.path.join(root, name)
        for root, _, names in os.walk(directory, followlinks=True)
        for name in names
        if name.lower().endswith(AUDIO_EXTENSIONS) and not name.startswith(".")
    )


def read_clips(source, sampling_rate=16000):
    """Clips from a folder, a file, a list of files, or a list of arrays.

    Files of another rate are resampled.

    Returns:
        `(clips, paths)`: a list of 1-D float32 arrays, and the paths as given (a string or a list
        of strings), or `None` if arrays were given.
    """
    if isinstance(source, (str, os.PathLike)):
        paths = os.fspath(source)
        files = find_audio(paths) if os.path.isdir(paths) else [paths]
    elif len(source) and all(isinstance(item, (str, os.PathLike)) for item in source):
        files = paths = [os.fspath(item) for item in source]
    else:
        files = paths = None
    if files is None:
        clips = [np.asarray(clip, "float32") for clip in source]
    else:
        clips = [read_audio(file, sampling_rate, resample=True) for file in files]
    if not clips:
        raise ValueError(f"At least one clip is needed. Received: {source!r}, which holds none")
    for clip in clips:
        if clip.ndim != 1 or not clip.size or not np.isfinite(clip).all():
            raise ValueError(
                "Each clip must be a non-empty 1-D array of finite samples. Received: a clip of "
                f"shape {clip.shape}{'' if np.isfinite(clip).all() else ' with NaN or inf'}"
            )
    return clips, paths
