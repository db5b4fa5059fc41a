"""Samples as callers hand them over."""

import numpy as np


def one_channel(samples):
    """`samples` `(n,)`, floats or int16, as floats in [-1, 1]."""
    samples = np.asarray(samples)
    if samples.ndim != 1:
        raise ValueError(
            "`samples` must be one waveform of one channel, (n,): mix down first. "
            f"Received: shape={samples.shape}"
        )
    if samples.dtype == np.int16:
        return samples * np.float32(1 / 32768)
    if samples.dtype.kind != "f":
        raise ValueError(
            "`samples` must be floats in [-1, 1] or int16 (full scale 32768). "
            f"Received: dtype={samples.dtype}"
        )
    return samples.astype("float32", copy=False)
