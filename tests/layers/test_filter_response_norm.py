"""Filter response normalisation and the thresholded linear unit, against their formulas."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_resnets.layers import FilterResponseNorm, ThresholdedLinearUnit

RNG = np.random.default_rng(0)


def array(x):
    return keras.ops.convert_to_numpy(x)


def randomized(layer, shape):
    layer.build(shape)
    layer.set_weights([RNG.normal(size=w.shape) for w in layer.weights])
    return layer


@pytest.mark.parametrize("shape", [(2, 7, 4), (2, 5, 6, 4), (2, 3, 4, 5, 4)])
@pytest.mark.parametrize("axis", [-1, 1])
@pytest.mark.parametrize("learn_epsilon", [False, True])
def test_formula(shape, axis, learn_epsilon):
    x = RNG.normal(1, 2, shape)
    if axis == 1:
        x = np.moveaxis(x, -1, 1)
    layer = FilterResponseNorm(axis, 0.1, learn_epsilon, dtype="float64")
    randomized(layer, x.shape)
    gamma, beta, *learned = map(array, layer.weights)
    columns = np.moveaxis(x, axis, -1).reshape(2, -1, 4)
    power = (columns**2).mean(1, keepdims=True) + 0.1 + sum(abs(e) for e in learned)
    expected = columns / np.sqrt(power) * gamma + beta
    result = np.moveaxis(array(layer(x)), axis, -1).reshape(2, -1, 4)
    np.testing.assert_allclose(result, expected, rtol=1e-12, atol=1e-12)
    assert len(learned) == learn_epsilon


def test_gradients_are_those_of_the_formula():
    x = tf.constant(RNG.normal(size=(2, 3, 4, 5)))
    layer = randomized(FilterResponseNorm(dtype="float64"), x.shape)
    gamma, beta = (tf.constant(array(w)) for w in layer.weights)
    weight = RNG.normal(size=x.shape)

    def plain(x, gamma, beta):
        power = tf.reduce_mean(x**2, (1, 2), keepdims=True)
        return x / tf.sqrt(power + layer.epsilon) * gamma + beta

    with tf.GradientTape(persistent=True) as tape:
        tape.watch([x, gamma, beta])
        ours = tf.reduce_sum(layer(x) * weight)
        theirs = tf.reduce_sum(plain(x, gamma, beta) * weight)
    expected = tape.gradient(theirs, [x, gamma, beta])
    for a, b in zip(tape.gradient(ours, [x, *(w.value for w in layer.weights)]), expected):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("axis", [-1, 1])
def test_threshold(axis):
    x = RNG.normal(size=(2, 3, 5, 3)).astype("float32")
    layer = randomized(ThresholdedLinearUnit(axis), x.shape)
    tau = array(layer.tau).reshape((3,) if axis == -1 else (3, 1, 1))
    np.testing.assert_array_equal(layer(x), np.maximum(x, tau))
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(layer(x))
    others = tuple(i for i in range(4) if i != axis % 4)
    below = (x < tau).sum(axis=others)
    np.testing.assert_allclose(tape.gradient(loss, layer.tau.value), below)


def test_an_example_is_alone():
    x = RNG.normal(size=(4, 3, 3, 2)).astype("float32")
    layer = FilterResponseNorm()
    np.testing.assert_allclose(layer(x, training=True)[1:2], layer(x[1:2]), rtol=1e-6)


def test_half_precision_of_large_values():
    x = np.full((1, 4, 4, 2), 1000.0, "float16")
    y = FilterResponseNorm(dtype="mixed_float16")(x)
    assert y.dtype == "float16"
    np.testing.assert_allclose(y, np.ones(x.shape), rtol=1e-2)


@pytest.mark.parametrize("make", [FilterResponseNorm, ThresholdedLinearUnit])
def test_every_layer(make, check_layer):
    layer = randomized(make(), (2, 5, 6, 4))
    check_layer(layer, RNG.normal(size=(2, 5, 6, 4)).astype("float32"))


def test_bad_arguments():
    with pytest.raises(ValueError, match="`epsilon` must be positive"):
        FilterResponseNorm(epsilon=0)
    with pytest.raises(ValueError, match=r"at least 3 axes.*\(2, 4\)"):
        FilterResponseNorm()(np.ones((2, 4)))
    with pytest.raises(ValueError, match="axis=2"):
        ThresholdedLinearUnit(2)(np.ones((2, 3, 4, 5)))
