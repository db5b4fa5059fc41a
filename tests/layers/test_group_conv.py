"""Grouped convolutions against Keras' convolution of each group, on every path."""

import os
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import ops

from keras_resnets.kernels import group_conv as kernels
from keras_resnets.layers import (
    BatchNorm2D,
    ChannelShuffle,
    GroupConv1D,
    GroupConv2D,
    GroupConv3D,
)

LAYERS = {1: GroupConv1D, 2: GroupConv2D, 3: GroupConv3D}
TOLERANCE = {"float64": 1e-12, "float32": 1e-5, "float16": 2e-2, "bfloat16": 1e-1}


def random(shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def built(rank, channels, data_format="channels_last", **kwargs):
    shape = (None,) * (rank + 2)
    at = len(shape) - 1 if data_format == "channels_last" else 1
    layer = LAYERS[rank](data_format=data_format, bias_initializer="normal", **kwargs)
    layer.build((*shape[:at], channels, *shape[at + 1 :]))
    return layer


def reference(layer, x):
    """Split, convolve with Keras' dense convolution, concatenate."""
    axis = 1 if layer.data_format == "channels_first" else -1
    if axis == 1:
        x = ops.moveaxis(x, 1, -1)
    padding = layer.padding
    if padding == "causal":
        left = layer.dilation_rate[0] * (layer.kernel_size[0] - 1)
        x, padding = ops.pad(x, [(0, 0), (left, 0), (0, 0)]), "valid"
    y = ops.concatenate(
        [
            ops.conv(
                part,
                kernel,
                strides=layer.strides,
                padding=padding,
                dilation_rate=layer.dilation_rate,
                data_format="channels_last",
            )
            for part, kernel in zip(
                ops.split(x, layer.groups, -1),
                ops.split(ops.cast(layer.kernel, x.dtype), layer.groups, -1),
            )
        ],
        -1,
    )
    y = y + ops.cast(layer.bias, y.dtype)
    return ops.moveaxis(y, -1, 1) if axis == 1 else y


def outputs_and_gradients(function, layer, x):
    x = tf.convert_to_tensor(x)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = function(x)
        dy = tf.cast(random(y.shape, 2), y.dtype)
    return [y, *tape.gradient(y, [x, *[w.value for w in layer.trainable_variables]], dy)]


def check(layer, x, tolerance=1e-5):
    ours = outputs_and_gradients(layer, layer, x)
    theirs = outputs_and_gradients(lambda x: reference(layer, x), layer, x)
    for mine, other in zip(ours, theirs):
        mine, other = (np.asarray(tf.cast(t, "float64")) for t in (mine, other))
        assert mine.shape == other.shape
        np.testing.assert_allclose(mine, other, rtol=0, atol=tolerance * np.abs(other).max())


@pytest.mark.parametrize("kernel", [1, 3, 5])
@pytest.mark.parametrize("strides, dilation", [(1, 1), (2, 1), (1, 2)])
@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
def test_2d(kernel, strides, dilation, padding, data_format):
    layer = built(
        2,
        8,
        data_format,
        filters=12,
        kernel_size=kernel,
        strides=strides,
        padding=padding,
        dilation_rate=dilation,
        groups=4,
    )
    sizes = (11, 10)
    check(layer, random((2, *sizes, 8) if data_format == "channels_last" else (2, 8, *sizes)))


@pytest.mark.parametrize("strides, dilation", [(1, 1), (2, 1), ((2, 1), 1), (1, 2)])
@pytest.mark.parametrize("filters", [8, 24])
def test_depthwise(filters, strides, dilation):
    options = dict(strides=strides, dilation_rate=dilation, padding="same")
    layer = built(2, 8, filters=filters, kernel_size=3, groups=8, **options)
    check(layer, random((2, 9, 10, 8)))


@pytest.mark.parametrize("padding", ["same", "valid", "causal"])
@pytest.mark.parametrize("strides, dilation", [(1, 1), (2, 1), (1, 2)])
def test_1d(padding, strides, dilation):
    options = dict(strides=strides, dilation_rate=dilation, padding=padding)
    check(built(1, 8, filters=4, kernel_size=3, groups=4, **options), random((2, 9, 8)))


@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize("strides, dilation", [(1, 1), (2, 1), (1, 2)])
def test_3d(padding, strides, dilation):
    options = dict(strides=strides, dilation_rate=dilation, padding=padding)
    check(built(3, 8, filters=4, kernel_size=3, groups=4, **options), random((1, 5, 6, 7, 8)))


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("dilation", [1, 2])
@pytest.mark.parametrize("dtype", sorted(TOLERANCE))
def test_every_float_type(dtype, dilation, rank):
    options = dict(padding="same", dilation_rate=dilation, dtype=dtype)
    layer = built(rank, 8, filters=8, kernel_size=3, groups=4, **options)
    check(layer, tf.cast(random((2, *[6] * rank, 8)), dtype), TOLERANCE[dtype])


def test_without_a_native_gradient(monkeypatch):
    """What other processors than x86 get; with second derivatives."""
    monkeypatch.setattr(kernels, "has_native_gradient", lambda dtype: False)
    layer = built(2, 8, filters=8, kernel_size=3, groups=4, padding="same")
    x = random((2, 5, 5, 8))
    check(layer, x)

    def penalty(function):
        with tf.GradientTape() as outer:
            with tf.GradientTape() as inner:
                inner.watch(t := tf.constant(x))
                y = tf.reduce_sum(function(t) ** 2)
            loss = tf.reduce_sum(inner.gradient(y, t) ** 2)
        return outer.gradient(loss, layer.kernel.value)

    expected = penalty(lambda t: reference(layer, t))
    np.testing.assert_allclose(penalty(layer), expected, rtol=1e-4, atol=1e-2)


WITHOUT_ONEDNN = """
import numpy as np, keras, tensorflow as tf
from keras_resnets.kernels.group_conv import has_native_gradient
from keras_resnets.layers import GroupConv2D
assert not has_native_gradient("float32")
keras.utils.set_random_seed(0)
model = keras.Sequential([keras.Input((9, 9, 8)), GroupConv2D(8, 3, strides=2, groups=4)])
model.compile("sgd", "mse", jit_compile=False)
x = np.random.default_rng(0).normal(size=(8, 9, 9, 8)).astype("float32")
history = model.fit(x, np.ones((8, 4, 4, 8)), epochs=3, verbose=0).history["loss"]
assert history[2] < history[0]
print("trained")
"""


def test_trains_without_onednn():
    environment = {**os.environ, "TF_ENABLE_ONEDNN_OPTS": "0"}
    command = [sys.executable, "-c", WITHOUT_ONEDNN]
    run = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert run.stdout.strip() == "trained", run.stderr[-2000:]


@pytest.mark.parametrize("jit_compile", [False, True])
def test_trains_in_fit(jit_compile):
    layers = [keras.Input((6, 6, 8)), GroupConv2D(8, 3, padding="same", groups=4)]
    model = keras.Sequential(layers)
    x = random((8, 6, 6, 8))
    kernel = model.layers[0].kernel.numpy()
    model.compile(keras.optimizers.SGD(0.1), "mse", jit_compile=jit_compile)
    model.fit(x, np.ones_like(x), epochs=1, batch_size=8, verbose=0)

    twin = built(2, 8, filters=8, kernel_size=3, padding="same", groups=4)
    twin.kernel.assign(kernel)
    twin.bias.assign(np.zeros(8))
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean((reference(twin, x) - 1) ** 2)
    expected = kernel - 0.1 * tape.gradient(loss, twin.kernel.value)
    np.testing.assert_allclose(model.layers[0].kernel, expected, atol=1e-5)


def test_many_groups_under_xla_warn():
    layer = built(2, 256, filters=256, kernel_size=1, groups=128)
    compiled = tf.function(layer, jit_compile=True)
    x = random((1, 2, 2, 256))
    with pytest.warns(UserWarning, match="128 groups"):
        y = compiled(x)
    np.testing.assert_allclose(y, layer(x), atol=1e-5)


SERVE = """
import sys, numpy as np, tensorflow as tf
loaded = tf.saved_model.load(sys.argv[1])
for batch in (1, 3, 8):
    print(loaded.serve(tf.ones((batch, 6, 6, 8))).shape)
"""


def test_saved_model_has_no_xla_and_serves_any_batch(tmp_path):
    inputs = keras.Input((6, 6, 8))
    x = GroupConv2D(8, 3, padding="same", groups=4)(inputs)
    x = GroupConv1D(8, 3, padding="causal", groups=2)(keras.layers.Reshape((36, 8))(x))
    model = keras.Model(inputs, GroupConv2D(8, 3, group_size=1)(keras.layers.Reshape((6, 6, 8))(x)))
    model.export(tmp_path / "model", verbose=False)
    assert b"_XlaMustCompile" not in (tmp_path / "model" / "saved_model.pb").read_bytes()
    command = [sys.executable, "-c", SERVE, str(tmp_path / "model")]
    run = subprocess.run(command, capture_output=True, text=True)
    assert run.stdout.split("\n")[:3] == [f"({n}, 4, 4, 8)" for n in (1, 3, 8)], run.stderr[-2000:]


def test_keras_weights_load_into_it(tmp_path):
    x = random((2, 6, 6, 8))
    theirs = keras.layers.Conv2D(8, 3, groups=4)
    ours = GroupConv2D(8, 3, groups=4)
    expected = theirs(x)
    ours.build(x.shape)
    ours.set_weights(theirs.get_weights())
    np.testing.assert_allclose(ours(x), expected, atol=1e-5)
    again = GroupConv2D.from_config(theirs.get_config())
    assert again.groups == 4


@pytest.mark.parametrize("arguments", [{"group_size": 2}, {"groups": 4}, {}])
def test_config_and_group_size(arguments, tmp_path):
    inputs = keras.Input((6, 6, 8))
    model = keras.Model(inputs, GroupConv2D(8, 3, **arguments)(inputs))
    assert model.layers[1].groups == (4 if arguments else 1)
    assert model.layers[1].kernel.shape == (3, 3, 2 if arguments else 8, 8)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded(random((1, 6, 6, 8))), model(random((1, 6, 6, 8))))
    assert loaded.layers[1].get_config() == model.layers[1].get_config()


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"groups": 2, "group_size": 4}, "Only one of"),
        ({"groups": 0}, "groups=0"),
        ({"group_size": -1}, "group_size=-1"),
        ({"groups": 3}, r"one of \[1, 2, 4, 8\]"),
        ({"group_size": 5}, "group_size=5"),
        ({"group_size": 1}, "filters=12"),
    ],
)
def test_bad_input(arguments, message):
    with pytest.raises(ValueError, match=message):
        GroupConv2D(12, 3, **arguments).build((None, 6, 6, 8))


@pytest.mark.parametrize("axis", [-1, 1])
def test_channel_shuffle(axis):
    x = random((2, 6, 5, 6))
    expected = np.take(x, [0, 2, 4, 1, 3, 5], axis)
    np.testing.assert_array_equal(ChannelShuffle(3, axis=axis)(x), expected)
    inputs = keras.Input((6, None, 6))
    layer = ChannelShuffle(3, axis=axis)
    assert keras.Model(inputs, layer(inputs))(x).shape == x.shape
    assert ChannelShuffle.from_config(layer.get_config()).get_config() == layer.get_config()


@pytest.mark.parametrize("groups", [0, 4, 1.5])
def test_channel_shuffle_bad_groups(groups):
    with pytest.raises(ValueError, match=f"groups={groups}"):
        ChannelShuffle(groups).build((None, 6))


@pytest.mark.parametrize("follower", ["bias", "batch_norm"])
def test_predicts_where_the_graph_optimiser_would_fuse(follower):
    """TensorFlow's fused convolutions have no groups, and its graph optimiser does not ask."""
    inputs = keras.Input((None, None, 8))
    y = GroupConv2D(8, 3, padding="same", groups=4, use_bias=follower == "bias")(inputs)
    if follower == "batch_norm":
        y = BatchNorm2D()(y)
    model = keras.Model(inputs, keras.layers.ReLU()(y))
    x = random((2, 9, 9, 8))
    np.testing.assert_allclose(model.predict(x, verbose=0), model(x), atol=1e-5)
