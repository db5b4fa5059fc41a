"""Band-limited resampling by any rational factor."""

import math

import numpy as np
from keras import ops

ZERO_CROSSINGS = 10
KAISER_BETA = 5.0
BLOCK = 1 << 16


def _polyphase_kernel(up, down):
    """The Kaiser-windowed sinc, one column for each of the `up` phases.

    Output sample `q * up + p` is the product of column `p` with the input samples
    `q * down - left, q * down - left + 1, ...`.
    """
    half = ZERO_CROSSINGS * max(up, down)
    m = np.arange(-half, half + 1)
    lowpass = np.sinc(m / max(up, down)) * np.kaiser(2 * half + 1, KAISER_BETA)
    lowpass *= up / lowpass.sum()
    left = half // up
    right = ((up - 1) * down + half) // up
    tap = np.arange(up) * down - np.arange(-left, right + 1)[:, None] * up
    kernel = np.where(np.abs(tap) <= half, lowpass[np.clip(tap + half, 0, 2 * half)], 0.0)
    return kernel.astype("float32"), left, right


def resample(waveform, orig_rate, target_rate):
    """Resamples along the last axis with a polyphase filter.

    A sinc of 10 zero crossings a side under a Kaiser window (beta 5), run as one strided
    convolution with an output channel for each phase. It is the filter of
    `scipy.signal.resample_poly`, and the result is the same to float32 rounding. Samples beyond
    the ends count as zero.

    Args:
        waveform: float array `(..., samples)`, or a backend tensor `(samples,)` or
            `(batch, samples)`; tensors work in `tf.data` and in compiled graphs.
        orig_rate: int, rate of `waveform` in Hz.
        target_rate: int, rate wanted, in Hz. Only the ratio matters: `resample(x, 9, 10)` plays `x`
            at 0.9 times the speed.

    Returns:
        float32, `ceil(samples * target_rate / orig_rate)` samples; a NumPy array for a NumPy array,
        else a tensor.

    Raises:
        ValueError: if a rate is not a positive integer, or a tensor has more than two axes.

    Example:

    >>> import numpy as np
    >>> from keras_resnets.preprocessing.audio import resample
    >>> resample(np.ones(441, "float32"), 44100, 16000).shape
    (160,)
    """
    for rate in (orig_rate, target_rate):
        if not isinstance(rate, (int, np.integer)) or rate <= 0:
            raise ValueError(
                "`orig_rate` and `target_rate` must be positive integers. Received: "
                f"orig_rate={orig_rate}, target_rate={target_rate}"
            )
    orig_rate, target_rate = int(orig_rate), int(target_rate)
    divisor = math.gcd(orig_rate, target_rate)
    up, down = target_rate // divisor, orig_rate // divisor
    if isinstance(waveform, (np.ndarray, list, tuple)):
        waveform = np.asarray(waveform, "float32")
        return waveform if up == down else _resample_array(waveform, up, down)
    waveform = ops.cast(waveform, "float32")
    return waveform if up == down else _resample_tensor(waveform, up, down)


def _resample_array(waveform, up, down):
    kernel, left, right = _polyphase_kernel(up, down)
    samples = waveform.shape[-1]
    padded = np.pad(waveform, [(0, 0)] * (waveform.ndim - 1) + [(left, right)])
    frames = np.lib.stride_tricks.sliding_window_view(padded, len(kernel), axis=-1)
    frames = frames[..., ::down, :]
    phases = [
        np.ascontiguousarray(frames[..., start : start + BLOCK, :]) @ kernel
        for start in range(0, frames.shape[-2], BLOCK)
    ]
    resampled = np.concatenate(phases, axis=-2).reshape(*waveform.shape[:-1], -1)
    return resampled[..., : -(-samples * up // down)]


def _resample_tensor(waveform, up, down):
    rank = len(waveform.shape)
    if rank not in (1, 2):
        raise ValueError(
            "`waveform` must be (samples,) or (batch, samples). Received: "
            f"waveform of shape {tuple(waveform.shape)}"
        )
    if rank == 1:
        return _resample_tensor(waveform[None], up, down)[0]
    kernel, left, right = _polyphase_kernel(up, down)
    batch, samples = ops.shape(waveform)
    padded = ops.pad(waveform, [(0, 0), (left, right)])
    phases = ops.conv(padded[..., None], kernel[:, None], strides=down)
    # Split so that `samples * up` does not overflow an int32.
    length = samples // down * up + -(-(samples % down) * up // down)
    return ops.reshape(phases, (batch, -1))[:, :length]
