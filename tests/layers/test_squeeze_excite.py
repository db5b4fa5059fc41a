import numpy as np
import pytest

from keras_resnets.layers import SqueezeExcite1D

RNG = np.random.default_rng(0)


def reference(layer, x):
    """The gated frames `(T, C)` of one example."""
    w1, b1, w2, b2 = layer.get_weights()
    hidden = np.maximum(x.mean(axis=0) @ w1 + b1, 0)
    return x / (1 + np.exp(-(hidden @ w2 + b2)))


@pytest.fixture
def layer(randomize):
    layer = SqueezeExcite1D(4)
    layer.build((None, None, 6))
    return randomize(layer)


@pytest.mark.parametrize("fill", [0.0, 1e6, np.nan])
def test_gates_come_from_the_valid_frames(layer, fill):
    x = RNG.normal(size=(3, 9, 6)).astype("float32")
    lengths = np.array([1, 5, 9])
    mask = np.arange(9) < lengths[:, None]
    x[~mask] = fill
    result = np.array(layer(x, mask=mask))
    for row, example, n in zip(result, x, lengths):
        np.testing.assert_allclose(row[:n], reference(layer, example[:n]), atol=1e-6)
    np.testing.assert_allclose(layer(x[2:])[0], reference(layer, x[2]), atol=1e-6)


def test_nothing_valid_is_finite(layer):
    x = np.ones((1, 3, 6), "float32")
    assert np.all(np.isfinite(layer(x, mask=np.zeros((1, 3), bool))))


def test_full_mask_is_bit_equal_to_none(layer):
    x = RNG.normal(size=(2, 9, 6)).astype("float32")
    np.testing.assert_array_equal(layer(x), layer(x, mask=np.ones((2, 9), bool)))


def test_mean_is_taken_in_float32():
    x = np.full((1, 3000, 2), 100.0)  # their sum overflows float16
    assert np.all(np.isfinite(SqueezeExcite1D(4, dtype="mixed_float16")(x)))


def test_as_a_keras_layer(layer, check_layer):
    check_layer(layer, RNG.normal(size=(2, 9, 6)).astype("float32"))


def test_bad_argument():
    with pytest.raises(ValueError, match=r"`bottleneck` must be at least 1.*bottleneck=0"):
        SqueezeExcite1D(0)
