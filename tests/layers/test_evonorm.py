"""EvoNorm against its formulas in float64, timm's goldens, and one replica against two."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import ops

from keras_resnets.layers import evonorm

NAMES = ["b0", "b1", "b2", "s0", "s1", "s2"]
SERIES_S = [n for n in NAMES if n.startswith("s")]
SERIES_B = [n for n in NAMES if n.startswith("b")]
EPSILON = 1e-5


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def reference(name, x, gamma, beta, v, groups):
    """The paper's formula on `(B, positions, C)`, written without any of the layer's devices."""
    group = x.reshape(len(x), x.shape[1], groups, -1)

    def per_group(statistic):
        value = np.broadcast_to(statistic(group, axis=(1, 3), keepdims=True), group.shape)
        return np.sqrt(value.reshape(x.shape) + EPSILON)

    def mean_square(x, **kwargs):
        return np.mean(x * x, **kwargs)

    batch = np.sqrt(x.var((0, 1), keepdims=True) + EPSILON)
    deviation = np.sqrt(x.var(1, keepdims=True) + EPSILON)
    rms = np.sqrt(np.mean(x * x, 1, keepdims=True) + EPSILON)
    y = {
        "b0": lambda: x / np.maximum(batch, v * x + deviation),
        "b1": lambda: x / np.maximum(batch, (x + 1) * rms),
        "b2": lambda: x / np.maximum(batch, rms - x),
        "s0": lambda: x * sigmoid(v * x) / per_group(np.var),
        "s1": lambda: x * sigmoid(x) / per_group(np.var),
        "s2": lambda: x * sigmoid(x) / per_group(mean_square),
    }[name]()
    return y * gamma + beta


def built(name, shape, **kwargs):
    """A layer with random parameters."""
    layer = evonorm(name, **kwargs)
    layer.build(shape)
    rng = np.random.default_rng(1)
    for weight in layer.trainable_variables:
        weight.assign(rng.normal(1, 0.5, weight.shape))
    return layer


def parameters(layer):
    v = layer.v.numpy() if layer.has_v and layer.apply_act else 1
    return layer.gamma.numpy(), layer.beta.numpy(), v


def random(shape, seed=0, dtype="float64"):
    return np.random.default_rng(seed).normal(0.3, 1.5, shape).astype(dtype)


def gradients(layer, x, dy, training=True):
    x = tf.convert_to_tensor(x)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = layer(x, training=training)
    return tape.gradient(y, [x, *[w.value for w in layer.trainable_variables]], dy)


@pytest.mark.parametrize("rank", [3, 4, 5])
@pytest.mark.parametrize("axis", [-1, 1])
@pytest.mark.parametrize("groups, effective", [(32, 32), (7, 4)])
@pytest.mark.parametrize("name", NAMES)
def test_formula(name, groups, effective, axis, rank):
    x = random((3, *[2, 3, 2][: rank - 2], 64))
    inputs = x if axis == -1 else np.moveaxis(x, -1, 1)
    layer = built(name, inputs.shape, axis=axis, groups=groups, dtype="float64")
    y = ops.convert_to_numpy(layer(inputs, training=True))
    y = y if axis == -1 else np.moveaxis(y, 1, -1)
    expected = reference(name, x.reshape(3, -1, 64), *parameters(layer), effective)
    np.testing.assert_allclose(y, expected.reshape(x.shape), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("name", NAMES)
def test_without_activation_is_affine(name):
    x = random((2, 3, 3, 8), dtype="float32")
    layer = built(name, x.shape, apply_act=False)
    gamma, beta, _ = parameters(layer)
    assert [w.name for w in layer.weights] == ["gamma", "beta"]
    np.testing.assert_allclose(layer(x, training=True), x * gamma + beta, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", ["s0a", "s1a", "s2a"])
def test_variants_divide_without_activation(name):
    x = random((2, 3, 3, 8), dtype="float32")
    layer = built(name, x.shape, apply_act=False, groups=4)
    gamma, beta, _ = parameters(layer)
    groups = x.reshape(2, 9, 4, 2)
    power = np.mean(groups**2, (1, 3)) if name == "s2a" else groups.var((1, 3))
    deviation = np.repeat(np.sqrt(power + 1e-3), 2, -1)[:, None, None]
    np.testing.assert_allclose(layer(x), x / deviation * gamma + beta, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("axis", [-1, 1])
@pytest.mark.parametrize("name", NAMES)
def test_gradient_is_that_of_finite_differences(name, axis):
    x, dy = random((2, 3, 2, 4)), random((2, 3, 2, 4), seed=2)
    if axis == 1:
        x, dy = np.moveaxis(x, -1, 1), np.moveaxis(dy, -1, 1)
    layer = built(name, x.shape, axis=axis, groups=2, dtype="float64")

    @tf.function
    def weighted_sum(x):
        return tf.reduce_sum(dy * layer(x, training=True))

    def slopes(array, assign):
        found = np.zeros(array.shape)
        for index in np.ndindex(array.shape):
            kept = array[index]
            values = []
            for step in (1e-5, -1e-5):
                array[index] = kept + step
                assign(array)
                values.append(weighted_sum(tf.constant(x)).numpy())
            array[index] = kept
            assign(array)
            found[index] = (values[0] - values[1]) / 2e-5
        return found

    dx, *rest = gradients(layer, x, dy)
    np.testing.assert_allclose(dx, slopes(x, lambda _: None), atol=1e-6)
    for weight, gradient in zip(layer.trainable_variables, rest):
        expected = slopes(weight.numpy().copy(), weight.assign)
        np.testing.assert_allclose(gradient, expected, atol=1e-6, err_msg=weight.name)


def naive(layer, name, x):
    """The reference in TensorFlow operations, for automatic differentiation."""
    gamma, beta = layer.gamma.value, layer.beta.value
    v = layer.v.value if layer.has_v else 1.0
    mean, axes = tf.reduce_mean, (1, 2)
    if name.startswith("b"):
        batch = tf.sqrt(tf.math.reduce_variance(x, (0, 1, 2)) + EPSILON)
        deviation = tf.sqrt(tf.math.reduce_variance(x, axes, keepdims=True) + EPSILON)
        rms = tf.sqrt(mean(x * x, axes, keepdims=True) + EPSILON)
        right = {"b0": v * x + deviation, "b1": (x + 1) * rms, "b2": rms - x}[name]
        return x / tf.maximum(batch, right) * gamma + beta
    group = tf.reshape(x, (*x.shape[:3], layer.effective_groups, -1))
    if name == "s2":
        power = mean(group * group, (1, 2, 4), keepdims=True)
    else:
        power = tf.math.reduce_variance(group, (1, 2, 4), keepdims=True)
    deviation = tf.reshape(tf.sqrt(power + EPSILON) * tf.ones_like(group), x.shape)
    return x * tf.sigmoid(v * x) / deviation * gamma + beta


@pytest.mark.parametrize("name", NAMES)
def test_gradients_of_first_and_second_order_are_autodiffs(name):
    x, dy = (tf.constant(random((3, 4, 4, 8), seed)) for seed in (0, 2))
    layer = built(name, x.shape, groups=4, dtype="float64")
    watched = [x, *[w.value for w in layer.trainable_variables]]

    def first_and_second(function):
        with tf.GradientTape() as outer:
            outer.watch(x)
            with tf.GradientTape() as inner:
                inner.watch(x)
                loss = tf.reduce_sum(dy * function(x))
            first = inner.gradient(loss, watched)
            penalty = tf.reduce_sum(first[0] ** 2)
        return [*first, *outer.gradient(penalty, watched)]

    ours = first_and_second(lambda x: layer(x, training=True))
    theirs = first_and_second(lambda x: naive(layer, name, x))
    for mine, other in zip(ours, theirs):
        if other is None:  # the penalty of an affine parameter
            assert mine is None or not np.any(mine)
        else:
            np.testing.assert_allclose(mine, other, rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("name", SERIES_S)
def test_s_series_knows_no_batch(name):
    x = random((8, 4, 4, 16), dtype="float32")
    layer = built(name, x.shape, groups=4)
    whole = layer(x, training=True)
    np.testing.assert_array_equal(whole, layer(x, training=False))
    np.testing.assert_allclose(layer(x[3:4], training=True)[0], whole[3], rtol=1e-6, atol=1e-6)
    assert not layer.non_trainable_variables


@pytest.mark.parametrize("kind", ["biased", "unbiased"])
@pytest.mark.parametrize("name", SERIES_B)
def test_b_series_moving_variance(name, kind):
    x = [random((2, 3, 3, 4), seed) for seed in range(3)]
    layer = built(name, x[0].shape, moving_variance=kind, dtype="float64")
    expected = np.ones(4)
    for batch in x:
        layer(batch, training=True)
        expected = 0.9 * expected + 0.1 * batch.var((0, 1, 2), ddof=int(kind == "unbiased"))
    np.testing.assert_allclose(layer.moving_variance, expected, rtol=1e-12)
    kept = layer.moving_variance.numpy()
    y = layer(x[0], training=False)
    layer.trainable = False
    np.testing.assert_array_equal(layer(x[0], training=True), y)
    np.testing.assert_array_equal(layer.moving_variance, kept)
    gamma, beta, v = parameters(layer)
    if name == "b0":
        deviation = np.sqrt(x[0].var((1, 2), keepdims=True) + EPSILON)
        left = np.sqrt(expected + EPSILON)
        formula = x[0] / np.maximum(left, v * x[0] + deviation) * gamma + beta
        np.testing.assert_allclose(y, formula, rtol=1e-10, atol=1e-10)


def test_moving_variance_of_one_number_and_of_none():
    layer = built("b0", (1, 2, 4), moving_variance="unbiased")
    with pytest.warns(UserWarning, match="single positions"):
        one = built("b0", (1, 1, 4), moving_variance="unbiased")
    one(np.ones((1, 1, 4), "float32"), training=True)
    np.testing.assert_allclose(one.moving_variance, 0.9 * np.ones(4), rtol=1e-6)
    layer(np.ones((0, 2, 4), "float32"), training=True)
    np.testing.assert_array_equal(layer.moving_variance, np.ones(4))


def test_large_mean_keeps_its_variance():
    x = (1000 + np.random.default_rng(0).normal(size=(2, 16, 16, 32))).astype("float32")
    layer = built("s0", x.shape, groups=8, dtype="float32")
    for weight, value in zip(layer.trainable_variables, (1, 0, 1)):
        weight.assign(np.full(weight.shape, value))
    assert [w.name for w in layer.trainable_variables] == ["gamma", "beta", "v"]
    wide = x.astype("float64")
    deviation = np.sqrt(wide.reshape(2, 256, 8, 4).var((1, 3)) + EPSILON)
    measured = wide / ops.convert_to_numpy(layer(x))  # the sigmoid is 1
    np.testing.assert_allclose(measured[:, 0, 0, ::4], deviation, rtol=1e-4)


@pytest.mark.parametrize("name", [*NAMES, "s0a"])
def test_half_precision(name):
    x = (1000 * random((4, 8, 8, 16))).astype("float16")
    narrow = built(name, x.shape, groups=4, dtype="mixed_float16")
    wide = built(name, x.shape, groups=4)
    y = narrow(x, training=True)
    assert y.dtype == "float16"
    assert all(w.dtype == "float32" for w in narrow.weights)
    expected = ops.convert_to_numpy(wide(x.astype("float32"), training=True))
    np.testing.assert_allclose(y, expected, rtol=0.01, atol=0.01 * np.abs(expected).mean())
    ours = gradients(narrow, x, np.ones(x.shape, "float16"))
    theirs = gradients(wide, x.astype("float32"), np.ones(x.shape, "float32"))
    for mine, other in zip(ours[1:], theirs[1:]):
        np.testing.assert_allclose(mine, other, rtol=0.02, atol=0.02 * np.abs(other).max())
    assert np.all(np.isfinite(ours[0]))


@pytest.mark.parametrize("name", ["b0", "s0"])
def test_compiled_by_xla(name):
    x, dy = random((2, 4, 4, 8), dtype="float32"), random((2, 4, 4, 8), 2, dtype="float32")
    layer = built(name, x.shape, groups=4)
    layer(x, training=True)
    compiled = tf.function(lambda x, dy: gradients(layer, x, dy), jit_compile=True)
    for mine, other in zip(compiled(x, dy), gradients(layer, x, dy)):
        np.testing.assert_allclose(mine, other, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", SERIES_B)
def test_two_replicas_are_one_global_batch(name, two_replicas):
    x, dy = random((8, 3, 3, 4), dtype="float32"), random((8, 3, 3, 4), 2, dtype="float32")
    single = built(name, x.shape, moving_variance="unbiased")
    expected = [single(x, training=True), *gradients(single, x, dy, training=True)]
    strategy = two_replicas
    with strategy.scope():
        layer = built(name, x.shape, synchronized=True, moving_variance="unbiased")

    def step(x, dy):
        y = layer(x, training=True)
        return [y, *gradients(layer, x, dy)]

    def halves(context):
        i = context.replica_id_in_sync_group
        return [tf.constant(t[4 * i : 4 * i + 4]) for t in (x, dy)]

    x_parts, dy_parts = (
        strategy.experimental_distribute_values_from_function(lambda c, k=k: halves(c)[k])
        for k in (0, 1)
    )
    results = tf.function(lambda a, b: strategy.run(step, (a, b)))(x_parts, dy_parts)
    results = [strategy.experimental_local_results(r) for r in results]
    for mine, other in zip(results[:2], expected[:2]):
        np.testing.assert_allclose(np.concatenate(mine), other, rtol=1e-4, atol=1e-5)
    for mine, other in zip(results[2:], expected[2:]):
        np.testing.assert_allclose(sum(mine), other, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(layer.moving_variance, single.moving_variance, rtol=1e-5)


@pytest.mark.parametrize("name", [*NAMES, "s0a", "s1a", "s2a"])
def test_saves_and_loads_in_a_model(name, tmp_path):
    inputs = keras.Input((None, None, 8))
    model = keras.Model(inputs, evonorm(name, groups=4, gamma_initializer="zeros")(inputs))
    x = random((2, 3, 5, 8), dtype="float32")
    model(x, training=True)
    model.layers[1].gamma.assign(random((8,)))
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded(x), model(x))
    assert loaded.layers[1].get_config() == model.layers[1].get_config()


def test_group_size_is_channels_over_groups():
    x = random((2, 3, 3, 12), dtype="float32")
    sized, counted = built("s0", x.shape, group_size=4), built("s0", x.shape, groups=3)
    np.testing.assert_array_equal(sized(x), counted(x))
    assert evonorm("EvoNorm_S0").__class__ is evonorm("s0").__class__


@pytest.mark.parametrize(
    "name, arguments, shape, message",
    [
        ("s0", {}, (2, 1, 1, 16), "fewer groups"),
        (
            "s0",
            {"groups": 7, "strict_groups": True},
            (2, 4, 4, 8),
            r"one of \[1, 2, 4, 8\].*groups=7",
        ),
        ("s1", {"group_size": 3}, (2, 4, 4, 8), "group_size=3"),
        ("s1", {"group_size": 16}, (2, 4, 4, 8), "group_size=16"),
        ("s1", {"groups": 0}, (2, 4, 4, 8), "groups=0"),
        ("b0", {"moving_variance": "true"}, (2, 4, 4, 8), "moving_variance='true'"),
        ("b0", {"always_normalize": True}, (2, 4, 4, 8), "S series"),
        ("b0", {"axis": 2}, (2, 4, 4, 8), "axis=2"),
        ("b0", {}, (2, 8), r"inputs.shape=\(2, 8\)"),
        ("b0", {}, (2, 8, None), r"inputs.shape=\(2, 8, None\)"),
        ("s3", {}, (2, 4, 4, 8), "name='s3'"),
    ],
)
def test_bad_input(name, arguments, shape, message):
    with pytest.raises(ValueError, match=message):
        evonorm(name, **arguments).build(shape)


def test_mask_is_refused():
    with pytest.raises(ValueError, match="takes no mask"):
        evonorm("s0")(np.ones((1, 4, 8), "float32"), mask=np.ones((1, 4), bool))
