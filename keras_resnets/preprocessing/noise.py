"""Augmentation with recorded clips: additive noise and reverberation."""

import math
import os

import keras
import numpy as np
from keras import ops

from keras_resnets.preprocessing.audio_file import read_clips
from keras_resnets.preprocessing.random_waveform import Chain, RandomWaveform

POWER_FLOOR = 1e-10


def fft_convolve(waveform, response):
    """The full convolution of the rows of both, followed by some zeros."""
    samples, taps = ops.shape(waveform)[1], ops.shape(response)[1]
    # A multiple of 1024 has no large prime factor; that keeps the FFT fast.
    size = -(-(samples + taps - 1) // 1024) * 1024
    a, b = ops.rfft(ops.pad(waveform, [(0, 0), (0, size - samples)]))
    c, d = ops.rfft(ops.pad(response, [(0, 0), (0, size - taps)]))
    return ops.irfft((a * c - b * d, a * d + b * c))


class _ClipLayer(RandomWaveform):
    """A random layer that mixes in recorded clips.

    Clips given as paths are read again when the layer is loaded; clips given as arrays are stored
    in the `.keras` file as an asset (`get_config` holds `None` in their place).
    """

    clips_argument = None

    def __init__(self, source, sampling_rate, rate, seed, **kwargs):
        super().__init__(rate=rate, seed=seed, **kwargs)
        self.sampling_rate = sampling_rate
        self._paths = self._arrays = self._clips = None
        if source is not None:
            clips, self._paths = read_clips(source, sampling_rate)
            self._hold(clips)

    def _hold(self, clips):
        if self._paths is None:
            self._arrays = tuple(clips)
        self._clips = self.prepare(clips)

    @property
    def clips(self):
        if self._clips is None:
            raise ValueError(
                f"This layer's config was made from arrays, which only a .keras file keeps. Pass "
                f"`{self.clips_argument}` again, or load the layer with keras.saving.load_model."
            )
        return self._clips

    def prepare(self, clips):
        raise NotImplementedError

    def save_assets(self, directory):
        if self._arrays is not None:
            path = os.path.join(directory, "clips.npz")
            np.savez(path, **{f"{i:08d}": clip for i, clip in enumerate(self._arrays)})

    def load_assets(self, directory):
        path = os.path.join(directory, "clips.npz")
        if os.path.isfile(path):
            with np.load(path, allow_pickle=False) as clips:
                self._hold([clips[name] for name in sorted(clips.files)])

    def get_config(self):
        config = {**super().get_config(), "sampling_rate": self.sampling_rate}
        return {**config, self.clips_argument: self._paths}


@keras.saving.register_keras_serializable("keras_resnets")
class AddNoise(_ClipLayer):
    """Adds one or more noise clips at a random signal-to-noise ratio.

    Each clip is picked at random (with replacement) and cut at a random place, or tiled if it is
    shorter than the waveform. It is scaled by `sqrt(P_s / (P_n * 10 ** (snr / 10)))`, where the
    powers `P_s` of the waveform and `P_n` of the piece are floored at 1e-10, so that silence on
    either side adds nothing. Clips are held as 16-bit integers, each scaled to its own peak.

    Args:
        noises: a folder, a file, a list of files, or a list of 1-D arrays.
        snr: `(low, high)` in dB, uniform, drawn for each clip anew; or one number.
        count: `(low, high)` or int, how many clips are added together, uniform and inclusive.
        sampling_rate: int; files of another rate are resampled.
        rate: float, the probability that an example is changed.
        seed: int or `None`.

    Example:

    >>> import numpy as np
    >>> from keras_resnets.preprocessing.audio import AddNoise
    >>> speech, noise = np.ones((1, 4), "float32"), [np.array([1.0, -1.0])]
    >>> noisy = np.array(AddNoise(noise, snr=20, seed=0)(speech))
    >>> np.sort(noisy.round(3))
    array([[0.9, 0.9, 1.1, 1.1]], dtype=float32)

    Reference: Snyder et al., X-vectors (ICASSP 2018), section 3.3.
    """

    clips_argument = "noises"

    def __init__(
        self, noises, snr=(0, 15), count=1, sampling_rate=16000, rate=1.0, seed=None, **kwargs
    ):
        self.snr = tuple(float(s) for s in np.broadcast_to(snr, 2))
        self.count = tuple(int(n) for n in np.broadcast_to(count, 2))
        if not -np.inf < self.snr[0] <= self.snr[1] < np.inf:
            raise ValueError(f"`snr` must be a number or (low, high) in dB. Received: snr={snr}")
        if not 1 <= self.count[0] <= self.count[1]:
            raise ValueError(
                f"`count` must be an int or (low, high), at least 1. Received: count={count}"
            )
        super().__init__(noises, sampling_rate, rate, seed, **kwargs)

    @classmethod
    def noise(cls, noises, **kwargs):
        """One noise clip at 0 to 15 dB."""
        return cls(noises, **{"snr": (0, 15), "count": 1, **kwargs})

    @classmethod
    def music(cls, noises, **kwargs):
        """One piece of music at 5 to 15 dB."""
        return cls(noises, **{"snr": (5, 15), "count": 1, **kwargs})

    @classmethod
    def babble(cls, noises, **kwargs):
        """3 to 8 other speakers, each at 13 to 20 dB."""
        return cls(noises, **{"snr": (13, 20), "count": (3, 8), **kwargs})

    def prepare(self, clips):
        lengths = np.array([len(clip) for clip in clips])
        if lengths.sum() >= 2**31:
            raise ValueError(
                "`noises` may hold at most 2**31 - 1 samples together. Received: "
                f"{lengths.sum()} samples"
            )
        scaled = [np.rint(clip * (32767 / max(np.abs(clip).max(), 1e-30))) for clip in clips]
        return {
            "samples": ops.convert_to_tensor(np.concatenate(scaled).astype("int16")),
            "length": ops.convert_to_tensor(lengths.astype("int32")),
            "offset": ops.convert_to_tensor((np.cumsum(lengths) - lengths).astype("int32")),
        }

    def _pieces(self, shape, samples, seeds):
        pool = self.clips
        clip = keras.random.randint(shape, 0, pool["length"].shape[0], seed=seeds)
        length, offset = ops.take(pool["length"], clip), ops.take(pool["offset"], clip)
        last = ops.maximum(length - samples, 0)
        draw = seeds.uniform(shape) * ops.cast(last + 1, "float32")
        start = ops.minimum(ops.cast(draw, "int32"), last)
        positions = (start[..., None] + ops.arange(samples)) % length[..., None]
        pieces = ops.take(pool["samples"], offset[..., None] + positions)
        return ops.cast(pieces, "float32") / 32767.0

    def augment(self, waveform, seeds):
        batch, samples = ops.shape(waveform)
        fewest, most = self.count
        pieces = self._pieces((batch, most), samples, seeds)
        snr = seeds.uniform((batch, most), *self.snr)
        signal = ops.mean(ops.square(waveform), axis=-1, keepdims=True)
        noise = ops.mean(ops.square(pieces), axis=-1)
        signal, noise = ops.maximum(signal, POWER_FLOOR), ops.maximum(noise, POWER_FLOOR)
        gain = ops.sqrt(signal / noise) * ops.power(10.0, -snr / 20.0)
        if fewest < most:
            count = keras.random.randint((batch, 1), fewest, most + 1, seed=seeds)
            gain = ops.where(ops.arange(most) < count, gain, 0.0)
        return waveform + ops.einsum("bn,bns->bs", gain, pieces)

    def get_config(self):
        return {**super().get_config(), "snr": list(self.snr), "count": list(self.count)}


def television(speech, music, rate=1.0, seed=None):
    """Babble, then music: the sound of a television in the room.

    Args:
        speech: clips of speakers, as `AddNoise` takes them.
        music: clips of music, as `AddNoise` takes them.
        rate: float, the probability that an example is changed.
        seed: int or `None`.

    Returns:
        A `Chain` of `AddNoise.babble` and `AddNoise.music`.
    """
    return Chain([AddNoise.babble(speech), AddNoise.music(music)], rate=rate, seed=seed)


@keras.saving.register_keras_serializable("keras_resnets")
class Reverberate(_ClipLayer):
    """Convolves each waveform with a random room impulse response.

    The response is scaled to unit energy; of the full convolution the first `samples` samples are
    kept.

    Args:
        rirs: a folder, a file, a list of files, or a list of 1-D arrays.
        sampling_rate: int; files of another rate are resampled.
        rate: float, the probability that an example is changed.
        seed: int or `None`.

    Example:

    >>> import numpy as np
    >>> from keras_resnets.preprocessing.audio import Reverberate
    >>> echo = Reverberate([np.array([3.0, 0.0, 4.0])])(np.array([[1.0, 0.0, 0.0, 0.0]]))
    >>> np.abs(np.array(echo)).round(3)
    array([[0.6, 0. , 0.8, 0. ]], dtype=float32)
    """

    clips_argument = "rirs"

    def __init__(self, rirs, sampling_rate=16000, rate=1.0, seed=None, **kwargs):
        super().__init__(rirs, sampling_rate, rate, seed, **kwargs)

    def prepare(self, clips):
        responses = np.zeros((len(clips), max(len(clip) for clip in clips)), "float32")
        for response, clip in zip(responses, clips):
            energy = np.square(clip, dtype="float64").sum()
            if energy == 0:
                raise ValueError("`rirs` must not be silent. Received: a response of zeros only")
            response[: len(clip)] = clip / math.sqrt(energy)
        return ops.convert_to_tensor(responses)

    def augment(self, waveform, seeds):
        batch, samples = ops.shape(waveform)
        room = keras.random.randint((batch,), 0, self.clips.shape[0], seed=seeds)
        return fft_convolve(waveform, ops.take(self.clips, room, axis=0))[:, :samples]
