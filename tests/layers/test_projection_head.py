import itertools

import keras
import numpy as np
import pytest

from keras_resnets.layers import ProjectionHead, Prototypes


def trainable(layer):
    return sum(int(np.prod(w.shape)) for w in layer.trainable_weights)


@pytest.mark.parametrize(
    "width, layers, parameters",
    [(2048, 3, 8_659_072), (2048, 2, 4_460_672), (4096, 2, 17_309_824)],
)
def test_parameters(width, layers, parameters):
    head = ProjectionHead(num_layers=layers)
    head.build((None, width))
    assert trainable(head) == parameters


def test_parameters_of_swavs():
    head = ProjectionHead(128, 2, 2048, use_bias=True, output_norm=False)
    head.build((None, 2048))
    prototypes = Prototypes(3000)
    prototypes.build((None, 128))
    assert (trainable(head), trainable(prototypes)) == (4_462_720, 384_000)


def test_hidden_states(randomize):
    head = ProjectionHead(4, num_layers=3)
    head.build((None, 6))
    randomize(head)
    x = np.random.default_rng(0).normal(size=(5, 6)).astype("float32")
    states = [np.array(h) for h in head.hidden_states(x)]
    for i, (below, above) in enumerate(itertools.pairwise(states)):
        norm = head.norms[i]
        y = below @ head.dense[i].kernel.numpy() - norm.moving_mean.numpy()
        y *= norm.gamma.numpy() / np.sqrt(norm.moving_variance.numpy() + 1e-5)
        if i < 2:
            y = np.maximum(y + norm.beta.numpy(), 0)
        np.testing.assert_allclose(above, y, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(states[-1], head(x))
    assert not head.norms[-1].center


@pytest.mark.parametrize(
    "layer",
    [ProjectionHead(4), ProjectionHead(4, 1, output_norm=False, use_bias=True), Prototypes(5)],
    ids=["SimCLR", "linear", "prototypes"],
)
def test_as_a_keras_layer(layer, tmp_path):
    model = keras.Sequential([keras.Input((6,)), layer])
    x = np.random.default_rng(0).normal(size=(5, 6))
    model.save(tmp_path / "m.keras")
    again = keras.models.load_model(tmp_path / "m.keras")
    np.testing.assert_array_equal(model.predict(x, verbose=0), again.predict(x, verbose=0))
    assert again.layers[0].get_config() == layer.get_config()
    half = type(layer).from_config({**layer.get_config(), "dtype": "mixed_bfloat16"})
    expected = "float32" if isinstance(layer, Prototypes) else "bfloat16"
    assert keras.backend.standardize_dtype(half(x).dtype) == expected


def test_prototypes_are_cosines():
    layer = Prototypes(5)
    layer.build((None, 3))
    layer.kernel.assign(np.random.default_rng(0).normal(size=(3, 5)) * 4)
    x = np.random.default_rng(1).normal(size=(2, 3)).astype("float32")
    kernel = layer.kernel.numpy()
    cosines = x @ kernel / np.linalg.norm(x, axis=1)[:, None] / np.linalg.norm(kernel, axis=0)
    np.testing.assert_allclose(layer(x), cosines, rtol=1e-5)
    assert not np.allclose(layer(x, training=True), cosines, rtol=0.1)
    layer.normalize()
    np.testing.assert_allclose(np.linalg.norm(layer.kernel.numpy(), axis=0), np.ones(5), rtol=1e-6)
    np.testing.assert_allclose(layer(x, training=True), cosines, rtol=1e-5)
    assert np.all(np.array(layer(np.zeros((1, 3), "float32"))) == 0)


def test_bad_input():
    for name in ("output_dim", "num_layers", "hidden_dim"):
        with pytest.raises(ValueError, match=f"`{name}` must be at least 1"):
            ProjectionHead(**{name: 0})
    with pytest.raises(ValueError, match="`num_prototypes` must be at least 1"):
        Prototypes(0)
    with pytest.raises(ValueError, match=r"pooled features.*\(2, 4, 4, 8\)"):
        ProjectionHead()(np.ones((2, 4, 4, 8), "float32"))
