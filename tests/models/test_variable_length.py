"""What every speaker encoder promises of features and lengths, in and out of graphs."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_resnets.datasets import read_audio
from keras_resnets.models import VariableLengthModel

RNG = np.random.default_rng(0)
X = RNG.normal(size=(3, 24, 80)).astype("float32")
LENGTHS = np.array([24, 15, 20])
CLOSE = dict(rtol=1e-4, atol=1e-5)


def padded(fill):
    """`X` with `fill` after each example's length."""
    x = np.pad(X, [(0, 0), (0, 9), (0, 0)])
    x[np.arange(33) >= LENGTHS[:, None]] = fill
    return x


def numpy(x):
    return keras.ops.convert_to_numpy(x)


def relative(x, expected):
    """The largest relative distance of the rows of `x` from those of `expected`."""
    distance = np.linalg.norm(np.subtract(x, expected), axis=-1)
    return np.max(distance / np.linalg.norm(expected, axis=-1))


@pytest.fixture(scope="module")
def waves(speech_sample):
    return np.stack([read_audio(path)[4000:8800] for path in speech_sample.test.paths[:3]])


# --- padding


def test_padded_features(encoder):
    expected = np.concatenate([numpy(encoder(x[None, :n])) for x, n in zip(X, LENGTHS)])
    for fill in (0.0, 1e6, np.nan):
        assert relative(numpy(encoder([padded(fill), LENGTHS])), expected) <= 1e-5
    assert relative(numpy(encoder(padded(1.0))), expected) > 0.01, "the padding would matter"


def test_training_ignores_the_padding(make_encoder, randomize):
    """Loss, gradients and moving statistics are the same, whatever the padding holds."""
    results = []
    for fill in (0.0, 1e6, np.nan):
        keras.utils.set_random_seed(0)
        encoder = randomize(make_encoder())
        with tf.GradientTape() as tape:
            outputs = encoder([padded(fill), LENGTHS], training=True)
            loss = tf.reduce_sum(tf.square(outputs[:, ::2] - 1))
        gradients = tape.gradient(loss, encoder.trainable_variables)
        results.append([loss, *gradients, *encoder.non_trainable_variables])
    for other in results[1:]:
        for one, two in zip(results[0], other):
            np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize("frontend", ["mfcc", "torchaudio_htk", "speechbrain"])
def test_other_front_ends(make_ecapa, randomize, waves, frontend, tmp_path):
    encoder = randomize(make_ecapa("speechbrain", frontend=frontend))
    lengths = np.array([4800, 2000, 3210])
    expected = np.concatenate([numpy(encoder(w[None, :n])) for w, n in zip(waves, lengths)])
    encoder.save(tmp_path / "encoder.keras")
    loaded = keras.saving.load_model(tmp_path / "encoder.keras")
    assert type(loaded) is VariableLengthModel
    for fill in (0.0, 0.7, 1e6):
        batch = np.pad(waves, [(0, 0), (0, 1120)])
        batch[np.arange(5920) >= lengths[:, None]] = fill
        result = numpy(encoder([batch, lengths]))
        assert relative(result, expected) <= 1e-5
        np.testing.assert_array_equal(loaded([batch, lengths]), result)


# --- call forms, shapes, other models


def test_call_forms_are_bit_equal(encoder):
    full, expected = np.full(3, 24), numpy(encoder(X))
    for inputs in ([X], [X, full], (X, full), {"inputs": X}, {"inputs": X, "lengths": full}):
        np.testing.assert_array_equal(encoder(inputs), expected)
    shorter = numpy(encoder([X, LENGTHS]))
    assert np.all(np.any(shorter[1:] != expected[1:], axis=1))
    for lengths in (LENGTHS.tolist(), LENGTHS[:, None], tf.constant(LENGTHS)):
        np.testing.assert_array_equal(encoder([tf.constant(X), lengths]), shorter)


@pytest.mark.parametrize("jit_compile", [False, True])
def test_in_a_graph(encoder, jit_compile):
    """Without one valid frame the embedding is zero; lengths are clipped to the padded size."""
    graph = tf.function(lambda x, n: encoder([x, n]), jit_compile=jit_compile)
    result = graph(X, tf.constant(LENGTHS))
    np.testing.assert_allclose(result, encoder([X, LENGTHS]), **CLOSE)
    result = numpy(graph(X, tf.constant([10**6, 0, -3], "int64")))
    np.testing.assert_allclose(result[0], encoder(X)[0], **CLOSE)
    np.testing.assert_array_equal(result[1:], 0)


def test_shapes_and_summary(encoder):
    for shape in (X.shape, [X.shape, (3,)], {"inputs": X.shape, "lengths": (3,)}):
        assert encoder.compute_output_shape(shape) == (3, 12)
    lines = []
    encoder.summary(print_fn=lines.append)
    assert "zero_empty" in "".join(lines)


def test_inside_a_saved_model(encoder, tmp_path):
    x, n = keras.Input((None, 80)), keras.Input((), dtype="int32")
    for inputs, values in ((x, X), ([x, n], [X, LENGTHS])):
        model = keras.Model(inputs, keras.layers.Dense(2)(encoder(inputs)))
        assert model.output_shape == (None, 2)
        expected = keras.ops.matmul(encoder(values), model.layers[-1].kernel)
        np.testing.assert_allclose(model(values), expected, **CLOSE)
        model.save(tmp_path / "model.keras")
        loaded = keras.saving.load_model(tmp_path / "model.keras")
        np.testing.assert_array_equal(loaded(values), model(values))


def test_order_of_the_batch_and_repetition(encoder):
    order = np.array([2, 0, 1])
    weights, result = encoder.get_weights(), numpy(encoder([X, LENGTHS], training=False))
    np.testing.assert_allclose(encoder([X[order], LENGTHS[order]]), result[order], **CLOSE)
    np.testing.assert_array_equal(encoder([X, LENGTHS]), result)
    for old, new in zip(weights, encoder.get_weights()):
        np.testing.assert_array_equal(old, new)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_mixed_precision(make_encoder, encoder, dtype):
    keras.config.set_dtype_policy(f"mixed_{dtype}")
    half = make_encoder()
    half.set_weights(encoder.get_weights())
    result = half([padded(1e4), LENGTHS])
    assert keras.backend.standardize_dtype(result.dtype) == dtype
    result, expected = numpy(keras.ops.cast(result, "float32")), numpy(encoder([X, LENGTHS]))
    norms = np.linalg.norm(result, axis=1) * np.linalg.norm(expected, axis=1)
    assert np.min(np.sum(result * expected, axis=1) / norms) > 0.999


# --- the shortest examples, and bad ones


@pytest.mark.parametrize("training", [False, True])
def test_shortest_is_finite_in_value_and_gradient(make_encoder, randomize, training):
    """One frame, or the fifteen of an x-vector; among others, and nothing but these."""
    encoder, shortest = randomize(make_encoder()), make_encoder.shortest
    for lengths in (np.array([24, shortest, 20]), np.full(3, shortest)):
        x = tf.constant(X)
        with tf.GradientTape() as tape:
            tape.watch(x)
            result = encoder([x, lengths], training=training)
            loss = tf.reduce_sum(tf.square(result))
        assert np.all(np.isfinite(result))
        for gradient in tape.gradient(loss, [x, *encoder.trainable_variables]):
            assert np.all(np.isfinite(gradient))
    result = numpy(encoder([X, lengths]))
    assert relative(result, numpy(encoder(X[:, :shortest]))) <= 1e-5
    assert np.all(np.linalg.norm(result, axis=1) > 0.1)


def test_speech_shorter_than_a_frame(make_encoder, randomize, waves):
    encoder, shortest = randomize(make_encoder(frontend="kaldi_fbank")), make_encoder.shortest
    shortest = 400 + 160 * (shortest - 1)
    result = numpy(encoder([waves, np.array([4800, shortest, shortest - 1])]))
    assert relative(result[1], numpy(encoder(waves[1:2, :shortest]))[0]) < 1e-5
    np.testing.assert_array_equal(result[2], 0)
    graph = tf.function(lambda wave: encoder(wave), input_signature=[tf.TensorSpec((None, None))])
    for size in (0, shortest - 1):
        np.testing.assert_array_equal(graph(waves[:, :size]), np.zeros((3, 12)))
        with pytest.raises(ValueError, match=r"at least one frame|At least 15 frames"):
            encoder(waves[:, :size])
    expected = numpy(encoder(waves[:, :shortest]))
    assert relative(graph(waves[:, :shortest]), expected) < 1e-5


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_bad_example_spoils_only_itself(encoder, bad):
    x = X.copy()
    x[1, 3, 5] = bad
    for lengths in (None, LENGTHS):
        result = numpy(encoder({"inputs": x, "lengths": lengths}))
        expected = numpy(encoder({"inputs": X, "lengths": lengths}))
        assert not np.any(np.isfinite(result[1]))
        np.testing.assert_allclose(result[[0, 2]], expected[[0, 2]], **CLOSE)


@pytest.fixture(scope="module")
def one_encoder(make_ecapa):
    return make_ecapa()


@pytest.mark.parametrize("lengths", [[24, 0, 20], [24, -1, 20], [24, 25, 20]])
def test_lengths_out_of_range(one_encoder, lengths):
    with pytest.raises(ValueError, match=r"`lengths` must lie between 1 and 24.*Received"):
        one_encoder([X, np.array(lengths)])


@pytest.mark.parametrize("lengths", [[24, 15], [24], [[24, 15, 20]], 24])
def test_one_length_an_example(one_encoder, lengths):
    with pytest.raises(ValueError, match=r"`lengths` must be integers of shape \(batch,\)"):
        one_encoder([X, np.array(lengths)])


@pytest.mark.parametrize(
    "inputs, message",
    [
        (X[..., :40], r"expected shape=\(None, None, 80\), found shape=\(3, 24, 40\)"),
        (X[0], r"[Ee]xpected shape"),
        (X[0].tolist(), r"[Ee]xpected shape|a list of 24"),
        ([X, LENGTHS, LENGTHS], "a list of 3"),
        ([], "a list of 0"),
        ({"x": X}, r"keys=\['x'\]"),
        ({"inputs": X, "length": LENGTHS}, r"keys=\['inputs', 'length'\]"),
        ({"lengths": LENGTHS}, r"keys=\['lengths'\]"),
    ],
    ids=range(8),
)
def test_bad_inputs(one_encoder, inputs, message):
    with pytest.raises(ValueError, match=message):
        one_encoder(inputs)
