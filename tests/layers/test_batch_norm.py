"""The fused batch normalisation against Keras' layer and PyTorch's rule for the moving variance."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_resnets.layers import BatchNorm2D

SHAPES = [(6, 4), (2, 5, 4), (2, 3, 5, 4), (2, 3, 2, 3, 4)]


def random(shape, seed=0, dtype="float32"):
    return np.random.default_rng(seed).normal(0.5, 2, shape).astype(dtype)


def pair(shape, moving_variance="biased", **kwargs):
    """Ours and Keras' layer with the same random weights."""
    layers = [
        BatchNorm2D(momentum=0.8, epsilon=1e-5, moving_variance=moving_variance, **kwargs),
        keras.layers.BatchNormalization(momentum=0.8, epsilon=1e-5, **kwargs),
    ]
    for layer in layers:
        layer.build(shape)
    layers[1].set_weights(
        [1 + 0.1 * random(w.shape, i) ** 2 for i, w in enumerate(layers[1].weights)]
    )
    layers[0].set_weights(layers[1].get_weights())
    return layers


def run(layer, x, training=True):
    x = tf.convert_to_tensor(x)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = layer(x, training=training)
    dy = tf.cast(random(x.shape, 7), y.dtype)
    gradients = tape.gradient(y, [x, *[w.value for w in layer.trainable_variables]], dy)
    return [y, *gradients, *layer.non_trainable_variables]


def assert_same(ours, theirs, tolerance=1e-5):
    for mine, other in zip(ours, theirs, strict=True):
        mine, other = (np.asarray(tf.cast(t, "float64")) for t in (mine, other))
        np.testing.assert_allclose(
            mine, other, rtol=tolerance, atol=tolerance * np.abs(other).max()
        )


@pytest.fixture
def fused_calls(monkeypatch):
    """Counts the calls of the fused kernel."""
    from keras_resnets.layers import batch_norm

    calls, kernel = [], batch_norm.fused_batch_norm
    monkeypatch.setattr(
        batch_norm, "fused_batch_norm", lambda *args: calls.append(1) or kernel(*args)
    )
    return calls


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("shape", SHAPES)
def test_equals_keras(shape, training, fused_calls):
    ours, theirs = pair(shape)
    assert_same(run(ours, random(shape), training), run(theirs, random(shape), training))
    assert fused_calls


@pytest.mark.parametrize("options", [{"scale": False}, {"center": False}])
def test_without_scale_or_centre(options):
    ours, theirs = pair((2, 3, 5, 4), **options)
    assert_same(run(ours, random((2, 3, 5, 4))), run(theirs, random((2, 3, 5, 4))))


@pytest.mark.parametrize("axis, options", [(1, {}), (-1, {"dtype": "float64"})])
def test_what_is_left_to_keras(axis, options, fused_calls):
    ours, theirs = pair((2, 4, 5, 4), axis=axis, **options)
    x = random((2, 4, 5, 4), dtype=options.get("dtype", "float32"))
    assert_same(run(ours, x), run(theirs, x))
    assert not fused_calls


@pytest.mark.parametrize("axis", [-1, 1])
def test_moving_variance_is_unbiased_as_in_pytorch(axis):
    x = random((2, 4, 5, 4))
    layer, _ = pair(x.shape, "unbiased", axis=axis)
    before = layer.moving_variance.numpy()
    layer(x, training=True)
    axes = (0, 1, 2) if axis == -1 else (0, 2, 3)
    expected = 0.8 * before + 0.2 * x.var(axes, ddof=1)
    np.testing.assert_allclose(layer.moving_variance, expected, rtol=1e-5)


@pytest.mark.parametrize("kind", ["biased", "unbiased"])
def test_one_number_a_channel(kind):
    layer = BatchNorm2D(moving_variance=kind)
    layer(random((1, 1, 1, 4)), training=True)
    np.testing.assert_allclose(layer.moving_variance, np.full(4, 0.9), rtol=1e-6)


def test_empty_batch_is_no_news():
    layer = BatchNorm2D()
    assert layer(random((0, 2, 2, 4)), training=True).shape == (0, 2, 2, 4)
    np.testing.assert_array_equal(layer.moving_variance, np.ones(4))
    np.testing.assert_array_equal(layer.moving_mean, np.zeros(4))


def test_mask():
    x, mask = random((2, 5, 4)), np.array([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]], bool)
    layer = BatchNorm2D()
    layer(x, training=True, mask=mask)
    expected = 0.9 + 0.1 * x[mask].var(0, ddof=1)
    np.testing.assert_allclose(layer.moving_variance, expected, rtol=1e-5)


def test_frozen_layer_keeps_its_statistics():
    ours, theirs = pair((2, 3, 5, 4))
    ours.trainable = theirs.trainable = False
    x = random((2, 3, 5, 4))
    assert_same(
        [ours(x, training=True), *ours.weights], [theirs(x, training=True), *theirs.weights]
    )
    np.testing.assert_allclose(ours(x, training=True), ours(x, training=False))


@pytest.mark.parametrize("dtype", ["mixed_float16", "mixed_bfloat16"])
def test_half_precision(dtype, fused_calls):
    ours, theirs = pair((8, 8, 8, 4), dtype=dtype)
    x = tf.cast(300 * random((8, 8, 8, 4)), dtype.removeprefix("mixed_"))
    assert_same(run(ours, x), run(theirs, x), 2e-2)
    assert fused_calls and ours(x).dtype == dtype.removeprefix("mixed_")


def test_epsilon_is_exact():
    """`tf.nn.fused_batch_norm` would raise it to 1.001e-5."""
    x = np.array([-1e-5, 1e-5], "float32").reshape(1, 1, 2, 1)
    y = BatchNorm2D(epsilon=1e-8)(x, training=True)
    np.testing.assert_allclose(np.ravel(y), np.ravel(x) / np.sqrt(1e-10 + 1e-8), rtol=1e-4)


def test_compiled_by_xla(fused_calls):
    ours, theirs = pair((2, 3, 5, 4))
    ours(random((2, 3, 5, 4)))
    fused_calls.clear()
    y = tf.function(lambda x: ours(x, training=True), jit_compile=True)(random((2, 3, 5, 4)))
    assert not fused_calls
    assert_same([y, *ours.weights], [theirs(random((2, 3, 5, 4)), training=True), *theirs.weights])


def test_two_replicas_are_one_global_batch(two_replicas):
    x = random((8, 3, 3, 4))
    single = BatchNorm2D()
    expected = single(x, training=True)
    strategy = two_replicas
    with strategy.scope():
        layer = BatchNorm2D(synchronized=True)
        layer.build(x.shape)
    parts = strategy.experimental_distribute_values_from_function(
        lambda c: tf.constant(x[4 * c.replica_id_in_sync_group :][:4])
    )
    y = tf.function(lambda x: strategy.run(lambda x: layer(x, training=True), (x,)))(parts)
    y = np.concatenate(strategy.experimental_local_results(y))
    np.testing.assert_allclose(y, expected, atol=1e-5)
    np.testing.assert_allclose(layer.moving_variance, single.moving_variance, rtol=1e-5)


def test_saves_and_trains_in_a_model(tmp_path):
    inputs = keras.Input((None, None, 3))
    x = BatchNorm2D()(keras.layers.Conv2D(4, 3)(inputs))
    model = keras.Model(inputs, keras.layers.GlobalAveragePooling2D()(x))
    model.compile("sgd", "mse")
    model.fit(random((8, 6, 6, 3)), np.ones((8, 4)), epochs=1, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded(random((2, 7, 5, 3))), model(random((2, 7, 5, 3))))
    assert loaded.layers[2].get_config()["moving_variance"] == "unbiased"


def test_bad_moving_variance():
    with pytest.raises(ValueError, match="moving_variance='torch'"):
        BatchNorm2D(moving_variance="torch")
