"""Figures of `rule` inputs agree with two public implementations, and closed forms."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_resnets.losses import MultiCropNTXent, NTXent


@pytest.mark.parametrize(
    "temperature, value, norms",
    [
        (0.1, 5.1171894, (1.3091817, 1.3567882)),
        (0.5, 2.6257882, (0.2481970, 0.2565159)),
        (1.0, 2.5863414, (0.1251822, 0.1314136)),
    ],
)
def test_value_and_gradient(rule, temperature, value, norms):
    views = [tf.constant(rule(8, 16, phase)) for phase in (1.0, 2.0)]
    loss = NTXent(temperature)
    with tf.GradientTape() as tape:
        tape.watch(views)
        found = loss(*views)
    gradients = tape.gradient(found, views)
    np.testing.assert_allclose(found, value, rtol=1e-5)
    np.testing.assert_allclose([tf.norm(g) for g in gradients], norms, rtol=1e-5)
    for view, gradient in zip(views, gradients):  # the length of a row has no influence
        np.testing.assert_allclose(tf.reduce_sum(view * gradient, 1), np.zeros(8), atol=1e-6)


def test_closed_forms():
    orthonormal = np.eye(8, 16, dtype="float32")
    np.testing.assert_allclose(NTXent(0.1)(orthonormal, orthonormal), 6.3540e-4, rtol=1e-3)
    np.testing.assert_allclose(NTXent(1.0)(orthonormal, orthonormal), 1.8165028, rtol=1e-6)
    same = np.ones((8, 4), "float32")
    np.testing.assert_allclose(NTXent(0.1)(same, same), np.log(15), rtol=1e-6)
    nothing = np.zeros((8, 4), "float32")
    np.testing.assert_allclose(NTXent(0.1)(nothing, nothing), np.log(15), rtol=1e-6)


def test_zero_rows_have_finite_gradients():
    nothing = tf.zeros((4, 3))
    with tf.GradientTape() as tape:
        tape.watch(nothing)
        loss = NTXent(0.1)(nothing, nothing)
    assert np.all(np.isfinite(tape.gradient(loss, nothing)))


def test_invariances(rule):
    a, b = rule(8, 16, 1.0), rule(8, 16, 2.0)
    loss, order = NTXent(0.2), np.random.default_rng(0).permutation(8)
    value = loss(a, b)
    np.testing.assert_allclose(loss(b, a), value, rtol=1e-6)
    np.testing.assert_allclose(loss(a[order], b[order]), value, rtol=1e-6)
    np.testing.assert_allclose(loss(a * np.arange(1, 9)[:, None], 7 * b), value, rtol=1e-5)
    np.testing.assert_allclose(NTXent(0.2, loss_scale=2.0)(a, b), 2 * value, rtol=1e-6)
    each = NTXent(0.2, reduction=None)(a, b)
    assert each.shape == (8,)
    np.testing.assert_allclose(np.mean(each), value, rtol=1e-6)


def test_one_image_has_nothing_to_learn():
    with pytest.warns(UserWarning, match="no negatives"):
        assert float(NTXent(0.1)(np.ones((1, 4)), np.ones((1, 4)))) == 0


def test_half_precision_is_computed_in_float32(rule):
    a, b = rule(8, 16, 1.0).astype("float16"), rule(8, 16, 2.0).astype("float16")
    value = NTXent(0.01)(a, b)
    assert value.dtype == tf.float32
    np.testing.assert_allclose(
        value, NTXent(0.01)(a.astype("float32"), b.astype("float32")), rtol=1e-6
    )


def test_not_a_number_is_passed_on(rule):
    a = rule(8, 16, 1.0)
    a[3, 2] = np.nan
    assert np.isnan(NTXent(0.1)(a, rule(8, 16, 2.0)))


def test_debug_names_the_first_bad_row(rule):
    a, b = rule(8, 16, 1.0), rule(8, 16, 2.0)
    bad = a.copy()
    bad[5, 2], bad[3, 0] = np.nan, np.inf
    loss = NTXent(0.1, debug=True)
    np.testing.assert_array_equal(loss(a, b), NTXent(0.1)(a, b))
    assert loss.get_config()["debug"]
    with pytest.raises(ValueError, match=r"`y_true` must be finite\. Received: row 3 is not"):
        loss(bad, b)
    in_graph = tf.function(loss)
    np.testing.assert_allclose(in_graph(tf.constant(a), tf.constant(b)), loss(a, b), rtol=1e-6)
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"`y_pred`.*row.*3.*is not"):
        in_graph(tf.constant(a), tf.constant(bad))
    assert np.isnan(tf.function(NTXent(0.1))(tf.constant(bad), tf.constant(b)))


def test_two_replicas_see_one_batch(rule, two_replicas):
    a, b = rule(8, 16, 1.0), rule(8, 16, 2.0)

    def values(loss, a, b):
        def function(a, b):
            with tf.GradientTape() as tape:
                tape.watch([a, b])
                value = loss(a, b)
            return value, tape.gradient(value, [a, b])

        def share(array):
            return two_replicas.experimental_distribute_values_from_function(
                lambda c: tf.constant(array)[4 * c.replica_id_in_sync_group :][:4]
            )

        value, gradients = tf.function(lambda *x: two_replicas.run(function, x))(share(a), share(b))
        local = two_replicas.experimental_local_results
        # Keras divides a replica's mean by the number of replicas
        return np.sum(local(value)), [np.concatenate(local(g)) for g in gradients]

    views = [tf.constant(a), tf.constant(b)]
    with tf.GradientTape() as tape:
        tape.watch(views)
        one = NTXent(0.1)(*views)
    two, gradients = values(NTXent(0.1), a, b)
    np.testing.assert_allclose(two, one, rtol=1e-6)
    for theirs, ours in zip(gradients, tape.gradient(one, views)):
        np.testing.assert_allclose(theirs, ours, rtol=1e-4, atol=1e-6)
    local, _ = values(NTXent(0.1, gather=False), a, b)
    halves = [NTXent(0.1)(a[i : i + 4], b[i : i + 4]) for i in (0, 4)]
    np.testing.assert_allclose(local, np.mean(halves), rtol=1e-6)
    assert abs(local - two) > 0.1


def test_multi_crop_by_hand(rule):
    """Every anchor, every positive, the negatives of other images: three loops."""
    crops = np.stack([rule(4, 8, phase) for phase in (1.0, 2.0, 3.0)])
    units = crops / np.linalg.norm(crops, axis=-1, keepdims=True)
    losses = []
    for v in range(3):
        for i in range(4):
            negatives = sum(
                np.exp(units[v, i] @ units[u, j] / 0.2)
                for u in range(3)
                for j in range(4)
                if j != i
            )
            for u in range(3):
                if u != v:
                    positive = np.exp(units[v, i] @ units[u, i] / 0.2)
                    losses.append(-np.log(positive / (positive + negatives)))
    loss = MultiCropNTXent(0.2)
    np.testing.assert_allclose(loss(crops), np.mean(losses), rtol=1e-5)
    np.testing.assert_allclose(loss(list(crops)), np.mean(losses), rtol=1e-5)
    np.testing.assert_allclose(loss(None, crops), np.mean(losses), rtol=1e-5)


def test_two_crops_are_two_views_but_for_the_other_positive(rule):
    a, b = rule(8, 16, 1.0), rule(8, 16, 2.0)
    np.testing.assert_allclose(MultiCropNTXent(0.1)([a, b]), NTXent(0.1)(a, b), rtol=1e-5)


def test_xla(rule):
    a, b = rule(8, 16, 1.0), rule(8, 16, 2.0)
    for loss in (NTXent(0.1), lambda a, b: MultiCropNTXent(0.1)([a, b])):
        compiled = tf.function(loss, jit_compile=True)
        np.testing.assert_allclose(compiled(tf.constant(a), tf.constant(b)), 5.1171894, rtol=1e-5)


def test_saved(rule):
    for loss in (NTXent(0.3, loss_scale=2.0, gather=False), MultiCropNTXent(0.3, gather=False)):
        again = keras.losses.deserialize(keras.losses.serialize(loss))
        assert again.get_config() == loss.get_config()


def test_bad_input():
    views = np.ones((4, 3), "float32")
    for kind in (NTXent, MultiCropNTXent):
        for temperature in (0, -1, np.nan):
            with pytest.raises(ValueError, match="`temperature` must be positive"):
                kind(temperature)
    with pytest.raises(ValueError, match=r"one shape.*\(4, 3\), \(5, 3\)"):
        NTXent()(views, np.ones((5, 3), "float32"))
    with pytest.raises(ValueError, match=r"one shape.*\(4, 3\), \(4, 2\)"):
        NTXent()(views, np.ones((4, 2), "float32"))
    with pytest.raises(ValueError, match=r"at least two\. Received: 1"):
        MultiCropNTXent()([views])
