"""What a layout's table can say: fields, windows, TensorFlow's order, heads."""

import keras
import numpy as np
import pytest

from keras_resnets.weights.assign import assign
from keras_resnets.weights.layout import TorchLayout


def model_of(layer, shape):
    x = keras.Input(shape)
    return keras.Model(x, layer(x))


@pytest.mark.parametrize(
    ("ours", "theirs", "layer", "expected"),
    [
        ("block{b}_conv", "blocks.{b-1}.conv", "block3_conv", "blocks.2.conv"),
        ("block{b}", "unit{b:02}", "block3", "unit03"),
        ("block{b}", "unit{b+1:02}", "block12", "unit13"),
        ("mixed_{B}_branch{P}", "Mixed_{B}.branch{P}", "mixed_5b_branch3x3dbl_2a", None),
    ],
)
def test_fields(ours, theirs, layer, expected):
    expected = expected or "Mixed_5b.branch3x3dbl_2a"
    assert TorchLayout("x", {ours: theirs}).find(f"{layer}/bias") == (0, f"{expected}.bias", (), 0)


def test_a_word_is_no_path_and_a_number_no_word():
    layout = TorchLayout("x", {"a{B}": "b{B}", "c{i}": "d{i}"})
    assert layout.find("a/b/kernel") is None
    assert layout.find("cx/kernel") is None


@pytest.mark.parametrize("mark", ["[2][3]", "[2*3]"])
def test_a_dense_kernel_over_a_flattened_map(mark):
    """The product with the map flattened as torch does is that with ours."""
    flat = model_of(keras.layers.Dense(5, name="fc"), (2 * 3 * 4,))
    slots, _ = TorchLayout("x", {"fc": f"fc{mark}"}).slots(flat)
    shape = (5, 4, 2, 3) if mark == "[2][3]" else (5, 24)
    assert slots["fc.weight"].shape == shape and slots["fc.bias"].shape == (5,)
    rng = np.random.default_rng(0)
    weight = rng.standard_normal(shape).astype("f4")
    assign(slots, {"fc.weight": weight, "fc.bias": np.zeros(5, "f4")})
    images = rng.standard_normal((1, 2, 3, 4)).astype("f4")
    theirs = weight.reshape(5, -1) @ images[0].transpose(2, 0, 1).ravel()
    np.testing.assert_allclose(flat(images.reshape(1, -1))[0], theirs, rtol=1e-5)
    np.testing.assert_array_equal(slots["fc.weight"].write(), weight)


def test_a_1x1_convolution_that_torch_keeps_as_a_matrix():
    model = model_of(keras.layers.Conv2D(5, 1, name="logits"), (1, 1, 3))
    slots, _ = TorchLayout("x", {"logits": "classifier[1*1]"}).slots(model)
    weight = np.arange(15, dtype="f4").reshape(5, 3)
    assert slots["classifier.weight"].shape == (5, 3)
    assign(slots, {"classifier.weight": weight, "classifier.bias": np.zeros(5, "f4")})
    np.testing.assert_array_equal(model.get_layer("logits").kernel[0, 0], weight.T)
    np.testing.assert_array_equal(slots["classifier.weight"].write(), weight)


def test_tensorflows_own_order():
    x = keras.Input((8, 8, 2))
    y = keras.layers.Conv2D(3, (5, 7), use_bias=False, name="conv")(x)
    y = keras.layers.GlobalAveragePooling2D()(y)
    model = keras.Model(x, keras.layers.Dense(4, name="top")(y))
    layout = TorchLayout("x", {"conv": "a/conv", "top": "head[1][1]"}, native=True)
    slots, unnamed = layout.slots(model)
    shapes = {"a/conv/kernel": (5, 7, 2, 3), "head/kernel": (1, 1, 3, 4), "head/bias": (4,)}
    assert {name: slot.shape for name, slot in slots.items()} == shapes and not unnamed
    state = {k: np.random.default_rng(0).standard_normal(s, "f4") for k, s in shapes.items()}
    assign(slots, state)
    np.testing.assert_array_equal(model.get_layer("conv").kernel, state["a/conv/kernel"])
    for name, slot in slots.items():
        np.testing.assert_array_equal(slot.write(), state[name])


def test_without_a_head():
    layout = TorchLayout("x", {"body": "body", "fc": "head.fc[1][1]"}, heads="aux.*")
    kept, heads, _ = layout.without("fc").clean(
        dict.fromkeys(["body.weight", "head.fc.weight", "head.fcx.weight", "aux1.weight"])
    )
    assert [*kept] == ["body.weight", "head.fcx.weight"]
    assert heads == ["head.fc.weight", "aux1.weight"]


def test_statistics_of_images():
    x = keras.Input((None, None, 3))
    y = keras.layers.Normalization()(x)
    model = keras.Model(x, keras.layers.Conv2D(2, 1, name="conv")(y))
    layout = TorchLayout("x", {"conv": "conv"}, statistics=((1, 2, 3), (0.5, 1, 2)))
    slots, unnamed = layout.slots(model)
    assert sorted(slots) == ["conv.bias", "conv.weight"] and not unnamed
    layout.set_statistics(model)
    images = np.array([2.0, 2.0, 2.0], "f4").reshape(1, 1, 1, 3)
    normalized = model.layers[1](images)
    np.testing.assert_allclose(np.ravel(normalized), [2, 0, -0.5])
    TorchLayout("y", {}).set_statistics(model)
    np.testing.assert_allclose(np.ravel(model.layers[1](images)), [2, 0, -0.5])
