"""Blocks as a loop over stacked weights, against the same blocks one after another."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_resnets.layers import BatchNorm2D, StackedBlocks

COUNT = 4


def pattern(number=2, dropout=0.0):
    x = keras.Input((6, 6, 3))
    y = keras.layers.Conv2D(3, 3, padding="same", name=f"block{number}_conv")(x)
    y = BatchNorm2D(name=f"block{number}_norm", gamma_initializer="random_normal")(y)
    if dropout:
        y = keras.layers.Dropout(dropout, name=f"block{number}_dropout")(y)
    return keras.Model(x, keras.layers.Add()([x, keras.layers.Activation("tanh")(y)]))


@pytest.fixture
def stacked():
    layer = StackedBlocks(pattern(), COUNT)
    layer.build((None, 6, 6, 3))
    return layer


@pytest.fixture
def chain(stacked):
    """The blocks one after another, with the weights of `stacked`."""
    blocks = [pattern() for _ in range(COUNT)]
    for i, block in enumerate(blocks):
        for weight, (variable, *_) in zip(
            [*block.trainable_variables, *block.non_trainable_variables], stacked.parts
        ):
            weight.assign(variable[i])
    x = keras.Input((6, 6, 3))
    y = x
    for block in blocks:
        y = block(y)
    return keras.Model(x, y)


def images(n=2):
    return np.random.default_rng(0).standard_normal((n, 6, 6, 3)).astype("float32")


def unstacked(values):
    """Arrays of every weight, block by block, as `chain` has them."""
    return [np.asarray(value)[i] for i in range(COUNT) for value in values]


@pytest.mark.parametrize("graph", [False, True])
def test_equals_the_chain(stacked, chain, graph):
    x = tf.constant(images())

    def values_and_gradients(layer):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = layer(x, training=True)
            loss = tf.reduce_sum(y**2)
        gradients = tape.gradient(loss, [x, *(v.value for v in layer.trainable_variables)])
        return y, *gradients

    step = tf.function(values_and_gradients) if graph else values_and_gradients
    (y, dx, *ours), (y_chain, dx_chain, *theirs) = step(stacked), step(chain)
    np.testing.assert_allclose(y, y_chain, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(dx, dx_chain, rtol=1e-5, atol=1e-5)
    for a, b in zip(unstacked(ours), theirs, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-4)
    moving = unstacked(stacked.non_trainable_variables)
    for a, b in zip(moving, chain.non_trainable_variables, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(stacked(x), chain(x), rtol=1e-5, atol=1e-6)


def test_weights_have_the_blocks_names_and_differ(stacked):
    names = [variable.path.partition("/")[2] for variable in stacked.weights]
    assert names[:2] == ["block2_conv/kernel", "block2_conv/bias"]
    kernel, _, gamma, *_ = (np.asarray(v) for v in stacked.weights)
    assert kernel.shape == (COUNT, 3, 3, 3, 3) and gamma.shape == (COUNT, 3)
    assert len({*kernel.std((1, 2, 3, 4))}) == len({*gamma.std(1)}) == COUNT
    assert stacked.name_in_block("block2_conv", 3) == "block5_conv"
    assert stacked.name_in_block("dense", 3) == "dense[3]"
    assert not stacked.non_trainable_variables[0].trainable


def test_only_training_changes_the_statistics(stacked):
    before = [keras.ops.convert_to_numpy(v) for v in stacked.non_trainable_variables]
    stacked(images())
    stacked.trainable = False
    stacked(images(), training=True)
    for old, new in zip(before, stacked.weights[-2:]):
        np.testing.assert_array_equal(old, new)
    stacked.trainable = True
    stacked(images(), training=True)
    assert not np.allclose(before[0], stacked.non_trainable_variables[0])


def test_frozen_variables_get_no_gradient(stacked):
    everything = stacked.trainable_variables
    for variable in everything:
        variable.trainable = variable.name == "gamma"
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(stacked(images(), training=True) ** 2)
    gradients = tape.gradient(loss, [v.value for v in everything])
    assert [g is not None for g in gradients] == [v.name == "gamma" for v in everything]


def test_every_block_drops_other_units():
    layer = StackedBlocks(pattern(dropout=0.5), COUNT)
    layer.build((None, 6, 6, 3))
    (state,) = [v for v in layer.variables if "seed" in v.name]
    seeds = keras.ops.convert_to_numpy(state)
    assert len({*map(tuple, seeds)}) == COUNT
    assert not np.allclose(layer(images(), training=True), layer(images(), training=True))
    assert (seeds != keras.ops.convert_to_numpy(state)).any(axis=1).all()


def test_saves(stacked, tmp_path):
    x = keras.Input((6, 6, 3))
    model = keras.Model(x, stacked(x))
    assert model.output_shape == (None, 6, 6, 3)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded(images()), model(images()))
    assert [w.path for w in loaded.weights] == [w.path for w in model.weights]


def test_compiled_by_xla(stacked, chain):
    x = tf.constant(images())
    compiled = tf.function(lambda x: stacked(x, training=True), jit_compile=True)
    np.testing.assert_allclose(compiled(x), chain(x, training=True), rtol=1e-4, atol=1e-5)


def test_bad_arguments():
    with pytest.raises(ValueError, match="`count` must be a positive integer"):
        StackedBlocks(pattern(), 0)
    x = keras.Input((4,))
    with pytest.raises(ValueError, match=r"`block` must keep the shape.*\(None, 5\)"):
        StackedBlocks(keras.Model(x, keras.layers.Dense(5)(x)), 2)
