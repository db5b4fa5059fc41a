"""The image families' checkpoints: heads, classes, and what is refused."""

import re

import keras
import numpy as np
import pytest

import keras_resnets as kr

SMALL = dict(depths=(1, 1), filters=(8, 16))


@pytest.fixture
def untouched():
    """`untouched(model)`: a check, for later, that no weight of the model has changed."""

    def watch(model):
        before = model.get_weights()

        def check():
            for old, new in zip(before, model.get_weights(), strict=True):
                np.testing.assert_array_equal(old, new)

        return check

    return watch


def test_norms_are_named_after_their_convolutions():
    """Only the last "conv" of a name becomes "norm"."""
    names = {layer.name for layer in kr.googlenet().layers}
    assert {"conv1_conv", "conv1_norm", "inception3a_branch2_0_norm"} <= names
    names = {layer.name for layer in kr.resnet18d().layers}
    assert {"stem_norm1", "stage1_block1_norm1", "stage2_block1_shortcut_avg_norm"} <= names


def test_auxiliary_heads_are_ignored_or_loaded():
    with_head = kr.inception_v3(include_aux=True, classes=3)
    names = {layer.name for layer in with_head.layers}
    assert {"conv2d_1a_3x3_norm", "mixed_7c_branch3x3dbl_3b_norm", "aux_conv0_norm"} <= names
    state = kr.weights.to_torch(with_head)
    assert "AuxLogits.conv1.bn.running_var" in state and "AuxLogits.fc.weight" in state
    assert not kr.weights.from_torch(with_head, state).ignored
    model = kr.inception_v3(classes=3)
    with pytest.warns(UserWarning, match=r"AuxLogits\.fc\.weight"):
        report = kr.weights.from_torch(model, state)
    assert "AuxLogits.conv0.conv.weight" in report.ignored
    assert report.loaded == [*kr.weights.to_torch(model)]


@pytest.mark.parametrize(
    ("factory", "tensor"),
    [
        (kr.mobilenet_v1, "classifier.weight"),
        (kr.mobilenet_v3_small, "conv_head.bias"),
        (kr.mobilenet_v3_large, "classifier.bias"),
        (kr.efficientnet_b0, "classifier.bias"),
        (kr.googlenet, "fc.weight"),
        (kr.fbnet_v3_a, "conv_head.weight"),
    ],
)
def test_encoders_take_a_classifiers_checkpoint(factory, tensor):
    state = kr.weights.to_torch(factory(classes=4))
    encoder = factory(include_top=False)
    with pytest.warns(UserWarning, match=re.escape(tensor)):
        report = kr.weights.from_torch(encoder, state)
    assert tensor in report.ignored
    back = kr.weights.to_torch(encoder)
    assert sorted(back) == sorted(report.loaded)
    assert all(np.array_equal(array, state[name]) for name, array in back.items())


def small_fbnet(last, classes=3, **options):
    """A network of the family's form, with `last` blocks in the sixth stage."""
    stages = [
        (3, 3, 1, 1, 8, 2),
        (5, 3, 2, 2, 8, 1, 2, False, 1),
        (3, 3, 2, 2, 8, 1),
        (3, 3, 2, 2, 8, 1),
        (3, 3, 2, 2, 8, 2, 1, True),
        (3, 3, 2, 2, 8, last, 2, True, 0),
        (3, 3, 2, 2, 8, 1, 1, True),
    ]
    stages = [kr.StageConfig(*stage) for stage in stages]
    return kr.FBNetV3(kr.FBNetV3Config(8, stages, 2, 16), classes=classes, **options)


@pytest.mark.parametrize("last", [6, 7])
def test_fbnets_of_timm_have_symmetric_padding(last, untouched):
    source = small_fbnet(last, dw_padding="symmetric")
    state = kr.weights.to_torch(source)
    assert {"blocks.0.0.conv_pw.weight", f"blocks.5.{last}.se.conv_reduce.bias"} <= state.keys()
    assert state["blocks.5.0.conv_dw.weight"].shape == (16, 1, 3, 3)
    assert state["classifier.weight"].shape == (3, 16) and "conv_head.bias" not in state
    x = np.random.default_rng(0).standard_normal((1, 33, 47, 3)).astype("f4")
    loaded = small_fbnet(last, weights=state)
    np.testing.assert_array_equal(loaded(x), source(x))
    official = small_fbnet(last)
    kr.weights.from_torch(official, state)
    assert not np.allclose(official(x), source(x), atol=1e-6)

    check = untouched(official)
    renamed = {key.replace("blocks.5.6.bn1", "blocks.5.6.bn0"): v for key, v in state.items()}
    with pytest.raises(ValueError, match=r"missing: 'blocks\.5\.6\.bn1\.weight'(.|\n)*unexpected"):
        kr.weights.from_torch(official, renamed)
    with pytest.raises(ValueError, match=r"conv_stem\.weight': expected \(8, 3, 3, 3\), found"):
        small_fbnet(last, weights={**state, "conv_stem.weight": np.zeros((8, 3, 5, 5), "f4")})
    check()


def test_efficientnet_normalises_as_its_weights_expect():
    model = kr.efficientnet_b0(classes=2)
    layer = next(each for each in model.layers if isinstance(each, keras.layers.Normalization))
    kr.weights.from_torch(model, kr.weights.to_torch(model))
    pixel = np.array([0.485, 0.456, 0.406 + 0.225], "f4").reshape(1, 1, 1, 3)
    np.testing.assert_allclose(np.ravel(layer(pixel)), [0, 0, 1], atol=1e-6)


def test_swavs_head_and_prototypes_are_ignored():
    model = kr.resnet(**SMALL, include_top=False)
    state = {f"module.{name}": value for name, value in kr.weights.to_torch(model).items()}
    heads = ["projection_head.0.weight", "projection_head.3.bias", "prototypes.weight"]
    state |= {f"module.{name}": np.zeros((2, 2), "f4") for name in heads}
    with pytest.warns(UserWarning, match="prototypes"):
        report = kr.weights.from_torch(model, state)
    assert report.ignored == heads and not report.unexpected


def test_the_state_dict_of_a_wrapped_network(tmp_path):
    """As MEAL V2 saves its ResNet-50: torchvision's names behind `module.`, counters beside."""
    model = kr.resnet(**SMALL, classes=5)
    state = {f"module.{name}": value for name, value in kr.weights.to_torch(model).items()}
    counters = [name.replace("running_var", "num_batches_tracked") for name in state]
    counters = [name for name in counters if name.endswith("tracked")]
    assert "module.layer2.0.downsample.1.num_batches_tracked" in counters
    np.savez(tmp_path / "state.npz", **state, **{name: np.int64(1) for name in counters})
    loaded = kr.resnet(**SMALL, classes=5, weights=tmp_path / "state.npz")
    for ours, theirs in zip(model.get_weights(), loaded.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_a_classifier_of_another_size(untouched):
    state = kr.weights.to_torch(kr.resnet(**SMALL, classes=5))
    model = kr.resnet(**SMALL, classes=7)
    check = untouched(model)
    with pytest.raises(ValueError, match=r"fc\.weight': expected \(7, 64\), found \(5, 64\)"):
        kr.weights.from_torch(model, state)
    check()
    before = model.get_layer("predictions").get_weights()
    with pytest.warns(UserWarning, match=r"another size.*fc\.weight"):
        report = kr.weights.from_torch(model, state, skip_mismatch=True)
    assert sorted(report.skipped) == ["fc.bias", "fc.weight"] and "fc.weight" not in report.loaded
    for old, new in zip(before, model.get_layer("predictions").get_weights()):
        np.testing.assert_array_equal(old, new)
    np.testing.assert_array_equal(
        kr.weights.to_torch(model)["layer2.0.conv2.weight"], state["layer2.0.conv2.weight"]
    )


def test_skip_mismatch_loads_an_equal_classifier_and_refuses_other_layers(untouched):
    source, model = kr.resnet(**SMALL, classes=5), kr.resnet(**SMALL, classes=5)
    report = kr.weights.from_torch(model, kr.weights.to_torch(source), skip_mismatch=True)
    assert report.skipped == [] and "fc.bias" in report.loaded
    wide = kr.weights.to_torch(kr.resnet(depths=(1, 1), filters=(8, 24), classes=7))
    check = untouched(model)
    with pytest.raises(ValueError, match=r"layer2\.0\.conv1\.weight"):
        kr.weights.from_torch(model, wide, skip_mismatch=True)
    check()


def test_a_classifier_is_skipped_whole():
    """Equal classes on wider features: the bias alone would fit."""
    state = kr.weights.to_torch(kr.resnet(**SMALL, classes=5))
    state["fc.weight"] = np.zeros((5, 80), "f4")
    with pytest.warns(UserWarning, match="another size"):
        report = kr.weights.from_torch(kr.resnet(**SMALL, classes=5), state, skip_mismatch=True)
    assert sorted(report.skipped) == ["fc.bias", "fc.weight"]


def test_images_of_other_channels(untouched):
    state = kr.weights.to_torch(kr.resnet(**SMALL))
    model = kr.resnet(**SMALL, input_shape=(64, 64, 4))
    check = untouched(model)
    with pytest.raises(
        ValueError, match=r"conv1\.weight': expected \(64, 4, 7, 7\), found \(64, 3"
    ):
        kr.weights.from_torch(model, state)
    check()
    with pytest.raises(ValueError, match=r"conv1\.weight"):
        kr.resnet(**SMALL, input_shape=(64, 64, 1), weights=state)


@pytest.mark.parametrize(
    "name", ["weights.pth", "weights.safetensors", "weights.npz", "weights.h5"]
)
def test_corrupt_files(tmp_path, name):
    (tmp_path / name).write_bytes(b"\x80\x04not weights at all" * 20)
    with pytest.raises((ValueError, ImportError), match=name):
        kr.resnet(**SMALL, weights=tmp_path / name)


def test_pickled_arrays_are_refused(tmp_path):
    np.savez(tmp_path / "x.npz", **{"conv1.weight": np.array([print], dtype=object)})
    with pytest.raises(ValueError, match=r"x\.npz"):
        kr.resnet(**SMALL, weights=tmp_path / "x.npz")


@pytest.mark.peers
def test_pickled_torch_files_are_refused(tmp_path):
    torch = pytest.importorskip("torch")
    torch.save({"conv1.weight": torch.nn.Conv2d(3, 64, 7)}, tmp_path / "x.pth")
    with pytest.raises(ValueError, match=r"x\.pth"):
        kr.resnet(**SMALL, weights=tmp_path / "x.pth")
