import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_resnets.vectors import unit

X = np.random.default_rng(0).normal(size=(4, 3)).astype("float32")


@pytest.mark.parametrize("axis", (-1, 0))
def test_arrays_and_tensors(axis):
    expected = X / np.linalg.norm(X, axis=axis, keepdims=True)
    found = unit(X, axis)
    assert isinstance(found, np.ndarray)
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    tensor = unit(keras.ops.convert_to_tensor(X), axis)
    assert keras.ops.is_tensor(tensor)
    np.testing.assert_allclose(tensor, expected, rtol=1e-6)
    assert unit(X.astype("float64")).dtype == "float64"


def test_short_vectors():
    np.testing.assert_allclose(unit(1e-9 * X), unit(X), rtol=1e-5)
    np.testing.assert_allclose(unit(1e-9 * X, smallest=1e-3), 1e-6 * X, rtol=1e-5)
    nothing = tf.zeros((2, 3))
    with tf.GradientTape() as tape:
        tape.watch(nothing)
        rows = unit(nothing)
    np.testing.assert_array_equal(rows, np.zeros((2, 3)))
    assert np.all(np.isfinite(tape.gradient(rows, nothing)))
