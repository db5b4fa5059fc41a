"""Embeddings of audio of any length in bounded memory: a window at a time."""

import os

import numpy as np

from keras_resnets.inference.batches import compiled, sampling_rate_of
from keras_resnets.inference.samples import one_channel
from keras_resnets.preprocessing.audio_file import audio_blocks


class StreamingEmbedder:
    """One embedding of a stream, at any time, whose memory does not grow.

    The stream is cut into windows of equal length, `hop` apart, and one more that ends where the
    stream does, if none of the others do. Nothing is padded. The result points in the direction of
    the mean of the windows' normalised embeddings, and its length is the mean of theirs. A stream
    no longer than one window so has the embedding that the model gives it. How the stream is cut
    into pushes has no influence.

    Args:
        model: Speech encoder that takes waveforms.
        window: float, in seconds.
        hop: float, from the start of one window to that of the next, in seconds.
        batch_size: Windows that are embedded together. 1 does the work as the audio comes; more is
            faster, and holds `batch_size * hop` seconds more.
        sampling_rate: int, of the stream, in Hz. None for that of the model, which it must equal.

    Raises:
        ValueError: `window` and `hop` do not fit, or `sampling_rate` is not the model's.

    Example:

    >>> model = kr.ecapa_tdnn(channels=32, frontend="kaldi_fbank")
    >>> stream = StreamingEmbedder(model, window=2.0, hop=1.0)
    >>> for block in np.split(np.sin(np.arange(80000) * 0.1), 50):
    ...     stream.push(block)
    >>> stream.embedding().shape
    (192,)
    """

    def __init__(self, model, window=6.0, hop=3.0, batch_size=1, sampling_rate=None):
        rate = sampling_rate_of(model)
        if sampling_rate not in (None, rate):
            raise ValueError(
                f"`sampling_rate` must be the model's, {rate} Hz: resample first. "
                f"Received: sampling_rate={sampling_rate}"
            )
        self._window, self._hop = round(window * rate), round(hop * rate)
        if not 0 < self._hop <= self._window:
            raise ValueError(
                f"`hop` must be positive and at most `window`. Received: window={window}, hop={hop}"
            )
        if batch_size < 1:
            raise ValueError(f"`batch_size` must be positive. Received: batch_size={batch_size}")
        self._embed = compiled(model)
        # The next windows, and one `hop` before them: the last window may begin there.
        self._buffer = np.zeros(self._window + batch_size * self._hop, "float32")
        self.reset()

    def reset(self):
        """Forgets the stream; the next push begins another."""
        self.samples = 0
        self._end = self._hop
        self._sums = 0.0, 0.0, 0

    def push(self, samples):
        """Adds samples to the stream.

        Args:
            samples: `(n,)` array of any length: floats in [-1, 1], or int16.
        """
        samples = one_channel(samples)
        self.samples += len(samples)
        while len(samples):
            piece = samples[: len(self._buffer) - self._end]
            self._buffer[self._end : self._end + len(piece)] = piece
            self._end += len(piece)
            samples = samples[len(piece) :]
            if self._end == len(self._buffer):
                self._sums = self._with(self._complete())
                self._buffer[: self._window] = self._buffer[-self._window :]
                self._end = self._window

    def embedding(self):
        """The embedding of all samples so far.

        Returns:
            float32 array `(D,)`.

        Raises:
            ValueError: There is not yet one frame.
        """
        if self.samples < self._window:
            windows = [self._buffer[self._hop : self._end]]
        else:
            windows = self._complete()
            if self._end > len(windows) * self._hop + self._window:
                windows.append(self._buffer[self._end - self._window : self._end])
        direction, length, count = self._with(windows) if self.samples else self._sums
        norm = np.linalg.norm(direction)
        if norm == 0:
            raise ValueError(
                "The audio must hold at least one frame of the model. "
                f"Received: {self.samples} samples"
            )
        return (direction / norm * (length / count)).astype("float32")

    def _complete(self):
        """The windows in the buffer that end within it and are not yet in the sums."""
        last = self._end - self._window
        starts = range(self._hop, last + 1, self._hop)
        return [self._buffer[start : start + self._window] for start in starts]

    def _with(self, windows):
        """Sum of the unit vectors, sum of the lengths and count, these windows added."""
        direction, length, count = self._sums
        if windows:
            vectors = self._embed(windows).astype("float64")
            norms = np.linalg.norm(vectors, axis=1, keepdims=True)
            direction = direction + (vectors / np.where(norms > 0, norms, 1.0)).sum(axis=0)
            length, count = length + norms.sum(), count + len(vectors)
        return direction, length, count


def embed_long(model, wav, window=6.0, hop=3.0, batch_size=4, sampling_rate=None):
    """The embedding of audio of any length, in bounded memory.

    See `StreamingEmbedder` for how the windows are put together: audio no longer than one window
    has the embedding that the model gives it. Each call traces the model once: for many recordings,
    keep one `StreamingEmbedder` and `reset` it.

    Args:
        model: Speech encoder that takes waveforms.
        wav: `(samples,)` floats in [-1, 1] or int16; or a mono audio file, read a block at a time.
        window: float, in seconds.
        hop: float, from the start of one window to that of the next, in seconds.
        batch_size: Windows that are embedded together.
        sampling_rate: int, of `wav`, in Hz. None for that of the model, which it must equal.

    Returns:
        float32 array `(D,)`.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The audio is shorter than a frame, has more than one channel or another rate
            than the model; or `window` and `hop` do not fit.

    Example:

    >>> model = kr.ecapa_tdnn(channels=32, frontend="kaldi_fbank")
    >>> embed_long(model, np.sin(np.arange(320000) * 0.1), window=4.0, hop=2.0).shape
    (192,)
    """
    stream = StreamingEmbedder(model, window, hop, batch_size, sampling_rate)
    if isinstance(wav, str | os.PathLike):
        for block in audio_blocks(wav, sampling_rate_of(model)):
            stream.push(block)
    else:
        stream.push(wav)
    return stream.embedding()
