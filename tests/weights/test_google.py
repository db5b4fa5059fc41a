"""Google's `.npz` files of Big Transfer."""

import numpy as np
import pytest

import keras_resnets as kr

BIT = dict(
    norm_act="group_norm+relu",
    preactivation=True,
    weight_standardization=True,
    stem_pool="max_zero",
    depths=(1, 2),
    filters=(8, 16),
    classes=5,
)
UNITS = ("block1/unit01", "block2/unit01", "block2/unit02")


def file_of_google(path):
    """Written from the published names, `resnet/block2/unit01/a/standardized_conv2d/kernel`."""
    rng = np.random.default_rng(0)
    shapes = {"resnet/root_block/standardized_conv2d/kernel": (7, 7, 3, 64)}
    channels = 64
    for unit, planes in zip(UNITS, (8, 16, 16)):
        kernels = {
            "a": (1, channels, planes),
            "b": (3, planes, planes),
            "c": (1, planes, planes * 4),
        }
        for letter, (size, inner, out) in kernels.items():
            prefix = f"resnet/{unit}/{letter}"
            shapes[f"{prefix}/standardized_conv2d/kernel"] = (size, size, inner, out)
            shapes |= {f"{prefix}/group_norm/{part}": (inner,) for part in ("gamma", "beta")}
        if unit.endswith("unit01"):
            name = f"resnet/{unit}/a/proj/standardized_conv2d/kernel"
            shapes[name] = (1, 1, channels, 4 * planes)
        channels = 4 * planes
    shapes |= {f"resnet/group_norm/{part}": (64,) for part in ("gamma", "beta")}
    shapes |= {"resnet/head/conv2d/kernel": (1, 1, 64, 5), "resnet/head/conv2d/bias": (5,)}
    state = {name: rng.standard_normal(shape).astype("f4") for name, shape in shapes.items()}
    np.savez(path, **state)
    return state


def test_every_tensor_finds_its_place_and_goes_back(tmp_path):
    state = file_of_google(tmp_path / "BiT.npz")
    model = kr.resnet(**BIT, weights=tmp_path / "BiT.npz")
    kernel = model.get_layer("stage2_block2_conv2").kernel
    name = "resnet/block2/unit02/b/standardized_conv2d/kernel"
    np.testing.assert_array_equal(kernel, state[name])
    back = kr.weights.to_torch(model, "google_bit")
    assert back.keys() == state.keys()
    for key, array in state.items():
        np.testing.assert_array_equal(back[key], array)


def test_google_and_timm_name_the_same_network(tmp_path):
    """Through timm's names, whose equality with timm itself is shown by its logits."""
    file_of_google(tmp_path / "BiT.npz")
    model = kr.resnet(**BIT, weights=tmp_path / "BiT.npz", classifier_activation=None)
    theirs = kr.weights.to_torch(model)
    assert "stages.1.blocks.0.downsample.conv.weight" in theirs
    again = kr.resnet(**BIT, weights=theirs, classifier_activation=None)
    images = np.random.default_rng(1).standard_normal((1, 64, 48, 3)).astype("f4")
    np.testing.assert_array_equal(model(images), again(images))


def test_an_encoder_leaves_the_head_out(tmp_path):
    file_of_google(tmp_path / "BiT.npz")
    with pytest.warns(UserWarning, match="resnet/head/conv2d/kernel"):
        kr.resnet(**BIT, include_top=False, weights=tmp_path / "BiT.npz")


def test_selective_kernels_are_not_standardised():
    with pytest.raises(ValueError, match="weight_standardization"):
        kr.resnet(attention="sk", weight_standardization=True)
