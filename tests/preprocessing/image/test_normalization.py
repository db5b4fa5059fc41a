import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_resnets.preprocessing import image


@pytest.fixture
def pictures():
    return np.random.default_rng(0).integers(0, 256, (64, 9, 7, 3)).astype("uint8")


@pytest.mark.parametrize("mode", ["torch", "caffe", "tf", "half"])
@pytest.mark.parametrize("kind", [np.asarray, tf.convert_to_tensor], ids=["array", "tensor"])
def test_preprocess_input(pictures, mode, kind):
    found = image.preprocess_input(kind(pictures), mode)
    assert found.dtype == "float32"
    assert isinstance(found, type(kind(pictures)))
    if mode == "half":
        expected = (pictures / 255 - 0.5) / 0.5
    else:
        expected = keras.applications.imagenet_utils.preprocess_input(
            pictures.astype("float32"), mode=mode
        )
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4 if mode == "caffe" else 2e-6)


def test_preprocess_input_errors(pictures):
    with pytest.raises(ValueError, match="mode='imagenet'"):
        image.preprocess_input(pictures, "imagenet")
    with pytest.raises(ValueError, match="RGB"):
        image.preprocess_input(pictures[..., :1])
