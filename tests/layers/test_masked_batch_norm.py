import keras
import numpy as np
import pytest

from keras_resnets.layers import MaskedBatchNormalization

RNG = np.random.default_rng(0)
LENGTHS = np.array([1, 4, 6])
MASK = np.arange(8) < LENGTHS[:, None]


def statistics(layer):
    return [keras.ops.convert_to_numpy(w) for w in (layer.moving_mean, layer.moving_variance)]


@pytest.mark.parametrize("fill", [0.0, 1e6])
@pytest.mark.parametrize("shape", [(5,), (3, 5)])
@pytest.mark.parametrize("synchronized", [False, True])
def test_a_padded_batch_counts_as_its_valid_frames(shape, fill, synchronized, randomize):
    x = RNG.normal(2, 3, size=(3, 8, *shape)).astype("float32")
    frames = x[MASK]
    x[~MASK] = fill
    padded = MaskedBatchNormalization(synchronized=synchronized)
    plain = MaskedBatchNormalization()
    for layer, inputs in ((padded, x), (plain, frames)):
        layer.build(inputs.shape)
        randomize(layer)
    before = statistics(plain)
    result = np.array(padded(x, mask=MASK, training=True))[MASK]
    np.testing.assert_allclose(result, plain(frames, training=True), atol=1e-5)
    for one, other in zip(statistics(padded), statistics(plain)):
        np.testing.assert_allclose(one, other, rtol=1e-5)

    axes = tuple(range(frames.ndim - 1))
    moments = frames.mean(axes), frames.var(axes)
    gamma, beta = plain.get_weights()[:2]
    expected = (frames - moments[0]) / np.sqrt(moments[1] + 1e-5) * gamma + beta
    np.testing.assert_allclose(result, expected, atol=1e-4)
    for old, new, moment in zip(before, statistics(padded), moments):
        np.testing.assert_allclose(new, 0.9 * old + 0.1 * moment, rtol=1e-5)


@pytest.mark.parametrize("frozen", [False, True])
def test_inference_leaves_the_statistics(frozen, randomize):
    x = RNG.normal(size=(3, 8, 5)).astype("float32")
    layer = MaskedBatchNormalization(trainable=not frozen)
    layer.build(x.shape)
    randomize(layer)
    before = layer.get_weights()
    gamma, beta, mean, variance = [
        keras.ops.convert_to_numpy(w)
        for w in (layer.gamma, layer.beta, layer.moving_mean, layer.moving_variance)
    ]
    expected = (x - mean) / np.sqrt(variance + 1e-5) * gamma + beta
    for mask in (None, MASK):
        result = layer(x, mask=mask, training=frozen)
        np.testing.assert_allclose(result, expected, atol=1e-5)
    for old, new in zip(before, layer.get_weights()):
        np.testing.assert_array_equal(old, new)


@pytest.mark.parametrize("synchronized", [False, True])
def test_a_full_mask_is_no_mask(synchronized):
    x = RNG.normal(5, size=(3, 8, 5)).astype("float32")
    layer = MaskedBatchNormalization(synchronized=synchronized)
    full = layer(x, mask=np.ones((3, 8), bool), training=True)
    np.testing.assert_allclose(full, layer(x, training=True), atol=1e-5)


def test_statistics_do_not_overflow_in_half_precision():
    x = RNG.normal(0, 1000, size=(3, 8, 5))
    layer = MaskedBatchNormalization(dtype="mixed_float16")
    result = np.array(layer(x.astype("float16"), mask=MASK, training=True))[MASK]
    assert result.dtype == "float16"
    np.testing.assert_allclose(result.std(axis=0), 1, atol=0.01)
    np.testing.assert_allclose(statistics(layer)[1], 0.9 + 0.1 * x[MASK].var(axis=0), rtol=1e-2)


@pytest.mark.parametrize("shape", [(2, 4, 3), (2, 4, 5, 3)])
def test_as_a_keras_layer(check_layer, randomize, shape):
    layer = MaskedBatchNormalization(momentum=0.7, epsilon=1e-4, synchronized=True)
    layer.build(shape)
    check_layer(randomize(layer), RNG.normal(size=shape).astype("float32"))


def test_pytorchs_defaults():
    config = MaskedBatchNormalization().get_config()
    assert (config["momentum"], config["epsilon"]) == (0.9, 1e-5)
