"""Front ends: raw waveform to log-mel features or cepstra, padding-exact and exportable."""

import keras
import numpy as np
from keras import ops

from keras_resnets.layers.filterbank_base import Filterbank


@keras.saving.register_keras_serializable("keras_resnets")
class KaldiFbank(Filterbank):
    """Log-mel filterbank energies as Kaldi computes them, from a raw waveform.

    Each frame of the waveform, at int16 scale, loses its mean, is pre-emphasised, windowed, and
    zero-padded to a power of two; triangular filters in the mel domain sum its power spectrum. All
    of it is computed in float32 whatever the dtype policy, from constants: there are no weights.

    Frames that do not lie wholly in the valid samples are zero in the output, and what the padding
    holds, be it noise or NaN, never changes the others.

    Args:
        num_mel_bins: int, number of filters.
        sampling_rate: int, in Hz.
        frame_length_ms: float. The attribute `frame_length` gives it in samples.
        hop_length_ms: float. The attribute `hop_length` gives it in samples.
        window: `"hamming"`, `"povey"` or `"hann"`, symmetric.
        low_freq: float, in Hz.
        high_freq: float, in Hz; zero or negative counts down from the Nyquist frequency.
        scale: float, multiplies the waveform. It matters to the energy floor only.
        preemphasis: float, within the frame.
        dither: float, standard deviation of the noise added in training, at the scaled waveform.
        snip_edges: bool. True: whole frames only. False: frames centred on `(t + 1/2) * hop`, with
            the signal reflected at its ends.

    Call arguments:
        inputs: `(B, samples)`, floats in [-1, 1] or int16.
        lengths: optional integers `(B,)`, the valid samples of each example.
        training: bool.

    Returns:
        `(B, frames, num_mel_bins)` in the layer's compute dtype. In a traced graph, an example
        shorter than one frame gives zeros (and a batch of them one frame).

    Raises:
        ValueError: inputs of another rank or integer dtype; and, when run eagerly, a waveform
            shorter than one frame or a length that is not in `[1, samples]`.

    Example:

    >>> wave = np.sin(np.arange(32000) * 0.1, dtype="float32")[None]
    >>> tuple(KaldiFbank()(wave).shape)
    (1, 198, 80)

    Reference:
        `compute-fbank-feats` of Kaldi, https://kaldi-asr.org/doc/feat.html.
    """

    def __init__(
        self,
        num_mel_bins=80,
        sampling_rate=16000,
        frame_length_ms=25.0,
        hop_length_ms=10.0,
        window="hamming",
        low_freq=20.0,
        high_freq=0.0,
        scale=32768.0,
        preemphasis=0.97,
        dither=0.0,
        snip_edges=True,
        **kwargs,
    ):
        super().__init__(
            num_mel_bins,
            sampling_rate,
            frame_length_ms,
            hop_length_ms,
            window,
            low_freq,
            high_freq,
            scale,
            preemphasis,
            mel="kaldi",
            padding=None if snip_edges else "symmetric",
            **kwargs,
        )
        self.dither = dither
        self.snip_edges = snip_edges
        self._seed = keras.random.SeedGenerator() if dither else None

    def prepare_frames(self, frames, training):
        if self.dither and training:
            noise = keras.random.normal(ops.shape(frames), dtype="float32", seed=self._seed)
            frames = frames + noise * (self.dither / self.scale)
        frames = frames - ops.mean(frames, axis=-1, keepdims=True)
        previous = ops.concatenate([frames[..., :1], frames[..., :-1]], axis=-1)
        return frames - self.preemphasis * previous

    def compress(self, energies, valid):
        return ops.log(ops.maximum(energies, np.float32(np.finfo("float32").eps)))

    def get_config(self):
        return {**super().get_config(), "dither": self.dither, "snip_edges": self.snip_edges}


@keras.saving.register_keras_serializable("keras_resnets")
class MFCC(KaldiFbank):
    """Mel-frequency cepstral coefficients: the orthonormal DCT-II of `KaldiFbank`, liftered.

    Args:
        num_ceps: int, number of coefficients, the zeroth included; at most `num_mel_bins`.
        lifter: float `Q`: coefficient `k` is multiplied by `1 + Q / 2 sin(pi k / Q)`. 0 for none.
        **kwargs: those of `KaldiFbank`.

    Returns:
        `(B, frames, num_ceps)`, see `KaldiFbank`.

    Example:

    >>> wave = np.sin(np.arange(32000) * 0.1, dtype="float32")[None]
    >>> tuple(MFCC(num_ceps=30)(wave).shape)
    (1, 198, 30)
    """

    def __init__(self, num_ceps=80, lifter=22.0, **kwargs):
        super().__init__(**kwargs)
        bins = self.num_mel_bins
        if not 1 <= num_ceps <= bins:
            raise ValueError(
                f"`num_ceps` must lie between 1 and `num_mel_bins`={bins}. "
                f"Received: num_ceps={num_ceps}"
            )
        self.num_ceps = num_ceps
        self.lifter = lifter
        k = np.arange(num_ceps)
        dct = np.cos(np.pi / bins * (np.arange(bins)[:, None] + 0.5) * k) * np.sqrt(2 / bins)
        dct[:, 0] /= np.sqrt(2)
        if lifter:
            dct *= 1 + lifter / 2 * np.sin(np.pi * k / lifter)
        self._dct = dct.astype("float32")

    def compress(self, energies, valid):
        return ops.matmul(super().compress(energies, valid), self._dct)

    def compute_output_shape(self, input_shape):
        return (*super().compute_output_shape(input_shape)[:2], self.num_ceps)

    def get_config(self):
        return {**super().get_config(), "num_ceps": self.num_ceps, "lifter": self.lifter}


@keras.saving.register_keras_serializable("keras_resnets")
class LogMelSpectrogram(Filterbank):
    """Log-mel spectrogram with the settings of other toolkits' recipes (see `front_end`).

    The whole signal is pre-emphasised, each example padded at its own end, framed, windowed; mel
    filters sum the power spectrum. Precision and padding are as in `KaldiFbank`.

    Args:
        num_mel_bins: int, number of filters.
        sampling_rate: int, in Hz.
        frame_length_ms: float. The attribute `frame_length` gives it in samples.
        hop_length_ms: float. The attribute `hop_length` gives it in samples.
        fft_length: int, or None for the next power of two.
        window: `"hamming"`, `"hann"` or `"povey"`.
        periodic: bool, whether the window is periodic rather than symmetric.
        low_freq: float, in Hz.
        high_freq: float, in Hz; zero or negative counts down from the Nyquist frequency.
        scale: float, multiplies the waveform.
        preemphasis: float `p` of `y[t] = x[t] - p x[t-1]`, with `y[0] = x[0] - p x[1]`.
        padding: None for whole frames only, or `"zero"`, `"reflect"`: half a frame on each side, so
            that frame `t` is centred on sample `t * hop_length`.
        mel: `"htk"`, `"speechbrain"` or `"kaldi"`, see `mel_matrix`.
        log: `"clamp"`: `ln(max(x, log_floor))`. `"add"`: `ln(x + log_floor)`. `"decibel"`:
            `10 log10(max(x, log_floor))`, at least the utterance's maximum - 80.
        log_floor: float.

    Returns:
        `(B, frames, num_mel_bins)`, see `KaldiFbank`.

    Example:

    >>> wave = np.sin(np.arange(32000) * 0.1, dtype="float32")[None]
    >>> tuple(LogMelSpectrogram(padding="zero")(wave).shape)
    (1, 201, 80)
    """

    def __init__(
        self,
        num_mel_bins=80,
        sampling_rate=16000,
        frame_length_ms=25.0,
        hop_length_ms=10.0,
        fft_length=None,
        window="hamming",
        periodic=True,
        low_freq=20.0,
        high_freq=0.0,
        scale=1.0,
        preemphasis=0.0,
        padding="reflect",
        mel="htk",
        log="clamp",
        log_floor=1e-10,
        **kwargs,
    ):
        super().__init__(
            num_mel_bins,
            sampling_rate,
            frame_length_ms,
            hop_length_ms,
            window,
            low_freq,
            high_freq,
            scale,
            preemphasis,
            mel=mel,
            padding=padding,
            periodic=periodic,
            fft_length=fft_length,
            **kwargs,
        )
        if log not in ("clamp", "add", "decibel"):
            raise ValueError(f"`log` must be 'clamp', 'add' or 'decibel'. Received: log={log!r}")
        self.log = log
        self.log_floor = log_floor

    def prepare_signal(self, x):
        if not self.preemphasis:
            return x
        return x - self.preemphasis * ops.concatenate([x[:, 1:2], x[:, :-1]], axis=1)

    def compress(self, energies, valid):
        if self.log == "add":
            return ops.log(energies + self.log_floor)
        energies = ops.maximum(energies, self.log_floor)
        if self.log == "clamp":
            return ops.log(energies)
        decibels = 10.0 * ops.log10(energies)
        loudest = ops.max(ops.where(valid, decibels, -np.inf), axis=(1, 2), keepdims=True)
        return ops.maximum(decibels, loudest - 80.0)

    def get_config(self):
        return {
            **super().get_config(),
            "fft_length": self.fft_length,
            "periodic": self.periodic,
            "padding": self.padding,
            "mel": self.mel,
            "log": self.log,
            "log_floor": self.log_floor,
        }


_FRONT_ENDS = {
    "kaldi_fbank": (KaldiFbank, {}),
    "mfcc": (MFCC, {}),
    "torchaudio_htk": (
        LogMelSpectrogram,
        {"high_freq": 7600.0, "preemphasis": 0.97, "log": "add", "log_floor": 1e-6},
    ),
    "speechbrain": (
        LogMelSpectrogram,
        {
            "low_freq": 0.0,
            "fft_length": 400,
            "padding": "zero",
            "mel": "speechbrain",
            "log": "decibel",
        },
    ),
}


def front_end(name, **settings):
    """The front end of a published recipe, by name.

    Args:
        name: `"kaldi_fbank"` (Kaldi, WeSpeaker, 3D-Speaker), `"mfcc"`, `"torchaudio_htk"`
            (TaoRuijie), `"speechbrain"`, or a layer, which is returned as it is.
        **settings: override arguments of the layer. `dtype` is float32 unless given, so that under
            mixed precision the features are rounded only after their mean is subtracted.

    Returns:
        A layer `(waveform, lengths=None) -> features`.

    Raises:
        ValueError: unknown name.

    Example:

    >>> front_end("mfcc").frame_length
    400
    """
    if isinstance(name, keras.layers.Layer):
        return name
    if name not in _FRONT_ENDS:
        raise ValueError(
            f"`frontend` must be one of {sorted(_FRONT_ENDS)} or a layer. Received: {name!r}"
        )
    layer, recipe = _FRONT_ENDS[name]
    return layer(**{"name": name, "dtype": "float32", **recipe, **settings})
