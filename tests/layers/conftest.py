"""What is asked of every layer."""

import keras
import numpy as np
import pytest


@pytest.fixture
def check_layer(tmp_path):
    """`check(layer, x)`: configuration, shapes, saving and mixed precision of `(B, T, ...)`."""

    def check(layer, x, tolerance=0.02):
        cls = type(layer)
        expected = keras.ops.convert_to_numpy(layer(x))
        assert keras.saving.get_registered_name(cls) == f"keras_resnets>{cls.__name__}"
        assert cls.from_config(layer.get_config()).get_config() == layer.get_config()
        assert layer.compute_output_shape(x.shape) == expected.shape

        inputs = keras.Input((None, *x.shape[2:]))
        outputs = cls.from_config(layer.get_config())(inputs)
        assert len(outputs.shape) == expected.ndim
        assert all(a in (None, b) for a, b in zip(outputs.shape, expected.shape))
        model = keras.Model(inputs, outputs)
        model.set_weights(layer.get_weights())
        model.save(tmp_path / "model.keras")
        loaded = keras.saving.load_model(tmp_path / "model.keras")
        np.testing.assert_array_equal(loaded(x), expected)

        for policy, dtype in (("mixed_float16", "float16"), ("mixed_bfloat16", "bfloat16")):
            half = cls.from_config({**layer.get_config(), "dtype": policy})
            half.build(x.shape)
            half.set_weights(layer.get_weights())
            outputs = half(x)
            assert keras.backend.standardize_dtype(outputs.dtype) == dtype
            assert {w.dtype for w in half.trainable_variables} <= {"float32"}
            difference = keras.ops.convert_to_numpy(keras.ops.cast(outputs, "float32")) - expected
            assert np.abs(difference).max() < tolerance * np.abs(expected).max()

    return check
