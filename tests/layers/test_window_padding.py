import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_resnets.layers import WindowPadding2D


@pytest.mark.parametrize(("padding", "window"), [(0, 3), (1, 5), (2, 5), (0, 4)])
@pytest.mark.parametrize("side", [1, 2, 3, 7])
def test_a_window_fits(padding, window, side):
    x = np.random.default_rng(0).standard_normal((2, side, 6, 3)).astype("float32")
    lacking = max(window - 2 * padding - side, 0)
    rows = (padding + lacking // 2, padding + lacking - lacking // 2)
    expected = np.pad(x, ((0, 0), rows, (padding, padding), (0, 0)))
    layer = WindowPadding2D(padding, window)
    dynamic = tf.function(layer, input_signature=[tf.TensorSpec((None,) * 3 + (3,))])
    first = WindowPadding2D(padding, window, data_format="channels_first")
    for padded in (layer(x), dynamic(x), np.moveaxis(first(np.moveaxis(x, -1, 1)), 1, -1)):
        np.testing.assert_array_equal(padded, expected)
    assert layer.compute_output_shape(x.shape) == expected.shape
    assert layer.compute_output_shape((None, None, 6, 3)) == (None, None, 6 + 2 * padding, 3)


def test_as_a_keras_layer(check_layer):
    check_layer(WindowPadding2D(1, 5), np.ones((2, 2, 6, 3), "float32"))


def test_its_gradient_is_that_of_the_inside():
    x = keras.ops.ones((1, 2, 6, 1))
    with tf.GradientTape() as tape:
        tape.watch(x)
        loss = keras.ops.sum(WindowPadding2D(0, 3)(x) * 2)
    np.testing.assert_array_equal(tape.gradient(loss, x), 2 * np.ones((1, 2, 6, 1)))


@pytest.mark.parametrize(("padding", "window"), [(-1, 3), (0, 0)])
def test_bad_arguments(padding, window):
    with pytest.raises(ValueError, match=f"padding={padding}, window={window}"):
        WindowPadding2D(padding, window)
