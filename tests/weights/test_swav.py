"""Checkpoints of facebookresearch/swav: names and shapes of its `src/resnet50.py`."""

import keras
import numpy as np
import pytest

import keras_resnets as kr
from trainers import SwAV

SMALL = dict(depths=(1, 2), filters=(8, 16), include_top=False, pooling="avg")


def trainer(hidden_dim=12, num_prototypes=10, **options):
    return SwAV(kr.resnet(**SMALL), 8, hidden_dim, num_prototypes, **options)


def checkpoint(trainer, rng):
    """What torch would have saved: the network wrapped, counters beside the norms."""
    state = kr.weights.to_torch([trainer.backbone, trainer.projection_head, trainer.prototypes])
    state = {key: rng.random(array.shape).astype("f4") for key, array in state.items()}
    norms = [key.removesuffix("running_var") for key in state if key.endswith("running_var")]
    state |= {f"{norm}num_batches_tracked": np.array(7) for norm in norms}
    return {"state_dict": {f"module.{key}": array for key, array in state.items()}, "epoch": 800}


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def test_everything_is_loaded(rng):
    ours = trainer(queue_length=16, probe=3)
    file = checkpoint(ours, rng)
    state = {key.removeprefix("module."): array for key, array in file["state_dict"].items()}
    shapes = {key: array.shape for key, array in state.items() if "projection" in key}
    assert shapes["projection_head.0.weight"] == (12, 64)
    assert shapes["projection_head.3.weight"] == (8, 12)
    assert {"projection_head.1.running_mean", "projection_head.3.bias"} < shapes.keys()
    assert state["prototypes.weight"].shape == (10, 8)
    report = ours.load_pretrained(file)
    counters = [key for key in state if key.endswith("num_batches_tracked")]
    assert sorted(report.ignored) == sorted(counters)
    assert sorted(report.loaded) == sorted(state.keys() - set(counters))
    features = ours.backbone.predict(rng.random((2, 64, 64, 3)), verbose=0)
    weight = lambda name: state[f"projection_head.{name}"]  # noqa: E731
    x = features @ weight("0.weight").T + weight("0.bias")
    x = (x - weight("1.running_mean")) / np.sqrt(weight("1.running_var") + 1e-5)
    x = np.maximum(x * weight("1.weight") + weight("1.bias"), 0)
    x = x @ weight("3.weight").T + weight("3.bias")
    found = ours.projection_head(features).numpy()
    np.testing.assert_allclose(found, x, rtol=1e-4)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    prototypes = state["prototypes.weight"]
    prototypes = prototypes / np.linalg.norm(prototypes, axis=1, keepdims=True)
    np.testing.assert_allclose(ours.prototypes(found), x @ prototypes.T, rtol=1e-4)


@pytest.mark.parametrize("hidden_dim", (12, 0))
def test_parts_alone(rng, hidden_dim):
    ours = trainer(hidden_dim)
    file = checkpoint(ours, rng)
    names = ["projection_head.0.weight"] if hidden_dim else ["projection_head.weight"]
    report = kr.weights.from_torch(ours.projection_head, file)
    assert names[0] in report.loaded and "conv1.weight" in report.ignored
    kernel = ours.projection_head.dense[0].kernel
    np.testing.assert_array_equal(kernel, file["state_dict"][f"module.{names[0]}"].T)
    report = kr.weights.from_torch(ours.prototypes, file)
    assert report.loaded == ["prototypes.weight"]
    kernel = file["state_dict"]["module.prototypes.weight"].T
    np.testing.assert_array_equal(ours.prototypes.kernel, kernel)
    ours.load_pretrained(file)
    back = kr.weights.to_torch([ours.backbone, ours.projection_head, ours.prototypes])
    for key, array in back.items():
        np.testing.assert_array_equal(array, file["state_dict"][f"module.{key}"])


def test_every_mismatch_is_listed(rng):
    file = checkpoint(trainer(hidden_dim=16, num_prototypes=11), rng)
    del file["state_dict"]["module.bn1.weight"]
    file["state_dict"]["module.extra.weight"] = np.zeros(3, "f4")
    ours = trainer()
    before = ours.get_weights()
    with pytest.raises(ValueError, match="no weight was changed") as error:
        ours.load_pretrained(file)
    for line in (
        "misshaped: 'projection_head.0.weight': expected (12, 64), found (16, 64)",
        "misshaped: 'projection_head.1.running_var': expected (12,), found (16,)",
        "misshaped: 'prototypes.weight': expected (10, 8), found (11, 8)",
        "missing: 'bn1.weight'",
        "unexpected: 'extra.weight'",
    ):
        assert line in str(error.value)
    for old, new in zip(before, ours.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_the_published_shapes():
    """Parameters of the head and the prototypes: 2.3 of SwAV's ResNet-50 and w2."""
    backbone = keras.Sequential([keras.Input((2048,)), keras.layers.Identity()])
    ours = SwAV(backbone)
    assert ours.projection_head.count_params() - 2 * 2048 == 4_462_720
    assert ours.prototypes.count_params() == 384_000
    wide = SwAV(keras.Sequential([keras.Input((4096,)), keras.layers.Identity()]), hidden_dim=8192)
    assert wide.projection_head.count_params() - 2 * 8192 == 34_627_712
