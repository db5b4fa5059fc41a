import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_resnets.layers import AttentiveStatisticsPooling, StatisticsPooling

RNG = np.random.default_rng(0)
LENGTHS = (1, 2, 6, 11)
POOLINGS = {
    "mean": lambda: StatisticsPooling(std=False),
    "stats": StatisticsPooling,
    "stats, x-vector": lambda: StatisticsPooling(ddof=1, epsilon=1e-7, floor="add"),
    "asp": lambda: AttentiveStatisticsPooling(5),
    "asp, speechbrain": lambda: AttentiveStatisticsPooling(
        5, hidden="relu_bn_tanh", context_epsilon=1e-12, epsilon=1e-12
    ),
    "asp, wespeaker": lambda: AttentiveStatisticsPooling(
        5, context_ddof=1, context_epsilon=1e-7, context_floor="add", epsilon=1e-7
    ),
    "asp, no context": lambda: AttentiveStatisticsPooling(5, context=False),
}


def floored(variance, epsilon, floor):
    return np.sqrt(np.maximum(variance, epsilon) if floor == "clamp" else variance + epsilon)


def variance_of(x, ddof):
    return x.var(axis=0) * (len(x) / max(len(x) - ddof, 1))


def reference(layer, x):
    """The pooled vector of one example `(T, C)`, with the context tiled over the frames."""
    x = x.astype("float64")
    if isinstance(layer, StatisticsPooling):
        std = floored(variance_of(x, layer.ddof), layer.epsilon, layer.floor)
        return np.concatenate([x.mean(axis=0), std]) if layer.std else x.mean(axis=0)
    inputs, kernel = x, np.array(layer.attention_frames.kernel)
    bias = layer.attention_frames.bias
    if layer.context:
        std = floored(
            variance_of(x, layer.context_ddof), layer.context_epsilon, layer.context_floor
        )
        context = np.tile(np.concatenate([x.mean(axis=0), std]), (len(x), 1))
        inputs = np.concatenate([x, context], axis=1)
        kernel = np.concatenate([kernel, layer.attention_context.kernel])
        bias = layer.attention_context.bias
    hidden = inputs @ kernel + np.array(bias)
    if layer.hidden == "relu_bn_tanh":
        gamma, beta, mean, variance = layer.attention_bn.get_weights()
        hidden = (np.maximum(hidden, 0) - mean) / np.sqrt(variance + 1e-5) * gamma + beta
    kernel, bias = layer.attention_out.get_weights()
    weights = np.exp(np.tanh(hidden) @ kernel + bias)
    weights /= weights.sum(axis=0)
    mean = (weights * x).sum(axis=0)
    variance = (weights * (x - mean) ** 2).sum(axis=0)
    return np.concatenate([mean, floored(variance, layer.epsilon, "clamp")])


@pytest.fixture(params=POOLINGS)
def layer(request, randomize):
    layer = POOLINGS[request.param]()
    layer.build((None, None, 4))
    return randomize(layer)


@pytest.mark.parametrize("fill", [0.0, 1e6, np.nan])
def test_each_example_is_pooled_as_if_alone(layer, fill):
    x = RNG.normal(1, size=(4, 15, 4)).astype("float32")
    mask = np.arange(15) < np.array(LENGTHS)[:, None]
    x[~mask] = fill
    result = np.array(layer(x, mask=mask))
    for row, example, n in zip(result, x, LENGTHS):
        np.testing.assert_allclose(row, reference(layer, example[:n]), rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(layer(example[None, :n])[0], row, rtol=1e-5, atol=1e-6)


def test_order_of_the_frames_does_not_matter(layer):
    x = RNG.normal(size=(2, 50, 4)).astype("float32")
    shuffled = x[:, RNG.permutation(50)]
    np.testing.assert_allclose(layer(x), layer(shuffled), rtol=1e-5, atol=1e-6)


def test_full_mask_is_bit_equal_to_none(layer):
    x = RNG.normal(size=(2, 50, 4)).astype("float32")
    np.testing.assert_array_equal(layer(x), layer(x, mask=np.ones((2, 50), bool)))


def test_nothing_valid_and_one_bad_example(layer):
    x = RNG.normal(size=(3, 6, 4)).astype("float32")
    expected = np.array(layer(x))
    x[1, 2] = np.nan
    result = np.array(layer(x, mask=np.array([[True] * 6, [True] * 6, [False] * 6])))
    assert np.all(np.isnan(result[1]))
    np.testing.assert_array_equal(result[0], expected[0])
    np.testing.assert_array_equal(result[2, :4], 0)
    assert np.all(np.isfinite(result[2]))


@pytest.mark.parametrize("frames, valid", [(1, 1), (5, 1), (5, 0), (5, 5)])
def test_gradient_is_finite_without_any_variance(layer, frames, valid):
    x = tf.ones((2, frames, 4))
    mask = tf.tile(tf.range(frames)[None] < valid, (2, 1))
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = layer(x, mask=mask)
        loss = tf.reduce_sum(y)
    gradients = tape.gradient(loss, [x, *layer.trainable_variables])
    assert all(np.all(np.isfinite(g)) for g in gradients if g is not None)
    if valid and y.shape[-1] == 8:
        np.testing.assert_allclose(y[:, :4], 1, rtol=1e-6)
        np.testing.assert_allclose(y[:, 4:], np.sqrt(layer.epsilon), rtol=1e-5)


def test_attentive_statistics_by_hand():
    """The figures of `h = ((1, 2), (3, 4), (5, 0))` under given attention logits."""
    h = keras.ops.array([[[1.0, 2.0], [3.0, 4.0], [5.0, 0.0]]])
    logits = keras.ops.array([[[0.0, 1.0], [1.0, 0.0], [2.0, -1.0]]])
    pooled = AttentiveStatisticsPooling().pool(h, logits)
    expected = [4.1504208, 2.3093958, 1.3029268, 1.1150383]
    np.testing.assert_allclose(pooled[0], expected, atol=1e-6)


def test_softmax_does_not_overflow():
    h = keras.ops.array([[[1.0], [3.0]]])
    for logit in (1e4, -1e4):
        pooled = AttentiveStatisticsPooling().pool(h, keras.ops.array([[[logit], [logit]]]))
        np.testing.assert_allclose(pooled[0], [2.0, 1.0], rtol=1e-6)


@pytest.mark.parametrize("name", ["stats", "asp"])
def test_variance_survives_a_large_mean(name):
    """`E[x^2] - mean^2` would be off by far more than the variance."""
    x = (1e4 + RNG.choice([-0.5, 0.5], size=(1, 1000, 4))).astype("float32")
    np.testing.assert_allclose(POOLINGS[name]()(x)[0, 4:], 0.5, rtol=0.02)


@pytest.mark.parametrize("name", ["stats", "asp"])
def test_statistics_do_not_overflow_in_half_precision(name):
    x = RNG.choice([100.0, 900.0], size=(1, 4000, 2))
    layer = type(POOLINGS[name]())(dtype="mixed_float16")
    result = np.array(layer(x))
    assert result.dtype == "float16"
    np.testing.assert_allclose(result[0], [500, 500, 400, 400], rtol=0.1)


def test_as_a_keras_layer(layer, check_layer):
    check_layer(layer, RNG.normal(size=(2, 9, 4)).astype("float32"))


def test_a_keras_mask_ends_here(layer):
    x = np.where(np.arange(6)[:, None] < np.array([[[2]], [[6]]]), 1.0, 0.0).astype("float32")
    outputs = layer(keras.layers.Masking()(np.repeat(x, 4, axis=-1)))
    assert getattr(outputs, "_keras_mask", None) is None
    np.testing.assert_allclose(outputs[0], outputs[1], rtol=1e-6)


def test_bad_arguments():
    with pytest.raises(ValueError, match=r"`floor` must be one of.*'max'"):
        StatisticsPooling(floor="max")
    with pytest.raises(ValueError, match=r"`context_floor` must be one of.*'max'"):
        AttentiveStatisticsPooling(context_floor="max")
    with pytest.raises(ValueError, match=r"`hidden` must be.*'relu'"):
        AttentiveStatisticsPooling(hidden="relu")
