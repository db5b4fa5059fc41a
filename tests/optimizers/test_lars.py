"""The published optimizers' own steps, and what a Keras optimizer must also do."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_resnets.optimizers import LARS

# after one and three steps at rate 0.1, decay 0.1, momentum 0.9
STEPS = {
    "classic": (
        {},
        [[[2.9997, 3.9996]], [0.95, -2.05], [[-0.1, -0.1]]],
        [[[2.9983172, 3.9977560]], [0.7195, -2.2805], [[-0.271038, -0.271038]]],
    ),
    "classic, Nesterov": (
        dict(nesterov=True),
        None,
        [[[2.9975855, 3.9967809]], [0.59755, -2.40245], [[-0.344003, -0.344003]]],
    ),
    "popular": (
        dict(classic_momentum=False),
        None,
        [[[2.9991002, 3.9988000]], [0.7195, -2.2805], [[-0.10002, -0.10002]]],
    ),
    "popular, Nesterov": (
        dict(classic_momentum=False, nesterov=True),
        None,
        [[[2.9991002, 3.9988000]], [0.59755, -2.40245], [[-0.190038, -0.190038]]],
    ),
    "LARC": (
        dict(variant="larc"),
        [[[2.9997, 3.9996]], [0.99985588, -2.00007200], [[-0.1, -0.1]]],
        [[[2.9983172, 3.9977560]], [0.99919134, -2.00040412], [[-0.27103692, -0.27103692]]],
    ),
}
START = [[[3.0, 4.0]], [1.0, -2.0], [[0.0, 0.0]]]
GRADIENTS = [[[0.6, 0.8]], [0.5, 0.5], [[1.0, 1.0]]]


def stepped(optimizer, steps, jit=False):
    variables = [keras.Variable(v, dtype="float32") for v in START]
    optimizer.build(variables)
    step = tf.function(lambda *g: optimizer.apply(g, variables), jit_compile=jit)
    for _ in range(steps):
        step(*[tf.constant(g) for g in GRADIENTS])
    return [v.numpy() for v in variables]


@pytest.mark.parametrize("jit", (False, True))
@pytest.mark.parametrize("mode", STEPS)
def test_steps(mode, jit):
    options, one, three = STEPS[mode]
    for steps, expected in ((1, one), (3, three)):
        if expected is not None:
            found = stepped(LARS(0.1, weight_decay=0.1, **options), steps, jit)
            for ours, theirs in zip(found, expected, strict=True):
                np.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=1e-6)


def network():
    return keras.Sequential(
        [
            keras.Input((6,)),
            keras.layers.Dense(4, name="hidden"),
            keras.layers.BatchNormalization(),
            keras.layers.Dense(3, name="head_supervised"),
        ],
        name="net",
    )


def test_excluded_in_a_real_network():
    model = network()
    names = lambda o: [v.path for v in model.trainable_variables if o.excluded(v)]  # noqa: E731
    vectors = [v.path for v in model.trainable_variables if v.name != "kernel"]
    assert names(LARS()) == vectors and len(vectors) == 4
    assert names(LARS(exclude=("vectors", "head_supervised"))) == [
        *vectors[:-1],
        "net/head_supervised/kernel",
        "net/head_supervised/bias",
    ]
    assert names(LARS(variant="larc")) == []


@pytest.mark.parametrize(
    "options",
    (
        dict(gradient_accumulation_steps=2),
        dict(clipnorm=0.1),
        dict(use_ema=True),
        dict(global_clipnorm=0.1),
    ),
    ids=str,
)
def test_options_of_keras(options):
    model = network()
    model.compile(LARS(0.1, weight_decay=1e-4, **options), "mse")
    x, y = np.random.rand(8, 6), np.random.rand(8, 3)
    losses = model.fit(x, y, batch_size=4, epochs=5, verbose=0).history["loss"]
    assert np.all(np.isfinite(losses)) and losses[-1] < losses[0]


def test_accumulated_gradients_equal_the_whole_batch():
    x, y = np.random.rand(8, 6).astype("float32"), np.random.rand(8, 3)

    def train(batch, **options):
        keras.utils.set_random_seed(1)
        model = keras.Sequential([keras.Input((6,)), keras.layers.Dense(3)])
        model.compile(LARS(0.1, weight_decay=1e-4, **options), "mse")
        model.fit(x, y, batch_size=batch, epochs=3, shuffle=False, verbose=0)
        return model.get_weights()

    for one, two in zip(train(8), train(4, gradient_accumulation_steps=2), strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-5, atol=1e-6)


def test_saved_in_mid_training(tmp_path):
    x, y = np.random.rand(8, 6), np.random.rand(8, 3)
    model = network()
    model.compile(LARS(0.1, weight_decay=1e-4, variant="larc", exclude="bias"), "mse")
    model.fit(x, y, epochs=2, verbose=0)
    model.save(tmp_path / "m.keras")
    again = keras.models.load_model(tmp_path / "m.keras")
    assert again.optimizer.get_config() == model.optimizer.get_config()
    for each in (model, again):
        each.fit(x, y, epochs=2, shuffle=False, verbose=0)
    for ours, theirs in zip(model.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_frozen_in_between():
    model = network()
    optimizer = LARS(0.1)
    optimizer.build(model.trainable_variables)
    some = model.trainable_variables[:1]
    optimizer.apply([np.ones(v.shape, "float32") for v in some], some)
    assert int(optimizer.iterations) == 1


def test_loss_scaling():
    optimizer = keras.optimizers.LossScaleOptimizer(LARS(0.1, weight_decay=0.1), initial_scale=8.0)
    kernel = keras.Variable([[3.0, 4.0]])
    optimizer.build([kernel])
    optimizer.apply([tf.constant([[0.6, 0.8]]) * 8], [kernel])
    np.testing.assert_allclose(kernel.numpy(), [[2.9997, 3.9996]], rtol=1e-6)


def test_bad_input():
    for options, match in (
        (dict(variant="lamb"), "`variant` must be one of"),
        (dict(momentum=1.0), r"`momentum` must be in \[0, 1\)"),
        (dict(trust_coefficient=0), "`trust_coefficient` must be positive"),
        (dict(weight_decay=-1), "`weight_decay` must be finite and not negative"),
    ):
        with pytest.raises(ValueError, match=match):
            LARS(**options)
    table = keras.Variable(np.ones((4, 2)), name="table")
    optimizer = LARS(0.1)
    optimizer.build([table])
    sparse = tf.IndexedSlices(tf.ones((1, 2)), [1], (4, 2))
    with pytest.raises(ValueError, match=r"dense gradients.*IndexedSlices"):
        optimizer.apply([sparse], [table])


def test_multipliers_are_rates_of_their_own():
    """As SGD with momentum whose variables have a rate each; a second pattern multiplies."""
    optimizer = LARS(0.1, exclude=(".*",), multipliers={"head": 20.0, "bias": 0.5})
    names = {"body_kernel": 0.1, "head_kernel": 2.0, "head_bias": 1.0}
    variables = [keras.Variable([[1.0, 2.0]], name=name) for name in names]
    optimizer.build(variables)
    for _ in range(3):
        optimizer.apply([tf.constant([[0.3, -0.2]])] * 3, variables)
    for variable, rate in zip(variables, names.values()):
        plain = keras.Variable([[1.0, 2.0]])
        sgd = keras.optimizers.SGD(rate, momentum=0.9)
        for _ in range(3):
            sgd.apply([tf.constant([[0.3, -0.2]])], [plain])
        np.testing.assert_allclose(variable, plain, rtol=1e-6)
    again = LARS.from_config(optimizer.get_config())
    assert again.multipliers == {"head": 20.0, "bias": 0.5}
    with pytest.raises(ValueError, match="`multipliers` must be finite"):
        LARS(multipliers={"head": -1.0})
