import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_resnets.layers.spec_augment import SpecAugment


def bands(hidden):
    """Width and start of the one run of True in each row (start -1 for none)."""
    width = hidden.sum(axis=1)
    start = np.where(width > 0, hidden.argmax(axis=1), -1)
    for row, w, s in zip(hidden, width, start):
        assert row[max(s, 0) : max(s, 0) + w].all()
    return width, start


def masks(layer, shape):
    """Which frames and which channels of an all-ones input came out as zero."""
    out = np.array(layer(np.ones(shape, "float32"), training=True))
    time, freq = (out == 0).all(axis=2), (out == 0).all(axis=1)
    np.testing.assert_array_equal(out == 0, time[:, :, None] | freq[:, None, :])
    return time, freq


def test_widths_and_places_are_uniform_and_inclusive():
    time, freq = masks(SpecAugment(5, 10, seed=1), (6000, 40, 30))
    for hidden, widest, size in ((time, 5, 40), (freq, 10, 30)):
        width, start = bands(hidden)
        share = np.bincount(width, minlength=widest + 1) / len(width)
        assert len(share) == widest + 1
        np.testing.assert_allclose(share, 1 / (widest + 1), atol=0.02)
        places = start[width == widest]
        share = np.bincount(places, minlength=size - widest + 1) / len(places)
        assert len(share) == size - widest + 1, "the last place is reached, none beyond"
        np.testing.assert_allclose(share, 1 / (size - widest + 1), atol=0.035)


def test_each_example_has_its_own_mask():
    time, freq = masks(SpecAugment(5, 10), (64, 200, 80))
    assert len({tuple(row) for row in time}) > 32
    assert len({tuple(row) for row in freq}) > 32


def test_several_masks():
    time, freq = masks(SpecAugment(4, 0, time_masks=3, freq_masks=0), (2000, 200, 8))
    assert not freq.any()
    assert 9 <= time.sum(axis=1).max() <= 12
    np.testing.assert_allclose(time.sum(axis=1).mean(), 6, atol=0.3)


@pytest.mark.parametrize("training", [False, None])
def test_off_at_inference(training):
    x = np.random.default_rng(0).normal(size=(4, 50, 20)).astype("float32")
    np.testing.assert_array_equal(SpecAugment()(x, training=training), x)


def test_masks_no_wider_than_the_input():
    time, _ = masks(SpecAugment(9, 0), (500, 3, 2))
    assert set(bands(time)[0]) == {0, 1, 2, 3}


@pytest.mark.parametrize("jit_compile", [False, True])
def test_dynamic_graph(jit_compile):
    layer = SpecAugment(5, 10, seed=3)
    graph = tf.function(
        lambda x: layer(x, training=True),
        input_signature=[tf.TensorSpec((None, None, 80))],
        jit_compile=jit_compile,
    )
    first, second = (graph(np.ones((32, 100, 80), "float32")).numpy() for _ in range(2))
    assert (first != second).any(), "drawn anew at each call"
    hidden = (first == 0).mean()
    assert 0.02 < hidden < 0.2


def test_seed_repeats():
    x = np.ones((8, 100, 80), "float32")
    np.testing.assert_array_equal(
        SpecAugment(seed=7)(x, training=True), SpecAugment(seed=7)(x, training=True)
    )


def test_mixed_precision_and_nan_free():
    x = np.full((8, 100, 80), np.inf, "float32")
    out = SpecAugment(dtype="mixed_float16")(x, training=True)
    assert out.dtype == "float16"
    assert not np.isnan(out).any()


def test_config_round_trip():
    layer = SpecAugment(3, 4, 2, 1, seed=5, name="mask")
    twin = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
    assert twin.get_config() == layer.get_config()
    assert layer(keras.Input((None, 80))).shape == (None, None, 80)


def test_negative_sizes():
    with pytest.raises(ValueError, match="must not be negative"):
        SpecAugment(time_width=-1)
