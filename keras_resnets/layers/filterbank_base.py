"""What all front ends share, from the waveform to mel energies."""

import warnings

import keras
import numpy as np
from keras import ops

from keras_resnets.layers.framing import (
    analysis_window,
    check_waveform,
    clip_lengths,
    concrete,
    frame,
    frame_count,
    pad_edges,
)
from keras_resnets.layers.mel import mel_matrix


class Filterbank(keras.layers.Layer):
    """What all front ends share: signal, frames, window, power spectrum, mel filters, logarithm.

    A subclass says what is done to the signal, to the frames, and to the mel energies.
    """

    def __init__(
        self,
        num_mel_bins,
        sampling_rate,
        frame_length_ms,
        hop_length_ms,
        window,
        low_freq,
        high_freq,
        scale,
        preemphasis,
        *,
        mel,
        padding,
        periodic=False,
        fft_length=None,
        **kwargs,
    ):
        super().__init__(autocast=False, **kwargs)
        self.num_mel_bins = num_mel_bins
        self.sampling_rate = sampling_rate
        self.frame_length_ms = frame_length_ms
        self.hop_length_ms = hop_length_ms
        self.window = window
        self.low_freq = low_freq
        self.high_freq = high_freq
        self.scale = scale
        self.preemphasis = preemphasis
        self.mel = mel
        self.padding = padding
        self.periodic = periodic

        self.frame_length = round(sampling_rate * frame_length_ms / 1000)
        self.hop_length = round(sampling_rate * hop_length_ms / 1000)
        if self.frame_length < 2 or self.hop_length < 1:
            raise ValueError(
                "`frame_length_ms` and `hop_length_ms` must be positive. Received: "
                f"frame_length_ms={frame_length_ms}, hop_length_ms={hop_length_ms}"
            )
        self.fft_length = fft_length or 1 << (self.frame_length - 1).bit_length()
        if self.fft_length < self.frame_length:
            raise ValueError(
                f"`fft_length` must be at least the frame length, {self.frame_length} samples. "
                f"Received: fft_length={fft_length}"
            )
        if padding is None:
            self.pad = left = 0
        elif padding in ("zero", "reflect"):
            self.pad = left = self.frame_length // 2
        elif padding == "symmetric":  # Kaldi: frame t is centred on sample (t + 1/2) * hop
            self.pad = (self.frame_length - self.hop_length // 2) // 2
            left = (self.frame_length - self.hop_length) // 2
        else:
            raise ValueError(
                f"`padding` must be None, 'zero' or 'reflect'. Received: padding={padding!r}"
            )
        self._edges = left, 2 * self.pad - left
        window = analysis_window(window, self.frame_length, periodic) * scale
        filters = mel_matrix(mel, num_mel_bins, self.fft_length, sampling_rate, low_freq, high_freq)
        self._window, self._filters = window.astype("float32"), filters.astype("float32")
        self._warned = False

    def prepare_signal(self, x):
        return x

    def prepare_frames(self, frames, training):
        return frames

    def compress(self, energies, valid):
        """Mel energies to features; `valid` marks the frames that count."""
        raise NotImplementedError

    def frame_lengths(self, lengths):
        """Valid frames for valid samples (int or integer tensor)."""
        return frame_count(lengths, self.frame_length, self.hop_length, self.pad)

    def call(self, inputs, lengths=None, training=None):
        check_waveform(inputs.shape, inputs.dtype)
        size = ops.shape(inputs)[1]
        lengths = None if lengths is None else clip_lengths(lengths, size)
        self._check_values(inputs, lengths)

        x = ops.cast(inputs, "float32")
        if keras.backend.standardize_dtype(inputs.dtype) == "int16":
            x = x / 32768.0
        x = self.prepare_signal(x)
        if lengths is None:
            samples = ops.convert_to_tensor(size, "int32")
        else:
            samples = lengths
            x = ops.where(ops.arange(size) < samples[:, None], x, 0.0)
        if self.padding:
            x = pad_edges(x, samples, *self._edges, self.padding)
        frames = self.prepare_frames(frame(x, self.frame_length, self.hop_length), training)

        real, imag = ops.rfft(frames * self._window, self.fft_length)
        energies = ops.matmul(ops.square(real) + ops.square(imag), self._filters)
        steps = ops.arange(ops.shape(energies)[1])
        valid = ops.expand_dims(steps < ops.expand_dims(self.frame_lengths(samples), -1), -1)
        features = ops.where(valid, self.compress(energies, valid), 0.0)
        return ops.cast(features, self.compute_dtype)

    def compute_output_shape(self, input_shape):
        check_waveform(input_shape)
        frames = None
        if input_shape[1] is not None:
            frames = max(1, self.frame_lengths(input_shape[1]))
        return (input_shape[0], frames, self.num_mel_bins)

    def _check_values(self, inputs, lengths):
        """What can be seen in values only: nothing while tracing."""
        values = concrete(inputs)
        if values is None:
            return
        if values.shape[1] < self.frame_length:
            raise ValueError(
                f"`inputs` must hold at least one frame, {self.frame_length} samples. "
                f"Received: {values.shape[1]} samples"
            )
        if self._warned or values.dtype == np.int16:
            return
        rows = values if lengths is None else [v[:n] for v, n in zip(values, concrete(lengths))]
        peak = max((float(np.max(np.abs(row), initial=0)) for row in rows), default=0.0)
        if peak > 1.5:
            self._warned = True
            warnings.warn(
                f"{self.name}: the waveform reaches {peak:g}, but floats are expected in [-1, 1]. "
                "Are these int16 values? Divide them by 32768.",
                stacklevel=2,
            )

    def get_config(self):
        return {
            **super().get_config(),
            "num_mel_bins": self.num_mel_bins,
            "sampling_rate": self.sampling_rate,
            "frame_length_ms": self.frame_length_ms,
            "hop_length_ms": self.hop_length_ms,
            "window": self.window,
            "low_freq": self.low_freq,
            "high_freq": self.high_freq,
            "scale": self.scale,
            "preemphasis": self.preemphasis,
        }
