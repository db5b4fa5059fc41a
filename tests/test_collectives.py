import keras
import numpy as np
import tensorflow as tf

from keras_resnets.collectives import (
    cross_replica_concat,
    cross_replica_mean,
    replica_count,
    replica_index,
)
from keras_resnets.layers import MaskedBatchNormalization

RNG = np.random.default_rng(0)


def on_each(strategy, function, *arrays):
    """`function` on each replica's share of the rows of `arrays`: its results, in order."""
    rows = len(arrays[0]) // strategy.num_replicas_in_sync

    def share(array):
        return strategy.experimental_distribute_values_from_function(
            lambda c: tf.constant(array)[rows * c.replica_id_in_sync_group :][:rows]
        )

    results = tf.function(lambda *args: strategy.run(function, args))(*map(share, arrays))
    return [strategy.experimental_local_results(result) for result in results]


def test_mean_over_replicas_and_its_gradient(two_replicas):
    def function(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            mean = cross_replica_mean(x)
            loss = tf.reduce_sum(mean * tf.stop_gradient(x))
        return mean, tape.gradient(loss, x), tf.constant(replica_count())

    x = np.array([[1.0, 2.0], [5.0, 8.0]], "float32")
    means, gradients, counts = on_each(two_replicas, function, x)
    for mean, gradient, count in zip(means, gradients, counts):
        np.testing.assert_allclose(mean, [[3.0, 5.0]])
        np.testing.assert_allclose(gradient, [[3.0, 5.0]])
        assert int(count) == 2
    assert cross_replica_mean(x) is x
    assert replica_count() == 1


def test_rows_of_all_replicas_and_their_gradient(two_replicas):
    """Each row gets the gradients of every replica that used it."""

    def function(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            rows = cross_replica_concat(x)
            loss = tf.reduce_sum(rows * (1.0 + tf.cast(replica_index(), tf.float32)))
        return rows, tape.gradient(loss, x), tf.identity(replica_index())

    x = np.arange(8, dtype="float32").reshape(4, 2)
    rows, gradients, places = on_each(two_replicas, function, x)
    for each, gradient in zip(rows, gradients):
        np.testing.assert_array_equal(each, x)
        np.testing.assert_array_equal(gradient, np.full((2, 2), 3.0))
    assert [int(place) for place in places] == [0, 1]
    assert cross_replica_concat(x) is x and replica_index() == 0


def test_synchronised_statistics_with_a_mask_equal_one_device(two_replicas):
    """Output, moving statistics, and the gradients of inputs, scale and offset."""
    x = RNG.normal(2, 3, size=(4, 6, 5)).astype("float32")
    mask = np.arange(6) < np.array([6, 1, 2, 4])[:, None]
    x[~mask] = 1e6
    target = RNG.normal(size=x.shape).astype("float32") * mask[..., None]

    def make():
        layer = MaskedBatchNormalization(synchronized=True)
        layer.build(x.shape)
        layer.gamma.assign(np.arange(1.0, 6.0))
        return layer

    def step(layer):
        def function(x, mask, target):
            with tf.GradientTape() as tape:
                tape.watch(x)
                y = layer(x, mask=mask, training=True)
                loss = tf.reduce_sum(y * target)
            gradients = tape.gradient(loss, [x, layer.gamma.value, layer.beta.value])
            return y, *gradients

        return function

    one = make()
    y, dx, dgamma, dbeta = step(one)(tf.constant(x), tf.constant(mask), tf.constant(target))
    with two_replicas.scope():
        two = make()
    ys, dxs, dgammas, dbetas = on_each(two_replicas, step(two), x, mask, target)
    close = dict(rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(np.concatenate(ys)[mask], np.array(y)[mask], **close)
    np.testing.assert_allclose(np.concatenate(dxs), dx, **close)
    np.testing.assert_allclose(sum(map(np.array, dgammas)), dgamma, **close)
    np.testing.assert_allclose(sum(map(np.array, dbetas)), dbeta, **close)
    frames = x[mask].astype("float64")
    for layer in (one, two):
        mean, variance = layer.get_weights()[2:]
        np.testing.assert_allclose(mean, 0.1 * frames.mean(axis=0), rtol=1e-5)
        np.testing.assert_allclose(variance, 0.9 + 0.1 * frames.var(axis=0), rtol=1e-5)


def test_without_synchronisation_each_replica_has_its_own(two_replicas):
    """The other test would pass on nothing, were the shares alike."""
    x = RNG.normal(size=(4, 6, 5)).astype("float32") + np.array([0, 0, 9, 9])[:, None, None]
    x, mask = x.astype("float32"), np.ones((4, 6), bool)
    for synchronized in (True, False):
        with two_replicas.scope():
            layer = MaskedBatchNormalization(synchronized=synchronized)
            layer.build(x.shape)
        run = lambda x, mask: (layer(x, mask=mask, training=True),)  # noqa: B023, E731
        (ys,) = on_each(two_replicas, run, x, mask)
        means = [float(keras.ops.mean(y)) for y in ys]
        assert np.allclose(means, 0, atol=1e-4) is not synchronized
