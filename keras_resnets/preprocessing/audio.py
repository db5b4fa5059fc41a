"""Waveform augmentation: noise, reverberation, speed, codec, crops.

Every layer takes `(batch, samples)` waveforms and works in a model, in a compiled training step and
(on the TensorFlow backend) in `tf.data.Dataset.map`. The recipe of ECAPA-TDNN:

| kind | layer |
|---|---|
| noise | `AddNoise.noise(files)`: one clip, SNR 0 to 15 dB |
| music | `AddNoise.music(files)`: one clip, SNR 5 to 15 dB |
| babble | `AddNoise.babble(files)`: 3 to 8 speakers, each at SNR 13 to 20 dB |
| television | `television(speech_files, music_files)`: babble, then music |
| reverberation | `Reverberate(files)` |
| codec | `SimulatedCodec()`, a stand-in |
| speed | `SpeedPerturb((1.0, 0.9, 1.1))` |

One of them for each example: `OneOf([...])`.
"""

from fractions import Fraction

import keras
import numpy as np
from keras import ops

from keras_resnets.preprocessing.noise import AddNoise, Reverberate, fft_convolve, television
from keras_resnets.preprocessing.random_waveform import (
    Chain,
    OneOf,
    RandomWaveform,
    SeededLayer,
    as_waveform,
)
from keras_resnets.preprocessing.resample import resample

__all__ = [
    "AddNoise",
    "Chain",
    "OneOf",
    "PreEmphasis",
    "RandomCrop1D",
    "Reverberate",
    "SimulatedCodec",
    "SpeedPerturb",
    "resample",
    "television",
]


def fit_length(waveform, length, start=0):
    """`length` samples from `start` on, the waveform tiled where it is too short."""
    positions = (start + ops.arange(length)) % ops.shape(waveform)[-1]
    return ops.take(waveform, positions, axis=-1)


@keras.saving.register_keras_serializable("keras_resnets")
class RandomCrop1D(SeededLayer):
    """Cuts a random piece from each waveform.

    The start is uniform over all valid starts, the last one included. A waveform that is shorter
    than the piece is tiled, not padded. Outside training the middle is cut.

    Args:
        length: int, samples of the piece.
        seed: int or `None`.

    Example:

    >>> import numpy as np
    >>> from keras_resnets.preprocessing.audio import RandomCrop1D
    >>> np.array(RandomCrop1D(5)(np.array([[1.0, 2.0]])))
    array([[1., 2., 1., 2., 1.]], dtype=float32)
    """

    def __init__(self, length, seed=None, **kwargs):
        super().__init__(seed=seed, **kwargs)
        if int(length) != length or length < 1:
            raise ValueError(f"`length` must be a positive integer. Received: length={length}")
        self.length = int(length)

    def call(self, waveform, training=True, seed=None):
        waveform = as_waveform(waveform)
        batch, samples = ops.shape(waveform)
        last = ops.maximum(samples - self.length, 0)
        if not training:
            return fit_length(waveform, self.length, last // 2)
        start = keras.random.randint((batch, 1), 0, last + 1, seed=self.seeds(seed))
        positions = (start + ops.arange(self.length)) % samples
        return ops.take_along_axis(waveform, positions, axis=1)

    def compute_output_shape(self, input_shape):
        return (input_shape[0], self.length)

    def get_config(self):
        return {**super().get_config(), "length": self.length}


@keras.saving.register_keras_serializable("keras_resnets")
class SpeedPerturb(SeededLayer):
    """Plays each waveform at a random speed, which changes tempo and pitch.

    A voice at another speed is another voice: with labels, `labels + classes * index` is returned
    for the factor of that index, so three factors make three times the classes. The result is cut
    at the end, or tiled, to `length` samples. `AudioFiles.dataset(speeds=...)` does the same before
    the crop, where nothing needs to be tiled.

    Call arguments:
        waveform: `(batch, samples)`.
        labels: optional integers `(batch,)`.
        training, seed: as for the other layers.

    Args:
        factors: numbers; 0.9 is slower and longer, 1.1 faster and shorter. A factor is taken as a
            fraction with a denominator of at most 100.
        classes: int, the number of speakers; needed with labels.
        length: int, samples of the result, or `None` for as many as went in.
        seed: int or `None`.

    Example:

    >>> import numpy as np
    >>> from keras_resnets.preprocessing.audio import SpeedPerturb
    >>> perturb = SpeedPerturb((1.0, 0.9, 1.1), classes=10, length=1000)
    >>> waveform, labels = perturb(np.zeros((8, 1100)), np.arange(8))
    >>> tuple(waveform.shape), set(np.array(labels) % 10) == set(range(8))
    ((8, 1000), True)

    Reference: Ko et al., Audio augmentation for speech recognition (Interspeech 2015).
    """

    def __init__(self, factors=(1.0, 0.9, 1.1), classes=None, length=None, seed=None, **kwargs):
        super().__init__(seed=seed, **kwargs)
        self.factors = tuple(float(factor) for factor in factors)
        if not self.factors or not all(0.1 <= factor <= 10 for factor in self.factors):
            raise ValueError(f"`factors` must lie in [0.1, 10]. Received: factors={factors}")
        self.classes = classes
        self.length = length

    def call(self, waveform, labels=None, training=True, seed=None):
        if labels is not None and self.classes is None:
            raise ValueError("`classes` must be given to relabel. Received: classes=None")
        waveform = as_waveform(waveform)
        batch, samples = ops.shape(waveform)
        length = self.length or samples
        if not training:
            waveform = fit_length(waveform, length)
            return waveform if labels is None else (waveform, labels)
        index = keras.random.randint((batch,), 0, len(self.factors), seed=self.seeds(seed))
        perturbed = 0.0
        for i, factor in enumerate(self.factors):
            speed = Fraction(factor).limit_denominator(100)
            played = resample(waveform, speed.numerator, speed.denominator)
            played = fit_length(played, length)
            perturbed += ops.where((index == i)[:, None], played, 0.0)
        if labels is None:
            return perturbed
        return perturbed, labels + ops.cast(self.classes * index, labels.dtype)

    def compute_output_shape(self, waveform_shape, labels_shape=None):
        shape = (waveform_shape[0], self.length or waveform_shape[1])
        return shape if labels_shape is None else (shape, labels_shape)

    def get_config(self):
        own = {"factors": list(self.factors), "classes": self.classes, "length": self.length}
        return {**super().get_config(), **own}


@keras.saving.register_keras_serializable("keras_resnets")
class PreEmphasis(keras.layers.Layer):
    """`y[t] = x[t] - coefficient * x[t - 1]` over the whole waveform.

    Args:
        coefficient: float.
        start: what stands for the sample before the first: `"zero"`, `"repeat"` (the first sample,
            as in Kaldi), or `"reflect"` (the second sample, as in TaoRuijie's ECAPA-TDNN).

    Example:

    >>> import numpy as np
    >>> from keras_resnets.preprocessing.audio import PreEmphasis
    >>> np.array(PreEmphasis(0.5)(np.array([[2.0, 2.0, 4.0]])))
    array([[2., 1., 3.]], dtype=float32)
    """

    def __init__(self, coefficient=0.97, start="zero", **kwargs):
        kwargs.setdefault("dtype", "float32")
        super().__init__(**kwargs)
        if start not in ("zero", "repeat", "reflect"):
            raise ValueError(
                f"`start` must be 'zero', 'repeat' or 'reflect'. Received: start={start!r}"
            )
        self.coefficient = coefficient
        self.start = start
        self.built = True

    def call(self, waveform):
        waveform = as_waveform(waveform)
        if self.start == "zero":
            before = ops.zeros_like(waveform[:, :1])
        else:
            before = waveform[:, 1:2] if self.start == "reflect" else waveform[:, :1]
        previous = ops.concatenate([before, waveform[:, :-1]], axis=1)
        return waveform - self.coefficient * previous

    def compute_output_shape(self, input_shape):
        return tuple(input_shape)

    def get_config(self):
        return {**super().get_config(), "coefficient": self.coefficient, "start": self.start}


def _band_pass(low, high, sampling_rate, taps=255):
    m = np.arange(taps) - taps // 2
    edges = [2 * frequency / sampling_rate for frequency in (low, high)]
    lowpass, highpass = (edge * np.sinc(edge * m) for edge in edges)
    return ((highpass - lowpass) * np.hamming(taps)).astype("float32")


@keras.saving.register_keras_serializable("keras_resnets")
class SimulatedCodec(RandomWaveform):
    """A stand-in for a speech codec: a band limit and mu-law quantisation.

    It is not a codec. It takes away what a narrow-band telephone line takes away, inside the graph
    and without ffmpeg; the Opus and AAC artefacts of the paper's augmentation it does not imitate.

    Args:
        low, high: floats, the pass band in Hz.
        bits: int, bits a sample after mu-law companding (mu = 255).
        sampling_rate: int, in Hz.
        rate: float, the probability that an example is changed.
        seed: int or `None`.

    Example:

    >>> import numpy as np
    >>> from keras_resnets.preprocessing.audio import SimulatedCodec
    >>> tuple(SimulatedCodec()(np.zeros((2, 800))).shape)
    (2, 800)
    """

    def __init__(
        self, low=300, high=3400, bits=8, sampling_rate=16000, rate=1.0, seed=None, **kwargs
    ):
        super().__init__(rate=rate, seed=seed, **kwargs)
        if not 0 <= low < high <= sampling_rate / 2:
            raise ValueError(
                "`low` and `high` must satisfy 0 <= low < high <= sampling_rate / 2. Received: "
                f"low={low}, high={high}, sampling_rate={sampling_rate}"
            )
        if not 2 <= bits <= 16:
            raise ValueError(f"`bits` must lie in [2, 16]. Received: bits={bits}")
        self.low, self.high, self.bits, self.sampling_rate = low, high, bits, sampling_rate

    def augment(self, waveform, seeds):
        kernel = _band_pass(self.low, self.high, self.sampling_rate)
        delay, samples = len(kernel) // 2, ops.shape(waveform)[1]
        narrow = fft_convolve(waveform, kernel[None])[:, delay : delay + samples]
        mu, steps = 255.0, 2.0 ** (self.bits - 1) - 1
        compressed = ops.log1p(mu * ops.minimum(ops.abs(narrow), 1.0)) / np.log1p(mu)
        quantised = ops.round(compressed * steps) / steps
        return ops.sign(narrow) * ops.expm1(quantised * np.log1p(mu)) / mu

    def get_config(self):
        own = {name: getattr(self, name) for name in ("low", "high", "bits", "sampling_rate")}
        return {**super().get_config(), **own}
