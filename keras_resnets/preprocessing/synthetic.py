"""Rooms and noises made by formula, for where no recordings are at hand."""

import numpy as np


def synthetic_rooms(count, seed=0, sampling_rate=16000, t60=(0.2, 0.8), direct_to_reverb=(-3, 9)):
    """Room impulse responses: a direct sound and an exponentially decaying tail of white noise.

    They have a room's decay, and nothing else of it: no early reflections, no colour.

    Args:
        count: int, number of rooms.
        seed: int.
        sampling_rate: int, in Hz.
        t60: `(low, high)` seconds in which the tail falls by 60 dB, uniform.
        direct_to_reverb: `(low, high)` in dB, energy of the direct sound over that of the tail.

    Returns:
        List of `count` float32 arrays.

    Example:

    >>> rooms = synthetic_rooms(2, t60=(0.5, 0.5))
    >>> [room.shape for room in rooms]
    [(8000,), (8000,)]

    Reference:
        Polack, La transmission de l'énergie sonore dans les salles, 1988: the stochastic tail.
    """
    rng = np.random.default_rng(seed)
    rooms = []
    for _ in range(count):
        seconds = rng.uniform(*t60)
        time = np.arange(1, round(seconds * sampling_rate)) / sampling_rate
        tail = rng.standard_normal(time.size) * 10 ** (-3 * time / seconds)
        tail *= 10 ** (-rng.uniform(*direct_to_reverb) / 20) / np.linalg.norm(tail)
        rooms.append(np.concatenate([[1.0], tail]).astype("float32"))
    return rooms


def synthetic_noises(count, seed=0, seconds=10.0, sampling_rate=16000, slope=(0.0, 2.0)):
    """Stationary and slowly swelling coloured noises: power falls as `1 / f^slope`.

    Args:
        count: int, number of noises.
        seed: int.
        seconds: float, length of each.
        sampling_rate: int, in Hz.
        slope: `(low, high)`: 0 is white, 1 pink, 2 brown; uniform.

    Returns:
        List of `count` float32 arrays, each with a peak of 1.

    Example:

    >>> [noise.shape for noise in synthetic_noises(2, seconds=1.0)]
    [(16000,), (16000,)]
    """
    rng = np.random.default_rng(seed)
    samples = round(seconds * sampling_rate)
    frequency = np.maximum(np.fft.rfftfreq(samples, 1 / sampling_rate), 20.0)
    time = np.arange(samples) / sampling_rate
    noises = []
    for _ in range(count):
        spectrum = np.fft.rfft(rng.standard_normal(samples))
        noise = np.fft.irfft(spectrum * frequency ** (-rng.uniform(*slope) / 2), samples)
        depth, rate, phase = rng.uniform(0, 0.9), rng.uniform(0.2, 4.0), rng.uniform(0, 2 * np.pi)
        noise *= 1 - depth * np.sin(np.pi * rate * time + phase) ** 2
        noises.append((noise / np.abs(noise).max()).astype("float32"))
    return noises
