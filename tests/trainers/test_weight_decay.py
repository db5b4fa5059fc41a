import keras
import numpy as np
import pytest
import tensorflow as tf

from trainers.weight_decay import apply_gradients, decay_rates

RATES = [2e-5, 2e-4]


def step(optimizer, gradients=(0.0, 0.0), decoupled=False, jit_compile=False, steps=1):
    """Relative change of two variables under a constant gradient of the scaled loss."""
    variables = [keras.Variable([4.0, -2.0], name="a"), keras.Variable([8.0], name="b")]
    before = [v.numpy() for v in variables]
    optimizer.build(variables)

    @tf.function(jit_compile=jit_compile)
    def run():
        g = [tf.zeros(v.shape) + optimizer.scale_loss(x) for v, x in zip(variables, gradients)]
        apply_gradients(optimizer, g, variables, RATES, decoupled)

    for _ in range(steps):
        run()
    return [(v.numpy() - b) / b for v, b in zip(variables, before)]


def sgd(**kwargs):
    return keras.optimizers.SGD(100.0, **kwargs)


@pytest.mark.parametrize("jit_compile", [False, True])
@pytest.mark.parametrize("decoupled", [False, True])
@pytest.mark.parametrize(
    ("optimizer", "steps"),
    [
        (sgd(), 1),
        (sgd(gradient_accumulation_steps=3), 3),
        (keras.optimizers.LossScaleOptimizer(sgd()), 1),
    ],
)
def test_zero_gradient_moves_each_variable_by_its_rate(optimizer, steps, decoupled, jit_compile):
    optimizer = optimizer.from_config(optimizer.get_config())
    change = step(optimizer, decoupled=decoupled, jit_compile=jit_compile, steps=steps)
    for found, rate in zip(change, RATES):
        np.testing.assert_allclose(found, -100.0 * rate, rtol=1e-4)


@pytest.mark.parametrize("decoupled", [False, True])
def test_nothing_decays_before_an_accumulated_update(decoupled):
    change = step(sgd(gradient_accumulation_steps=3), decoupled=decoupled, steps=2)
    assert not np.any(np.concatenate(change))


@pytest.mark.parametrize("decoupled", [False, True])
def test_nothing_decays_in_a_skipped_step(decoupled):
    optimizer = keras.optimizers.LossScaleOptimizer(sgd())
    change = step(optimizer, gradients=(np.inf, 0.0), decoupled=decoupled)
    assert not np.any(np.concatenate(change))


def test_coupled_decay_is_normalised_by_adam_and_decoupled_decay_is_not():
    coupled = step(keras.optimizers.Adam(0.01))
    np.testing.assert_allclose(coupled[0], [-0.01 / 4, -0.01 / 2], rtol=0.1)
    decoupled = step(keras.optimizers.Adam(0.01), decoupled=True)
    np.testing.assert_allclose(decoupled[0], -0.01 * 2e-5, rtol=0.2)


def test_rates_by_scope_and_layer():
    dense, norm = keras.layers.Dense(2), keras.layers.BatchNormalization()
    head = keras.layers.Dense(4)
    for layer, width in ((dense, 3), (norm, 2), (head, 2)):
        layer.build((None, width))
    variables = [v for layer in (dense, norm, head) for v in layer.trainable_variables]
    assert decay_rates(variables, 0.1, "all", [(head, 0.2)]) == [0.1] * 4 + [0.2] * 2
    assert decay_rates(variables, 0.1, "kernels", [(head, 0.2)]) == [0.1, 0, 0, 0, 0.2, 0]
    with pytest.raises(ValueError, match="scope"):
        decay_rates(variables, 0.1, "weights")
