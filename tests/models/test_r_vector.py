import importlib
import sys

import keras
import numpy as np
import pytest

from keras_resnets import r_vector

X = np.random.default_rng(0).normal(size=(2, 21, 80)).astype("float32")


def test_multiply_adds(count_macs):
    """WeSpeaker prints 4.55 G, as its counter adds the normalisation's."""
    macs = count_macs(r_vector(), np.zeros((1, 200, 80), "float32"))
    assert round(macs / 1e9, 2) == 4.53


@pytest.mark.parametrize(
    "options, shape",
    [
        (dict(), (2, 256)),
        (dict(pooling="avg", embedding_dim=12), (2, 12)),
        (dict(pooling=None), (2, 3, 320)),
        (dict(include_top=True, classes=3), (2, 3)),
    ],
)
def test_options(options, shape):
    """Three strides of two: 21 frames give ceil(21 / 8), 80 bins give 10."""
    model = r_vector(18, width=4, **options)
    assert model(X).shape == model.compute_output_shape(X.shape) == shape


def test_other_bins():
    assert r_vector(18, width=4, input_shape=(None, 40))(X[..., :40]).shape == (2, 256)


def test_frames_after_three_strides():
    """The mask of the last stage keeps the frames that the utterance alone would have."""
    model = r_vector(18, width=4, pooling=None)
    mask = model.get_layer("mask_1_8")
    for frames in (1, 2, 8, 9, 16, 17, 21):
        kept = np.sum(mask(np.zeros((1, 3, 320), "float32"), np.array([frames])))
        assert kept == model(X[:1, :frames]).shape[1] == -(-frames // 8)


@pytest.mark.parametrize(
    "options", [dict(include_top=True), dict(input_shape=(80,)), dict(pooling="max")], ids=str
)
def test_bad_arguments(options):
    with pytest.raises(
        ValueError, match=r"`pooling` must be|needs `classes`|`input_shape` must be"
    ):
        r_vector(18, width=4, **options)


def test_nested_blocks_are_the_flat_network(monkeypatch, randomize):
    flat = randomize(r_vector(18, width=4))
    monkeypatch.setattr(importlib.import_module("keras_resnets.models.r_vector"), "MAX_FLAT", 0)
    nested = r_vector(18, width=4)
    assert sum(isinstance(layer, keras.Model) for layer in nested.layers) == 4
    assert [w.path for w in nested.weights] == [w.path for w in flat.weights]
    nested.set_weights(flat.get_weights())
    for inputs in (X, [X, np.array([21, 9])]):
        np.testing.assert_allclose(nested(inputs), flat(inputs), rtol=1e-5, atol=1e-6)


@pytest.mark.slow
def test_the_deepest_is_far_from_the_recursion_limit(tmp_path):
    """Keras walks a flat graph by recursion."""
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(400)
    try:
        model = r_vector(293, width=4, include_top=True, classes=3)
        model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    finally:
        sys.setrecursionlimit(limit)
    data = {"inputs": X, "lengths": np.array([21, 9])}
    assert np.isfinite(model.train_on_batch(data, np.array([0, 2])))
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded(X), model(X))
