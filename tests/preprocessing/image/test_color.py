import itertools

import numpy as np
import pytest
import tensorflow as tf

from keras_resnets.preprocessing.image import color

CHANGES = {
    "brightness": lambda x, v: x * v,
    "contrast": tf.image.adjust_contrast,
    "saturation": tf.image.adjust_saturation,
    "hue": tf.image.adjust_hue,
}
VALUES = {"brightness": 1.4, "contrast": 1.6, "saturation": 0.5, "hue": -0.15}
NEUTRAL = {"brightness": 1.0, "contrast": 1.0, "saturation": 1.0, "hue": 0.0}


@pytest.fixture(scope="module")
def picture():
    picture = np.random.default_rng(0).uniform(size=(12, 9, 3)).astype("float32")
    picture[0, :4] = [[0, 0, 0], [1, 1, 1], [0.3, 0.3, 0.3], [1, 0, 0]]
    return picture


@pytest.fixture(scope="module")
def jitter():
    """`color_jitter` of channels last, compiled."""

    @tf.function(jit_compile=True)
    def jitter(picture, order, values):
        planes = tf.transpose(picture, (2, 0, 1))
        return tf.transpose(color.color_jitter(planes, order, **values), (1, 2, 0))

    def call(picture, order, **values):
        values = {name: tf.constant(value) for name, value in values.items()}
        return jitter(picture, tf.constant(order), {"offset": tf.constant(0.0)} | values).numpy()

    return call


@pytest.mark.parametrize("name", CHANGES)
@pytest.mark.parametrize("value", [0.0, 0.2, 0.45, 1.8])
def test_each_change_is_as_tensorflows(picture, jitter, name, value):
    if name == "hue":
        value = min(value, 1.0)
    expected = np.clip(CHANGES[name](picture, value), 0, 1)
    found = jitter(picture, range(4), **NEUTRAL | {name: value})
    np.testing.assert_allclose(found, expected, atol=2e-6)


def test_changes_come_in_the_order_that_is_given(picture, jitter):
    """Cut to [0, 1] after each."""
    for order in itertools.permutations(range(4)):
        expected = picture
        for number in order:
            name = list(CHANGES)[number]
            expected = np.clip(CHANGES[name](expected, VALUES[name]), 0, 1)
        np.testing.assert_allclose(jitter(picture, order, **VALUES), expected, atol=5e-6)


def test_additive_brightness(picture, jitter):
    found = jitter(picture, range(4), **NEUTRAL, offset=-0.3)
    np.testing.assert_allclose(found, np.clip(picture - 0.3, 0, 1), atol=1e-6)


def test_a_full_turn_of_hue_is_none(picture, jitter):
    found = jitter(picture, range(4), **NEUTRAL | {"hue": 1.0})
    np.testing.assert_allclose(found, picture, atol=2e-6)


def test_grayscale(picture):
    planes = np.moveaxis(picture, -1, 0)
    gray = color.grayscale(planes).numpy()
    np.testing.assert_allclose(gray, [picture @ [0.299, 0.587, 0.114]] * 3, atol=1e-6)
