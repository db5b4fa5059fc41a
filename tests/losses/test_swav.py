"""Figures of `rule` inputs agree with the official formula and a public implementation."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_resnets.losses import SwAVLoss, sinkhorn_knopp, soft_cross_entropy


@pytest.fixture(scope="module")
def scores(rule, unit):
    return unit(rule(16, 16, 3.0)) @ unit(rule(32, 16, 4.0)).T


def in_float64(scores, epsilon, iterations=3):
    codes = scores.astype("float64") / epsilon
    codes = np.exp(codes - codes.max()).T
    for _ in range(iterations):
        codes /= codes.sum(1, keepdims=True) * len(codes)
        codes /= codes.sum(0, keepdims=True) * codes.shape[1]
    return (codes * codes.shape[1]).T


@pytest.mark.parametrize(
    "epsilon, least, most, largest",
    [
        (0.05, 0.6263, 1.6724, 0.66445),
        (0.03, 0.5510, 1.6508, 0.69960),
        (0.01, 0.5001, 1.7704, 0.81077),
        (0.005, None, None, 0.91426),
        (0.002, None, None, 0.99983),
    ],
)
def test_codes(scores, epsilon, least, most, largest):
    codes = np.array(sinkhorn_knopp(scores, epsilon))
    np.testing.assert_allclose(codes.sum(1), np.ones(16), rtol=1e-5)
    np.testing.assert_allclose(codes.max(), largest, atol=1e-5)
    if least is not None:
        mass = codes.sum(0) * 32 / 16
        np.testing.assert_allclose([mass.min(), mass.max()], [least, most], atol=1e-4)
        np.testing.assert_allclose(codes, in_float64(scores, epsilon), atol=1e-5)


def test_codes_of_scores_that_say_nothing(scores):
    np.testing.assert_allclose(sinkhorn_knopp(np.ones((5, 8))), np.full((5, 8), 1 / 8), rtol=1e-6)
    codes = sinkhorn_knopp(scores)
    np.testing.assert_allclose(sinkhorn_knopp(scores + 3), codes, atol=1e-5)
    shifted = scores + np.linspace(-1, 1, 32)  # a constant for each prototype
    np.testing.assert_allclose(sinkhorn_knopp(shifted), codes, atol=1e-5)


def test_many_iterations_balance_both_ways(scores):
    codes = np.array(sinkhorn_knopp(scores, iterations=200))
    np.testing.assert_allclose(codes.sum(0), np.full(32, 0.5), atol=1e-5)
    np.testing.assert_allclose(codes.sum(1), np.ones(16), atol=1e-5)


def test_stays_finite(scores):
    far = np.ones((16, 32), "float32")
    far[:, 5] = -1
    for case, epsilon in ((scores.astype("float16"), 0.003), (5 * scores, 0.003), (far, 0.02)):
        codes = np.array(sinkhorn_knopp(case, epsilon))
        assert np.all(np.isfinite(codes))
        np.testing.assert_allclose(codes.sum(1), np.ones(16), rtol=1e-5)


def test_samples_without_weight_have_no_influence(scores):
    weights = (np.arange(16) % 3 > 0).astype("float32")
    counted = weights > 0
    codes = np.array(sinkhorn_knopp(scores, weights=weights))
    np.testing.assert_allclose(codes[counted], sinkhorn_knopp(scores[counted]), atol=1e-6)
    assert np.all(np.isfinite(codes))
    assert np.all(np.isfinite(sinkhorn_knopp(scores, weights=np.zeros(16))))


def test_codes_carry_no_gradient(scores):
    scores = tf.constant(scores)
    with tf.GradientTape() as tape:
        tape.watch(scores)
        codes = sinkhorn_knopp(scores)
    assert tape.gradient(codes, scores) is None


def test_two_replicas_share_the_prototypes(scores, two_replicas):
    share = two_replicas.experimental_distribute_values_from_function(
        lambda c: tf.constant(scores)[8 * c.replica_id_in_sync_group :][:8]
    )

    def codes(**kwargs):
        run = tf.function(lambda x: two_replicas.run(lambda x: sinkhorn_knopp(x, **kwargs), (x,)))
        return np.concatenate(two_replicas.experimental_local_results(run(share)))

    np.testing.assert_allclose(codes(), sinkhorn_knopp(scores), atol=1e-6)
    halves = [sinkhorn_knopp(scores[i : i + 8]) for i in (0, 8)]
    np.testing.assert_allclose(codes(distributed=False), np.concatenate(halves), atol=1e-6)


def crops_and_queues(rule, unit):
    prototypes = unit(rule(32, 16, 4.0)).T
    crops = [unit(rule(16, 16, phase)) @ prototypes for phase in range(10, 15)]
    queues = [unit(rule(24, 16, phase)) @ prototypes for phase in (20, 21)]
    return crops, queues


def test_loss(rule, unit):
    crops, queues = crops_and_queues(rule, unit)
    loss = SwAVLoss()
    np.testing.assert_allclose(loss(crops), 10.2750959, rtol=1e-5)
    np.testing.assert_allclose(loss(np.stack(crops)), 10.2750959, rtol=1e-5)
    np.testing.assert_allclose(loss(None, np.stack(crops)), 10.2750959, rtol=1e-5)
    np.testing.assert_allclose(loss(crops, queue=queues), 10.2948208, rtol=1e-5)
    np.testing.assert_allclose(loss(crops[:2]), 6.2603831, rtol=1e-5)
    unfilled = loss(crops, queue=queues, queue_weights=np.zeros(24))
    np.testing.assert_allclose(unfilled, 10.2750959, rtol=1e-5)
    filled = loss(crops, queue=queues, queue_weights=np.ones(24))
    np.testing.assert_allclose(filled, 10.2948208, rtol=1e-5)


def test_collapsed_embeddings_cost_at_least_log_k(rule):
    same = np.tile(rule(1, 32, 1.0), (8, 1))
    np.testing.assert_allclose(SwAVLoss().codes(same), np.full((8, 32), 1 / 32), rtol=1e-5)
    assert SwAVLoss()([same, same]) > np.log(32)
    np.testing.assert_allclose(SwAVLoss()(np.zeros((2, 8, 32))), np.log(32), rtol=1e-6)


def test_hard_codes(rule, unit):
    crops, _ = crops_and_queues(rule, unit)
    hard = np.array(SwAVLoss(hard=True).codes(crops[0]))
    assert set(np.unique(hard)) == {0, 1} and np.all(hard.sum(1) == 1)
    assert np.all(hard.argmax(1) == np.argmax(SwAVLoss().codes(crops[0]), 1))


def test_epsilon_may_be_a_schedule(rule, unit):
    crops, _ = crops_and_queues(rule, unit)
    loss = SwAVLoss(epsilon=lambda: 0.05)
    np.testing.assert_allclose(loss(crops), 10.2750959, rtol=1e-5)
    with pytest.raises(ValueError, match="cannot be saved"):
        loss.get_config()


def test_xla_and_half_precision(rule, unit):
    crops, _ = crops_and_queues(rule, unit)
    compiled = tf.function(SwAVLoss(), jit_compile=True)
    np.testing.assert_allclose(compiled([tf.constant(c) for c in crops]), 10.2750959, rtol=1e-5)
    half = SwAVLoss()([c.astype("float16") for c in crops])
    np.testing.assert_allclose(half, 10.2750959, rtol=1e-3)


def test_debug_names_the_first_bad_row(rule, unit):
    crops, _ = crops_and_queues(rule, unit)
    bad = [crop.copy() for crop in crops]
    bad[3][7, 2] = np.nan  # in a crop without a code
    assert np.isnan(SwAVLoss()(bad))
    loss = SwAVLoss(debug=True)
    np.testing.assert_array_equal(loss(crops), SwAVLoss()(crops))
    with pytest.raises(ValueError, match=r"`scores\[3\]` must be finite.*row 7 is not"):
        loss(bad)
    in_graph = tf.function(loss)
    np.testing.assert_allclose(in_graph([tf.constant(c) for c in crops]), 10.2750959, rtol=1e-5)
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"`scores\[3\]`.*row.*7.*is not"):
        in_graph([tf.constant(c) for c in bad])


def test_saved():
    loss = SwAVLoss(0.2, 0.03, 5, (0,), hard=True, debug=True)
    assert keras.losses.deserialize(keras.losses.serialize(loss)).get_config() == loss.get_config()


def test_bad_input(scores):
    for name in ("temperature", "epsilon"):
        with pytest.raises(ValueError, match=f"`{name}` must be positive"):
            SwAVLoss(**{name: 0})
    with pytest.raises(ValueError, match="`iterations` must be an integer >= 1"):
        SwAVLoss(iterations=0)
    with pytest.raises(ValueError, match="`epsilon` must be positive"):
        sinkhorn_knopp(scores, epsilon=-1)
    with pytest.raises(ValueError, match="samples, prototypes"):
        sinkhorn_knopp(scores[0])
    with pytest.raises(ValueError, match=r"at least two crops\. Received: 1"):
        SwAVLoss()([scores])
    with pytest.raises(ValueError, match=r"`crops_for_assign`.*\(0, 2\)"):
        SwAVLoss(crops_for_assign=(0, 2))([scores, scores])
    bad = scores.copy()
    bad[4, 3] = np.inf
    with pytest.raises(ValueError, match="row 4 is not"):
        sinkhorn_knopp(bad)


def test_soft_cross_entropy(rule):
    logits = rule(6, 5, 1.0) * 10
    hard = np.eye(5, dtype="float32")[np.arange(6) % 5]
    expected = keras.losses.categorical_crossentropy(hard, logits / 0.1, from_logits=True)
    np.testing.assert_allclose(soft_cross_entropy(hard, logits, 0.1), expected, rtol=1e-5)
    half = soft_cross_entropy(hard.astype("float16"), logits.astype("float16"), 0.1)
    assert half.dtype == tf.float32 and np.all(np.isfinite(half))
    with pytest.raises(ValueError, match="`temperature`"):
        soft_cross_entropy(hard, logits, 0)
    with pytest.raises(ValueError, match=r"as many classes.*\(6, 4\)"):
        soft_cross_entropy(hard[:, :4], logits)
