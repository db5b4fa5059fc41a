"""timm's and torchvision's weights give their logits, at even and odd sides, and go back.

The logits in tests/data/image_models.npz were made by running the two (make_image_goldens.py) with
weights that are a function of their names; the names here come from our own layouts.
"""

import runpy
from pathlib import Path

import keras
import numpy as np
import pytest

import keras_resnets as kr

CASES = runpy.run_path(Path(__file__).parents[1] / "data" / "image_cases.py")
our_input, CASES = CASES["our_input"], CASES["CASES"]
NAMES = [
    pytest.param(name, marks=() if case.fast else pytest.mark.release)
    for name, case in CASES.items()
]


@pytest.fixture(scope="module")
def states(root):
    return runpy.run_path(root / "tests" / "data" / "states.py")


@pytest.fixture(scope="module")
def goldens(root):
    return dict(np.load(root / "tests" / "data" / "image_models.npz"))


def error(result, expected):
    return np.abs(result - expected).max() / np.abs(expected).max()


@pytest.mark.parametrize("name", NAMES)
def test_logits_equal_the_peers(name, states, goldens):
    case = CASES[name]
    model = state = None
    for height, width in case.sizes:
        if model is None or case.static:
            shape = {"input_shape": (height, width, 3)} if case.static else {}
            model = getattr(kr, case.factory)(classifier_activation=None, **case.options, **shape)
            names = kr.weights.to_torch(model, case.layout)
            state = state or states["image_state"](name, {k: v.shape for k, v in names.items()})
            report = kr.weights.from_torch(model, {f"module.{key}": v for key, v in state.items()})
            assert len(report.loaded) == len(state)
        images = states["random_array"](f"images {height}x{width}", (2, height, width, 3))
        logits = keras.ops.convert_to_numpy(model(our_input(case, images), training=False))
        expected = goldens[f"{name}_{height}x{width}"]
        assert error(logits[:, ::31][:, :32], expected) < case.tolerance, (height, width)
    for key, array in kr.weights.to_torch(model, case.layout).items():
        np.testing.assert_array_equal(array, state[key], err_msg=key)


def random_statistics(model):
    rng = np.random.RandomState(0)
    for weight in model.weights:
        if weight.name == "moving_variance":
            weight.assign(0.5 + np.abs(rng.standard_normal(weight.shape)))
        elif weight.name == "gamma":
            weight.assign(1 + 0.2 * rng.standard_normal(weight.shape))
        elif weight.name in ("beta", "moving_mean", "bias"):
            weight.assign(0.2 * rng.standard_normal(weight.shape))


@pytest.mark.parametrize(
    ("application", "factory", "options"),
    [
        ("ResNet50", kr.resnet50_v1, {}),
        pytest.param("ResNet50V2", kr.resnet50v2_keras, {}, marks=pytest.mark.release),
        # without biases: they are folded
        pytest.param(
            "ResNet50",
            kr.resnet50,
            {"stride_on": "1x1", "norm_epsilon": 1.001e-5},
            marks=pytest.mark.release,
        ),
        pytest.param(
            "ResNet101", kr.resnet50_v1, {"depths": (3, 4, 23, 3)}, marks=pytest.mark.release
        ),
        pytest.param(
            "ResNet152", kr.resnet50_v1, {"depths": (3, 8, 36, 3)}, marks=pytest.mark.release
        ),
    ],
)
def test_features_equal_keras_applications(application, factory, options):
    source = getattr(keras.applications, application)(
        weights=None, include_top=False, pooling="avg", input_shape=(None, None, 3)
    )
    random_statistics(source)
    model = factory(include_top=False, pooling="avg", **options)
    assert kr.weights.from_keras_applications(model, source) is model
    for size in ((64, 64), (97, 65)):
        x = np.random.RandomState(1).standard_normal((2, *size, 3)).astype("float32")
        expected = keras.ops.convert_to_numpy(source(x, training=False))
        assert error(keras.ops.convert_to_numpy(model(x, training=False)), expected) < 1e-5


def test_another_keras_application_is_refused():
    source = keras.Sequential([keras.Input((32, 32, 3)), keras.layers.Conv2D(8, 3, name="other")])
    model = kr.resnet(depths=(1,), filters=(8,), classes=3)
    before = model.get_weights()
    with pytest.raises(ValueError, match=r"unexpected: 'other'(.|\n)*missing: 'stem_conv'"):
        kr.weights.from_keras_applications(model, source)
    for old, new in zip(before, model.get_weights()):
        np.testing.assert_array_equal(old, new)


def test_cifar_checkpoint_without_shortcut_weights(states):
    model = kr.cifar_resnet(20, shortcut="A")
    state = kr.weights.to_torch(model, "akamaster")
    assert {"conv1.weight", "layer3.2.bn2.running_var", "linear.bias"} <= state.keys()
    assert not any("shortcut" in key or key.startswith("fc") for key in state)
    state = states["image_state"]("akamaster", {key: array.shape for key, array in state.items()})
    loaded = kr.cifar_resnet(20, shortcut="A", weights={"state_dict": state})
    np.testing.assert_array_equal(
        loaded.get_layer("stage2_block1_conv1").kernel,
        state["layer2.0.conv1.weight"].transpose(2, 3, 1, 0),
    )
    headless = kr.cifar_resnet(20, shortcut="A", include_top=False)
    with pytest.warns(UserWarning, match=r"linear\.weight"):
        kr.weights.from_torch(headless, state)


def test_wrong_number_of_classes_is_refused(states):
    state = kr.weights.to_torch(kr.cifar_resnet(8, classes=10))
    with pytest.raises(ValueError, match=r"fc\.weight"):
        kr.cifar_resnet(8, classes=7, weights=state)
