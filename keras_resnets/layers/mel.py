"""Triangular mel filters, `(fft_length // 2 + 1, bins)`, in the three conventions in use."""

import numpy as np


def mel_matrix(convention, bins, fft_length, sampling_rate, low_freq, high_freq):
    """Filters equally spaced on the mel scale from `low_freq` to `high_freq` Hz, unnormalised.

    Args:
        convention: `"kaldi"`: triangles straight in the mel domain `1127 ln(1 + f / 700)`, none at
            the Nyquist bin. `"htk"`: triangles in Hz between neighbouring centres on
            `2595 log10(1 + f / 700)`, as torchaudio. `"speechbrain"`: the same centres, but both
            slopes as wide as the left one.
        bins: int, number of filters.
        fft_length: int.
        sampling_rate: int, in Hz.
        low_freq: float, in Hz.
        high_freq: float, in Hz; zero or negative counts down from the Nyquist frequency.

    Returns:
        float64 array.
    """
    nyquist = sampling_rate / 2
    high = high_freq if high_freq > 0 else nyquist + high_freq
    if not 0 <= low_freq < high <= nyquist:
        raise ValueError(
            f"`low_freq` and `high_freq` must satisfy 0 <= low < high <= {nyquist:g} Hz. "
            f"Received: low_freq={low_freq}, high_freq={high_freq}"
        )
    to_mel, to_hz = _SCALES["kaldi" if convention == "kaldi" else "htk"]
    points = np.linspace(to_mel(low_freq), to_mel(high), bins + 2)
    freqs = np.linspace(0, nyquist, fft_length // 2 + 1)
    if convention == "kaldi":
        freqs = to_mel(freqs)
    elif convention in ("htk", "speechbrain"):
        points = to_hz(points)
    else:
        raise ValueError(
            f"`mel` must be 'kaldi', 'htk' or 'speechbrain'. Received: mel={convention!r}"
        )
    left, centre, right = points[:-2], points[1:-1], points[2:]
    if convention == "speechbrain":
        right = 2 * centre - left
    freqs = freqs[:, None]
    filters = np.minimum((freqs - left) / (centre - left), (right - freqs) / (right - centre))
    filters = np.maximum(filters, 0)
    if convention == "kaldi":
        filters[-1] = 0
    return filters


_SCALES = {
    "kaldi": (lambda f: 1127 * np.log1p(f / 700), lambda m: 700 * np.expm1(m / 1127)),
    "htk": (lambda f: 2595 * np.log10(1 + f / 700), lambda m: 700 * (10 ** (m / 2595) - 1)),
}
