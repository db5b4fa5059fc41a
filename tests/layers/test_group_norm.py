"""Group normalisation against Keras' layer."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_resnets.layers import GroupNorm


def outputs_and_gradients(layer, x, dy):
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = layer(x)
    sources = [x, *[w.value for w in layer.trainable_variables]]
    return [y, *tape.gradient(y, sources, tf.cast(dy, y.dtype))]


@pytest.mark.parametrize(
    "shape, options",
    [
        ((2, 5, 8), {}),
        ((2, 3, 5, 8), {}),
        ((2, 3, 5, 8), {"groups": -1}),
        ((2, 3, 5, 8), {"scale": False}),
        ((2, 3, 5, 8), {"center": False}),
        ((2, 8, 3, 5), {"axis": 1}),
        ((2, 2, 3, 2, 8), {}),
        ((2, 3, 5, 8), {"dtype": "mixed_bfloat16"}),
    ],
)
def test_equals_keras(shape, options):
    rng = np.random.default_rng(0)
    x, dy = (tf.constant(a) for a in rng.normal(1, 2, (2, *shape)).astype("float32"))
    options = {"groups": 4, "epsilon": 1e-5, **options}
    ours, theirs = GroupNorm(**options), keras.layers.GroupNormalization(**options)
    for layer in (ours, theirs):
        layer.build(shape)
    ours.set_weights(weights := [rng.normal(size=w.shape) for w in ours.weights])
    theirs.set_weights(weights)
    tolerance = 2e-2 if "dtype" in options else 1e-5
    results = (outputs_and_gradients(layer, x, dy) for layer in (ours, theirs))
    for mine, other in zip(*results):
        mine, other = (np.asarray(tf.cast(t, "float32")) for t in (mine, other))
        scale = np.abs(other).max()
        np.testing.assert_allclose(mine, other, rtol=tolerance, atol=tolerance * scale)
    assert ours(x).dtype == theirs(x).dtype


def test_large_mean_keeps_its_variance():
    x = 1000 + np.random.default_rng(0).normal(size=(2, 16, 16, 8)).astype("float32")
    assert abs(np.std(GroupNorm(4)(x)) - 1) < 1e-3


def test_saves_in_a_model(tmp_path):
    inputs = keras.Input((None, None, 8))
    model = keras.Model(inputs, GroupNorm(4)(inputs))
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    x = np.random.default_rng(0).normal(size=(2, 3, 5, 8)).astype("float32")
    np.testing.assert_array_equal(loaded(x), model(x))
