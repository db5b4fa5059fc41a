import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_resnets.layers import ZeroEmptyRows

SIGNAL = np.zeros((3, 500), "float32")


@pytest.mark.parametrize("shape", [(3, 2), (3, 4, 2)])
def test_rows_without_a_frame_become_zero(shape):
    x = np.ones(shape, "float32")
    x[1] = np.nan
    out = np.array(ZeroEmptyRows(400)(x, SIGNAL, np.array([400, 399, 500])))
    np.testing.assert_array_equal(out[[0, 2]], 1)
    np.testing.assert_array_equal(out[1], 0)


def test_lengths_count_up_to_the_padded_size_only():
    out = ZeroEmptyRows(501)(np.ones((3, 2), "float32"), SIGNAL, np.array([600, 501, 1]))
    np.testing.assert_array_equal(out, np.zeros((3, 2)))


@pytest.mark.parametrize("size, expected", [(0, 0), (399, 0), (400, 1)])
def test_without_lengths_the_size_decides(size, expected):
    layer, x = ZeroEmptyRows(400), np.ones((3, 2), "float32")
    graph = tf.function(
        layer, input_signature=[tf.TensorSpec((None, 2)), tf.TensorSpec([None] * 2)]
    )
    for call in (layer, graph):
        np.testing.assert_array_equal(call(x, SIGNAL[:, :size]), x * expected)


def test_as_a_keras_layer(tmp_path):
    inputs = [keras.Input((2,)), keras.Input((None,)), keras.Input((), dtype="int32")]
    outputs = ZeroEmptyRows(400)(*inputs)
    assert outputs.shape == (None, 2)
    model = keras.Model(inputs, outputs)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    x = [np.ones((3, 2), "float32"), SIGNAL, np.array([1, 400, 500])]
    np.testing.assert_array_equal(loaded(x), [[0, 0], [1, 1], [1, 1]])


def test_dtype_is_kept():
    layer = ZeroEmptyRows(400, dtype="mixed_float16")
    assert layer(np.ones((3, 2), "float16"), SIGNAL).dtype == "float16"
