"""Cutting waveforms into frames: counts, padding at each example's own end, windows."""

import keras
import numpy as np
from keras import ops


def frame_count(samples, frame_length=1, hop_length=1, pad=0, shortest=None):
    """Number of whole frames in `samples` samples with `pad` samples added on each side.

    A signal shorter than one frame has none, with or without padding.

    Args:
        samples: int, or integer tensor.
        frame_length: int, samples in a frame.
        hop_length: int, samples from one frame to the next.
        pad: int, samples that centred framing adds on each side.
        shortest: int, samples under which there is no frame; default `frame_length`.

    Returns:
        int for an int, else an integer tensor shaped like `samples`.

    Example:

    >>> [frame_count(n, 400, 160) for n in (399, 400, 559, 560, 32000)]
    [0, 1, 1, 2, 198]
    """
    shortest = frame_length if shortest is None else shortest
    count = 1 + (samples + 2 * pad - frame_length) // hop_length
    if isinstance(samples, int):
        return count if samples >= shortest else 0
    return ops.where(samples >= shortest, count, ops.zeros_like(count))


def frame(x, frame_length, hop_length):
    """`(B, S)` to `(B, max(1, whole frames in S), frame_length)`, short signals zero-padded.

    Overlapping frames are put together from hop-sized pieces, which costs one copy and no gather.
    """
    samples = ops.shape(x)[1]
    maximum = max if isinstance(samples, int) else ops.maximum
    pieces = -(-frame_length // hop_length)
    count = maximum(1 + (samples - frame_length) // hop_length, 1)
    rows = count + pieces - 1
    x = x[:, : rows * hop_length]
    x = ops.pad(x, ((0, 0), (0, maximum(rows * hop_length - samples, 0))))
    x = ops.reshape(x, (-1, rows, hop_length))
    widths = [min(hop_length, frame_length - i * hop_length) for i in range(pieces)]
    return ops.concatenate([x[:, i : i + count, :w] for i, w in enumerate(widths)], axis=-1)


def pad_edges(x, samples, left, right, mode):
    """Adds `left` and `right` samples around the first `samples` samples of each example.

    Args:
        x: `(B, S)` tensor, zero after each example's end.
        samples: integer tensor, `()` or `(B,)`.
        left, right: ints, smaller than any of `samples`.
        mode: `"zero"`, `"reflect"` (`c b | a b c | b a`) or `"symmetric"` (`b a | a b c | c b`).

    Returns:
        `(B, left + S + right)`. What follows an example's padding is arbitrary, but finite for
        finite examples.
    """
    if mode == "zero":
        return ops.pad(x, ((0, 0), (left, right)))
    total, edge = ops.shape(x)[1], int(mode == "symmetric")
    last = ops.expand_dims(samples, -1) - 1
    index = ops.arange(left + total + right, dtype="int32") - left
    index = ops.where(index < 0, -index - edge, index)
    index = ops.where(index > last, 2 * last + edge - index, index)
    index = ops.clip(index, 0, total)
    x = ops.pad(x, ((0, 0), (0, 1)))  # so that there is a sample to take, were `S` 0
    if len(index.shape) == 1:
        return ops.take(x, index, axis=1)
    return ops.take_along_axis(x, index, axis=1)


def analysis_window(name, length, periodic=False):
    """Float64 `"hamming"`, `"hann"` or `"povey"` (Kaldi's Hann to the power 0.85) window."""
    phase = 2 * np.pi * np.arange(length) / (length if periodic else length - 1)
    if name == "hamming":
        return 0.54 - 0.46 * np.cos(phase)
    if name == "hann":
        return 0.5 - 0.5 * np.cos(phase)
    if name == "povey":
        return (0.5 - 0.5 * np.cos(phase)) ** 0.85
    raise ValueError(f"`window` must be 'hamming', 'hann' or 'povey'. Received: window={name!r}")


def concrete(x):
    """The values of the tensor `x` as a NumPy array, or None while a graph is being traced."""
    if keras.config.backend() == "tensorflow" and not hasattr(x, "numpy"):
        return None
    try:
        return ops.convert_to_numpy(x)
    except (NotImplementedError, TypeError):
        return None


def clip_lengths(lengths, longest):
    """`lengths` as int32 in `[0, longest]`; values outside `[1, longest]` raise if run eagerly."""
    lengths = ops.convert_to_tensor(lengths)
    if "int" not in str(lengths.dtype) or len(lengths.shape) != 1:
        raise ValueError(
            "`lengths` must be integers of shape (batch,). "
            f"Received: shape={tuple(lengths.shape)}, dtype={lengths.dtype}"
        )
    values = concrete(lengths)
    if values is not None and ((values < 1) | (values > int(longest))).any():
        raise ValueError(
            f"`lengths` must lie between 1 and {int(longest)}, the padded size. "
            f"Received: lengths={values.tolist()}"
        )
    return ops.clip(ops.cast(lengths, "int32"), 0, longest)


def check_waveform(shape, dtype="float32"):
    """Raises `ValueError` unless `inputs` are a batch of one-channel waveforms, float or int16."""
    dtype = keras.backend.standardize_dtype(dtype)
    if len(shape) == 1:
        raise ValueError(
            "`inputs` must be a batch of waveforms, (batch, samples): for one waveform, pass "
            f"`wav[None]`. Received: shape={tuple(shape)}"
        )
    if len(shape) != 2:
        raise ValueError(
            "`inputs` must be (batch, samples), one channel: mix down first. "
            f"Received: shape={tuple(shape)}"
        )
    if dtype != "int16" and "float" not in dtype:
        raise ValueError(
            "`inputs` must be floats in [-1, 1] or int16 in [-32768, 32767]: scale other "
            f"integers to [-1, 1]. Received: dtype={dtype}"
        )
