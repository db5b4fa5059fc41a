import numpy as np
import pytest
import tensorflow as tf

from keras_resnets.preprocessing.image.resize import scaled, scaled_by_products


@pytest.fixture
def picture():
    return np.random.default_rng(0).integers(0, 256, (40, 30, 3)).astype("uint8")


@pytest.mark.parametrize("function", [scaled, scaled_by_products])
@pytest.mark.parametrize("size", [7, 25, 50])
@pytest.mark.parametrize("method", ["bilinear", "bicubic"])
@pytest.mark.parametrize("antialias", [False, True])
def test_as_tensorflow_resizes_a_piece(picture, function, size, method, antialias):
    expected = tf.image.resize(picture[3:23, 5:30], (size, size), method, antialias=antialias)
    found = function(picture, (3, 5, 20, 25), size, method, antialias)
    assert found.dtype == "float32"
    # TensorFlow reads its cubic weights from a table
    tolerance = 0.2 if (method, antialias) == ("bicubic", False) else 2e-3
    np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance)


@pytest.mark.parametrize("function", [scaled, scaled_by_products])
def test_a_constant_image_stays_constant(function):
    found = function(np.full((40, 30, 1), 77, "uint8"), (0, 0, 33, 30), 21, "bicubic", True)
    np.testing.assert_allclose(found, np.full((21, 21, 1), 77), rtol=1e-6)
