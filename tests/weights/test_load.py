"""`load_weights`: the `weights=` of the factories."""

import sys
import types

import keras
import numpy as np
import pytest

from keras_resnets.weights import load_weights


def make(width=4, seed=0):
    keras.utils.set_random_seed(seed)
    x = keras.Input((3,))
    y = keras.layers.Dense(width, name="segment1")(x)
    return keras.Model(x, keras.layers.Dense(2, name="segment2")(y))


def assert_equal(one, other):
    for a, b in zip(one, other):
        np.testing.assert_array_equal(a, b)


def test_none_changes_nothing():
    model = make()
    before = model.get_weights()
    assert load_weights(model, None) is model
    assert_equal(model.get_weights(), before)


@pytest.mark.parametrize("name", ["x.keras", "x.weights.h5"])
def test_keras_files(tmp_path, name):
    saved, path = make(seed=1), tmp_path / name
    saved.save(path) if name == "x.keras" else saved.save_weights(path)
    model = make(seed=2)
    load_weights(model, path)
    assert_equal(model.get_weights(), saved.get_weights())
    load_weights(make(seed=3), str(path))


@pytest.mark.parametrize("name", ["x.keras", "x.weights.h5"])
@pytest.mark.parametrize("keep", [0, 0.3, 0.9])
def test_broken_keras_files_change_nothing(tmp_path, name, keep):
    saved, path = make(seed=1), tmp_path / name
    saved.save(path) if name == "x.keras" else saved.save_weights(path)
    content = path.read_bytes()
    path.write_bytes(content[: int(keep * len(content))])
    model = make(seed=2)
    before = model.get_weights()
    with pytest.raises(ValueError, match=name):
        load_weights(model, path)
    assert_equal(model.get_weights(), before)


@pytest.mark.parametrize("name", ["x.keras", "x.weights.h5"])
def test_another_architecture_changes_nothing(tmp_path, name):
    # The last layer differs, so that the first would be loaded before Keras notices.
    x = keras.Input((3,))
    y = keras.layers.Dense(4, name="segment1")(x)
    saved, path = keras.Model(x, keras.layers.Dense(5, name="segment2")(y)), tmp_path / name
    saved.save(path) if name == "x.keras" else saved.save_weights(path)
    model = make(seed=2)
    before = model.get_weights()
    with pytest.raises(ValueError, match=name):
        load_weights(model, path)
    assert_equal(model.get_weights(), before)


@pytest.mark.parametrize("name", ["x.keras", "x.weights.h5"])
@pytest.mark.parametrize("layers", [1, 3])
def test_fewer_or_more_layers_are_refused(tmp_path, name, layers):
    x = y = keras.Input((3,))
    for i in range(layers):
        y = keras.layers.Dense((4, 2, 2)[i])(y)
    saved, path = keras.Model(x, y), tmp_path / name
    saved.save(path) if name == "x.keras" else saved.save_weights(path)
    model = make(seed=2)
    before = model.get_weights()
    with pytest.raises(ValueError, match=name):
        load_weights(model, path)
    assert_equal(model.get_weights(), before)


@pytest.mark.parametrize("name", ["x.keras", "x.weights.h5", "x.safetensors", "x.pth"])
def test_missing_file(tmp_path, name):
    with pytest.raises(FileNotFoundError, match=name):
        load_weights(make(), tmp_path / name)


def test_torch_sources(tmp_path):
    model = make()
    state = {
        "seg_1.weight": np.ones((4, 3), "f4"),
        "seg_1.bias": np.zeros(4, "f4"),
        "seg_2.weight": np.full((2, 4), 2, "f4"),
        "seg_2.bias": np.ones(2, "f4"),
    }
    np.savez(tmp_path / "x.npz", **state)
    for source in (state, tmp_path / "x.npz"):
        load_weights(model, source)
        np.testing.assert_array_equal(model(np.ones((1, 3))), [[25.0, 25.0]])


@pytest.mark.parametrize("name", ["x.keras", "x.weights.h5"])
def test_optimizer_state_and_seeds_in_the_file_do_not_count(tmp_path, name):
    def trained(seed):
        keras.utils.set_random_seed(seed)
        x = keras.Input((3,))
        y = keras.layers.Dropout(0.5)(keras.layers.Dense(4, name="segment1")(x))
        model = keras.Model(x, keras.layers.Dense(2, name="segment2")(y))
        model.compile("adam", "mse", metrics=["mae"])
        model.fit(np.ones((4, 3)), np.ones((4, 2)), verbose=0)
        return model

    saved, path = trained(1), tmp_path / name
    saved.save(path) if name == "x.keras" else saved.save_weights(path)
    for model in (trained(2), keras.models.clone_model(saved)):
        load_weights(model, path)
        assert_equal(model.get_weights(), saved.get_weights())


@pytest.mark.parametrize("file", ["model.weights.h5", "model.npz", ""])
def test_the_hub(tmp_path, monkeypatch, file):
    saved = make(seed=1)
    names = {"segment1": "seg_1", "segment2": "seg_2"}
    if file == "model.weights.h5":
        saved.save_weights(tmp_path / file)
    else:
        state = {}
        for ours, theirs in names.items():
            layer = saved.get_layer(ours)
            state[f"{theirs}.weight"] = layer.kernel.numpy().T
            state[f"{theirs}.bias"] = layer.bias.numpy()
        np.savez(tmp_path / "model.npz", **state)
    hub = types.ModuleType("huggingface_hub")
    hub.errors = types.SimpleNamespace(
        RepositoryNotFoundError=KeyError, EntryNotFoundError=KeyError
    )
    hub.list_repo_files = lambda repository: [path.name for path in tmp_path.iterdir()]
    hub.hf_hub_download = lambda repository, name: str(tmp_path / name)
    monkeypatch.setitem(sys.modules, "huggingface_hub", hub)
    model = load_weights(make(seed=2), f"hf://owner/name/{file}".rstrip("/"))
    assert_equal(model.get_weights(), saved.get_weights())
