import math

import numpy as np
import pytest
import tensorflow as tf

from keras_resnets.preprocessing.audio import resample

RATES = [(8000, 16000), (44100, 16000), (48000, 16000), (9, 10), (11, 10), (22050, 16000), (7, 3)]


def zero_stuffed(x, orig, target):
    """By the book, in float64: put zeros between the samples, filter, drop samples."""
    up, down = target // math.gcd(orig, target), orig // math.gcd(orig, target)
    half = 10 * max(up, down)
    lowpass = np.sinc(np.arange(-half, half + 1) / max(up, down)) * np.kaiser(2 * half + 1, 5)
    stuffed = np.zeros(len(x) * up)
    stuffed[::up] = x
    filtered = np.convolve(stuffed, up * lowpass / lowpass.sum())[half:]
    return filtered[: len(stuffed) : down]


@pytest.mark.parametrize("orig, target", RATES)
@pytest.mark.parametrize("samples", [1, 399, 4000])
def test_equals_its_definition(orig, target, samples):
    x = np.random.default_rng(0).standard_normal((2, samples)).astype("float32")
    expected = np.stack([zero_stuffed(row, orig, target) for row in x])
    np.testing.assert_allclose(resample(x, orig, target), expected, atol=2e-6)
    np.testing.assert_allclose(resample(tf.constant(x), orig, target), expected, atol=2e-6)


@pytest.mark.parametrize("orig, target", RATES)
def test_equals_scipy(orig, target):
    signal = pytest.importorskip("scipy.signal")
    x = np.random.default_rng(0).standard_normal((2, 16000)).astype("float32")
    expected = signal.resample_poly(x.astype("float64"), target, orig, axis=-1)
    np.testing.assert_allclose(resample(x, orig, target), expected, atol=2e-6)


def test_works_in_tf_data_with_unknown_length():
    lengths = [1, 300, 4001]
    data = tf.data.Dataset.from_generator(
        lambda: (np.arange(n, dtype="float32") / n for n in lengths),
        output_signature=tf.TensorSpec([None], tf.float32),
    )
    for n, y in zip(lengths, data.map(lambda x: resample(x, 8000, 16000))):
        np.testing.assert_allclose(y, resample(np.arange(n) / n, 8000, 16000), atol=1e-6)


def test_keeps_a_tone_and_removes_what_would_alias():
    t = np.arange(48000) / 48000
    inner = slice(500, -500)
    kept = resample(np.sin(2 * np.pi * 1000 * t), 48000, 16000)
    expected = np.sin(2 * np.pi * 1000 * np.arange(16000) / 16000)
    assert np.abs(kept - expected)[inner].max() < 3e-3
    removed = resample(np.sin(2 * np.pi * 11000 * t), 48000, 16000)
    assert np.abs(removed[inner]).max() < 3e-3


def test_long_input_is_worked_in_blocks(monkeypatch):
    import sys

    module = sys.modules["keras_resnets.preprocessing.resample"]
    x = np.random.default_rng(0).standard_normal(5000).astype("float32")
    whole = resample(x, 3, 2)
    monkeypatch.setattr(module, "BLOCK", 100)
    np.testing.assert_allclose(resample(x, 3, 2), whole, atol=1e-6)


@pytest.mark.parametrize("rates", [(0, 16000), (16000, -1), (16000, 8000.5), ("a", 1)])
def test_bad_rates(rates):
    with pytest.raises(ValueError, match="positive integers"):
        resample(np.zeros(10), *rates)
    with pytest.raises(ValueError, match="samples"):
        resample(tf.zeros((1, 2, 3)), 2, 1)
