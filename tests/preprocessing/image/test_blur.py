import numpy as np
import pytest
from scipy import ndimage

from keras_resnets.preprocessing.image.blur import gaussian_blur


@pytest.fixture
def planes():
    return np.random.default_rng(0).uniform(size=(3, 20, 15)).astype("float32")


@pytest.mark.parametrize("sigma", [0.5, 2.0])
def test_is_a_gaussian_with_mirrored_borders(planes, sigma):
    expected = ndimage.gaussian_filter(planes, (0, sigma, sigma), mode="reflect", radius=(0, 6, 6))
    np.testing.assert_allclose(gaussian_blur(planes, sigma, 6), expected, atol=1e-6)


def test_a_small_deviation_changes_nothing(planes):
    np.testing.assert_allclose(gaussian_blur(planes, 0.1, 3), planes, atol=1e-3)


def test_a_constant_image_stays_constant_at_the_border_too():
    constant = np.full((1, 9, 11), 0.7, "float32")
    np.testing.assert_allclose(gaussian_blur(constant, 2.0, 7), constant, rtol=1e-6)


def test_radius_zero_is_the_image(planes):
    np.testing.assert_array_equal(gaussian_blur(planes, 1.0, 0), planes)
