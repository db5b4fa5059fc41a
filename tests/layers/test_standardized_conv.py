"""Weight standardisation: values, the weights' invariances, precision."""

import keras
import numpy as np
import pytest

from keras_resnets.layers import StandardizedConv2D


def standardized(kernel, epsilon):
    kernel = kernel.astype("float64")
    mean, variance = kernel.mean((0, 1, 2)), kernel.var((0, 1, 2))
    return (kernel - mean) / np.sqrt(variance + epsilon)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"epsilon": 0.1},
        {"groups": 2},
        {"group_size": 2, "use_bias": False},
        {"strides": 2, "padding": "same", "activation": "relu"},
        {"dilation_rate": 2},
    ],
)
def test_a_plain_convolution_with_the_standardised_kernel(options):
    x = np.random.default_rng(0).standard_normal((2, 7, 6, 4)).astype("f4")
    layer = StandardizedConv2D(6, 3, kernel_initializer="random_normal", **options)
    layer.build(x.shape)
    plain = {k: v for k, v in options.items() if k not in ("epsilon", "group_size")}
    plain["groups"] = layer.groups
    conv = keras.layers.Conv2D(6, 3, **plain)
    conv.build(x.shape)
    weights = layer.get_weights()
    if len(weights) > 1:
        weights[1] = np.arange(6, dtype="f4")
        layer.set_weights(weights)
    kernel = standardized(weights[0], options.get("epsilon", 1e-10))
    conv.set_weights([kernel, *weights[1:]])
    np.testing.assert_allclose(layer(x), conv(x), rtol=1e-4, atol=1e-4)
    copy = StandardizedConv2D.from_config(layer.get_config())
    copy.build(x.shape)
    copy.set_weights(layer.get_weights())
    np.testing.assert_array_equal(copy(x), layer(x))


def test_scale_and_offset_of_the_kernel_do_not_matter():
    x = np.random.default_rng(0).standard_normal((2, 7, 6, 4)).astype("f4")
    layer = StandardizedConv2D(6, 3, use_bias=False)
    before = layer(x)
    layer.kernel.assign(3 * layer.kernel + 1)
    np.testing.assert_allclose(layer(x), before, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_statistics_in_float32_under_mixed_precision(policy):
    """An offset that half precision could not hold beside the deviations."""
    x = np.random.default_rng(0).standard_normal((2, 7, 6, 4)).astype("f4")
    layer, full = StandardizedConv2D(6, 3, dtype=policy), StandardizedConv2D(6, 3)
    for each in (layer, full):
        each.build(x.shape)
    kernel, bias = full.get_weights()
    for each in (layer, full):
        each.set_weights([0.001 * kernel + 1, bias])
    y = layer(x)
    assert y.dtype == layer.compute_dtype
    tolerance = 0.02 if policy == "mixed_float16" else 0.1
    np.testing.assert_allclose(keras.ops.cast(y, "float32"), full(x), atol=10 * tolerance, rtol=0)


def test_saved_and_loaded(tmp_path):
    x = keras.Input((8, 8, 4))
    model = keras.Model(x, StandardizedConv2D(6, 3, groups=2, epsilon=1e-3)(x))
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    images = np.random.default_rng(0).standard_normal((1, 8, 8, 4)).astype("f4")
    np.testing.assert_array_equal(loaded(images), model(images))


def test_gradients_are_orthogonal_to_scale_and_offset():
    """As the output does not change with either."""
    import tensorflow as tf

    x = np.random.default_rng(0).standard_normal((2, 7, 6, 4)).astype("f4")
    layer = StandardizedConv2D(6, 3, use_bias=False)
    layer.build(x.shape)
    with tf.GradientTape() as tape:
        loss = keras.ops.sum(keras.ops.sin(layer(x)))
    gradient = tape.gradient(loss, layer.kernel.value).numpy()
    size = np.abs(gradient).sum((0, 1, 2))
    assert (np.abs(gradient.sum((0, 1, 2))) < 1e-4 * size).all()
    assert (np.abs((gradient * layer.kernel.numpy()).sum((0, 1, 2))) < 1e-4 * size).all()


def test_negative_epsilon():
    with pytest.raises(ValueError, match=r"epsilon=-1"):
        StandardizedConv2D(4, 3, epsilon=-1)
