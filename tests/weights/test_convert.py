"""Names, axis orders, and all-or-nothing assignment."""

import warnings

import keras
import numpy as np
import pytest

from keras_resnets import weights
from keras_resnets.weights.assign import assign
from keras_resnets.weights.layout import TorchLayout


def x_vector(width=4):
    """The layers of an x-vector, without the rest of the network."""
    x = keras.Input((None, 3))
    y = x
    for i, size in enumerate((5, 3, 3, 1, 1), 1):
        y = keras.layers.Conv1D(width, size, name=f"frame{i}")(y)
        y = keras.layers.BatchNormalization(center=False, scale=False, name=f"frame{i}_bn")(y)
    y = keras.layers.GlobalAveragePooling1D()(y)
    y = keras.layers.Dense(width, name="segment1")(y)
    y = keras.layers.BatchNormalization(center=False, scale=False, name="segment1_bn")(y)
    return keras.Model(x, keras.layers.Dense(2, name="segment2")(y))


def x_vector_state(width=4):
    rng = np.random.default_rng(0)
    shapes = {"seg_1.weight": (width, width), "seg_1.bias": (width,)}
    shapes |= {"seg_2.weight": (2, width), "seg_2.bias": (2,)}
    for i, size in enumerate((5, 3, 3, 1, 1), 1):
        shapes[f"frame_{i}.conv_1d.weight"] = (width, 3 if i == 1 else width, size)
        shapes[f"frame_{i}.conv_1d.bias"] = (width,)
        shapes[f"frame_{i}.bn.running_mean"] = shapes[f"frame_{i}.bn.running_var"] = (width,)
    shapes["seg_bn_1.running_mean"] = shapes["seg_bn_1.running_var"] = (width,)
    return {name: rng.standard_normal(shape).astype("f4") for name, shape in shapes.items()}


def test_from_torch_and_back():
    model, state = x_vector(), x_vector_state()
    report = weights.from_torch(model, {**state, "seg_bn_1.num_batches_tracked": np.array(7)})
    assert sorted(report.loaded) == sorted(state)
    assert report.missing == [] and report.unexpected == []
    assert report.ignored == ["seg_bn_1.num_batches_tracked"]
    kernel = model.get_layer("frame1").kernel.numpy()
    np.testing.assert_array_equal(kernel, state["frame_1.conv_1d.weight"].transpose(2, 1, 0))
    np.testing.assert_array_equal(
        model.get_layer("segment1_bn").moving_variance.numpy(), state["seg_bn_1.running_var"]
    )
    back = weights.to_torch(model)
    assert back.keys() == state.keys()
    for name in state:
        np.testing.assert_array_equal(back[name], state[name])


def test_prefixes_are_stripped_and_heads_ignored_with_a_warning():
    model, state = x_vector(), x_vector_state()
    wrapped = {f"module.speaker_encoder.{k}": v for k, v in state.items()}
    wrapped["module.projection.weight"] = np.zeros((9, 2))
    with pytest.warns(UserWarning, match=r"projection\.weight"):
        report = weights.from_torch(model, {"state_dict": wrapped})
    assert report.ignored == ["projection.weight"]
    np.testing.assert_array_equal(model.get_layer("segment2").bias.numpy(), state["seg_2.bias"])


def test_no_warning_without_heads():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        weights.from_torch(x_vector(), x_vector_state())


def test_one_tensor_under_two_prefixes():
    state = x_vector_state()
    with pytest.raises(ValueError, match=r"seg_2\.bias.*twice"):
        weights.from_torch(x_vector(), {**state, "module.seg_2.bias": state["seg_2.bias"]})


def test_wrong_architecture_lists_all_and_changes_nothing():
    model, state = x_vector(), x_vector_state()
    before = model.get_weights()
    del state["frame_2.bn.running_var"]
    state["frame_6.conv_1d.weight"] = np.zeros((4, 4, 1), "f4")
    state["frame_1.conv_1d.weight"] = np.zeros((4, 3, 7), "f4")
    with pytest.raises(ValueError) as error:
        weights.from_torch(model, state)
    message = str(error.value)
    assert "missing: 'frame_2.bn.running_var': expected (4,)" in message
    assert "unexpected: 'frame_6.conv_1d.weight': found (4, 4, 1)" in message
    assert "misshaped: 'frame_1.conv_1d.weight': expected (4, 3, 5), found (4, 3, 7)" in message
    for old, new in zip(before, model.get_weights()):
        np.testing.assert_array_equal(old, new)


def test_not_strict_skips_names_but_not_shapes():
    model, state = x_vector(), x_vector_state()
    before = model.get_layer("segment2").bias.numpy()
    del state["seg_2.bias"]
    report = weights.from_torch(model, {**state, "extra": np.zeros(1)}, strict=False)
    assert report.missing == ["seg_2.bias"] and report.unexpected == ["extra"]
    np.testing.assert_array_equal(model.get_layer("segment2").bias.numpy(), before)
    state["seg_2.weight"] = np.zeros((3, 3))
    with pytest.raises(ValueError, match=r"seg_2\.weight"):
        weights.from_torch(model, state, strict=False)


@pytest.mark.parametrize("strict", [True, False])
def test_nothing_in_common(strict):
    with pytest.raises(ValueError, match=r"frame_1\.conv_1d|no tensor"):
        weights.from_torch(x_vector(), {"encoder.0.weight": np.zeros(3)}, strict=strict)


def test_a_model_of_no_known_project():
    x = keras.Input((3,))
    model = keras.Model(x, keras.layers.Dense(2, name="something")(x))
    with pytest.raises(ValueError, match="No torch layout"):
        weights.to_torch(model)
    with pytest.raises(ValueError, match="No torch layout"):
        weights.from_torch(model, {"a": np.zeros(3)})
    with pytest.raises(ValueError, match="speechbrain"):
        weights.to_torch(x_vector(), "speechbrain")


def image_net():
    x = keras.Input((8, 8, 4))
    y = keras.layers.Conv2D(6, 3, groups=2, use_bias=False, name="grouped")(x)
    y = keras.layers.BatchNormalization(name="norm")(y)
    y = keras.layers.DepthwiseConv2D((3, 2), depth_multiplier=2, name="depthwise")(y)
    y = keras.layers.Conv2DTranspose(5, 3, name="up")(y)
    y = keras.layers.Reshape((1, 6, -1, 5))(y)
    y = keras.layers.Conv3D(7, (1, 2, 3), name="volume")(y)
    y = keras.layers.GlobalAveragePooling3D()(y)
    return keras.Model(x, keras.layers.Dense(3, name="top")(y))


IMAGE = TorchLayout(
    "image",
    {
        "grouped": "body.0",
        "norm": "body.1",
        "depthwise": "body.2",
        "up": "up",
        "volume": "volume",
        "top": "top[1][1]",
    },
)
IMAGE_SHAPES = {
    "body.0.weight": (6, 2, 3, 3),
    "body.1.weight": (6,),
    "body.1.bias": (6,),
    "body.1.running_mean": (6,),
    "body.1.running_var": (6,),
    "body.2.weight": (12, 1, 3, 2),
    "body.2.bias": (12,),
    "up.weight": (12, 5, 3, 3),
    "up.bias": (5,),
    "volume.weight": (7, 5, 1, 2, 3),
    "volume.bias": (7,),
    "top.weight": (3, 7, 1, 1),
    "top.bias": (3,),
}


def test_every_kind_of_kernel_has_torch_shape_and_round_trips():
    model = image_net()
    slots, unnamed = IMAGE.slots(model)
    assert unnamed == []
    assert {name: slot.shape for name, slot in slots.items()} == IMAGE_SHAPES
    rng = np.random.default_rng(1)
    state = {k: rng.standard_normal(s).astype("f4") for k, s in IMAGE_SHAPES.items()}
    assign(slots, state)
    for name, slot in slots.items():
        np.testing.assert_array_equal(slot.write(), state[name])
    depthwise = model.get_layer("depthwise").kernel.numpy()  # torch channel = c * multiplier + m
    np.testing.assert_array_equal(depthwise[:, :, 4, 1], state["body.2.weight"][9, 0])


def test_a_tensor_split_along_its_inputs():
    x, c = keras.Input((None, 3)), keras.Input((6,))
    frames = keras.layers.Dense(2, use_bias=False, name="frames")(x)
    context = keras.layers.Dense(2, name="context")(c)
    model = keras.Model([c, x], frames + context[:, None])
    layout = TorchLayout("split", {"frames": "w[1]", "context": "w[1]"})
    slots, _ = layout.slots(model)
    assert {k: s.shape for k, s in slots.items()} == {"w.weight": (2, 9, 1), "w.bias": (2,)}
    weight = np.arange(18, dtype="f4").reshape(2, 9, 1)
    assign(slots, {"w.weight": weight, "w.bias": np.zeros(2, "f4")})
    np.testing.assert_array_equal(model.get_layer("frames").kernel.numpy(), weight[:, :3, 0].T)
    np.testing.assert_array_equal(model.get_layer("context").kernel.numpy(), weight[:, 3:, 0].T)
    np.testing.assert_array_equal(slots["w.weight"].write(), weight)


def test_reversed_spatial_axes():
    x = keras.Input((9, 8, 2))
    model = keras.Model(x, keras.layers.Conv2D(3, (5, 7), use_bias=False, name="conv")(x))
    slots, _ = TorchLayout("reversed", {"conv": "conv"}, flip=True).slots(model)
    assert slots["conv.weight"].shape == (3, 2, 7, 5)
    weight = np.arange(210, dtype="f4").reshape(3, 2, 7, 5)
    assign(slots, {"conv.weight": weight})
    np.testing.assert_array_equal(model.get_layer("conv").kernel.numpy(), weight.T)
    np.testing.assert_array_equal(slots["conv.weight"].write(), weight)


def test_float16_checkpoints_and_models():
    model, state = x_vector(), x_vector_state()
    half = {name: array.astype("f2") for name, array in state.items()}
    weights.from_torch(model, half)
    kernel = model.get_layer("segment1").kernel
    assert kernel.dtype == "float32"
    np.testing.assert_array_equal(kernel.numpy(), half["seg_1.weight"].T.astype("f4"))


@pytest.mark.peers
@pytest.mark.parametrize("strides", [1, 2])
def test_kernels_compute_what_torch_computes(strides):
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    x = np.random.default_rng(0).standard_normal((2, 9, 8, 4)).astype("f4")
    pairs = [
        (torch.nn.Conv2d(4, 6, 3, strides, groups=2), keras.layers.Conv2D(6, 3, strides, groups=2)),
        (
            torch.nn.Conv2d(4, 8, 3, strides, groups=4),
            keras.layers.DepthwiseConv2D(3, strides, depth_multiplier=2),
        ),
        (torch.nn.ConvTranspose2d(4, 5, 3, strides), keras.layers.Conv2DTranspose(5, 3, strides)),
    ]
    for theirs, ours in pairs:
        inputs = keras.Input(x.shape[1:])
        ours.name = "layer"
        model = keras.Model(inputs, ours(inputs))
        slots, _ = TorchLayout("one", {"layer": "it"}).slots(model)
        state = {f"it.{k}": v.detach().numpy() for k, v in theirs.state_dict().items()}
        assign(slots, state)
        with torch.no_grad():
            expected = theirs(torch.from_numpy(x.transpose(0, 3, 1, 2))).numpy()
        result = keras.ops.convert_to_numpy(model(x)).transpose(0, 3, 1, 2)
        np.testing.assert_allclose(result, expected, atol=1e-5)
