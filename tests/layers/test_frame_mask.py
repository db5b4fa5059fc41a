import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_resnets.layers.frame_mask import FrameMask


def test_lengths_in_frames():
    mask = FrameMask()(np.zeros((3, 4, 2)), np.array([1, 3, 4]))
    np.testing.assert_array_equal(mask, [[1, 0, 0, 0], [1, 1, 1, 0], [1, 1, 1, 1]])


@pytest.mark.parametrize(
    "pad, counts",
    [(0, {399: 0, 400: 1, 559: 1, 560: 2, 1000: 4}), (200, {399: 0, 400: 3, 480: 4, 1000: 7})],
)
def test_lengths_in_samples(pad, counts):
    features = np.zeros((len(counts), 7, 80), "float32")
    mask = FrameMask(400, 160, pad)(features, np.array(list(counts)))
    np.testing.assert_array_equal(np.sum(mask, axis=1), list(counts.values()))
    assert keras.backend.standardize_dtype(mask.dtype) == "bool"


def test_none_stands_for_all_frames():
    assert FrameMask()(np.zeros((1, 4, 2))) is None


@pytest.mark.parametrize("lengths", [[0, 4], [5, 4], [-1, 4]])
def test_bad_lengths_eagerly_and_clipped_in_a_graph(lengths):
    features, lengths = np.zeros((2, 4, 1), "float32"), np.array(lengths)
    with pytest.raises(ValueError, match="between 1 and 4"):
        FrameMask()(features, lengths)
    mask = tf.function(FrameMask())(features, lengths)
    np.testing.assert_array_equal(np.sum(mask, axis=1), np.clip(lengths, 0, 4))


def test_config_round_trip_and_spec():
    layer = FrameMask(400, 160, 200, name="mask")
    assert FrameMask.from_config(layer.get_config()).get_config() == layer.get_config()
    mask = layer(keras.Input((None, 80)), keras.Input((), dtype="int32"))
    assert mask.shape == (None, None)
    assert mask.dtype == "bool"
