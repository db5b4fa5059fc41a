import keras
import numpy as np
import pytest

from keras_resnets.layers.cepstral_mean import CepstralMeanNormalization

X = np.array([[[1.0, 10.0], [2.0, 20.0], [6.0, 60.0]]], "float32")


def test_subtracts_the_mean_over_time():
    np.testing.assert_allclose(
        CepstralMeanNormalization()(X), [[[-2, -20], [-1, -10], [3, 30]]], atol=1e-6
    )


@pytest.mark.parametrize("garbage", [0.0, 1e6, np.nan, np.inf])
def test_padded_frames_are_ignored_and_zeroed(garbage):
    padded = np.concatenate([X, np.full((1, 2, 2), garbage, "float32")], axis=1)
    out = np.array(CepstralMeanNormalization()(padded, mask=np.array([[1, 1, 1, 0, 0]], bool)))
    np.testing.assert_array_equal(out[:, :3], CepstralMeanNormalization()(X))
    np.testing.assert_array_equal(out[:, 3:], 0)


def test_full_mask_is_bit_equal_to_none():
    x = np.random.default_rng(0).normal(size=(3, 198, 80)).astype("float32")
    layer = CepstralMeanNormalization()
    np.testing.assert_array_equal(layer(x), layer(x, mask=np.ones((3, 198), bool)))


def test_nothing_valid_gives_zeros():
    out = CepstralMeanNormalization()(X, mask=np.zeros((1, 3), bool))
    np.testing.assert_array_equal(out, np.zeros_like(X))


def test_mixed_precision_computes_in_float32():
    x = X + 1000  # float16 would lose the hundredths
    x[:, 0, 0] += 0.01
    out = CepstralMeanNormalization(dtype="mixed_float16")(x)
    assert out.dtype == "float16"
    exact = np.array(CepstralMeanNormalization()(x))
    np.testing.assert_array_equal(out, exact.astype("float16"))


def test_takes_and_passes_on_a_keras_mask():
    x = np.where(np.arange(3)[None, :, None] < 2, X, 0)
    masked = keras.layers.Masking()(x)
    out = CepstralMeanNormalization()(masked)
    np.testing.assert_allclose(out, [[[-0.5, -5], [0.5, 5], [0, 0]]], atol=1e-6)
    np.testing.assert_array_equal(out._keras_mask, [[True, True, False]])
