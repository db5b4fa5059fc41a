import json
import math

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_resnets.optimizers import CyclicalLearningRate, PiecewiseEpochs, WarmupCosine

PAPER = CyclicalLearningRate(1e-8, 1e-3, step_size=65_000, mode="triangular2")
SCHEDULES = [
    PAPER,
    CyclicalLearningRate(1e-8, 1e-3, 100, mode="triangular"),
    CyclicalLearningRate(1e-8, 1e-3, 100, mode="exp_range", gamma=0.999),
    WarmupCosine(0.4, total_steps=1000, warmup_steps=100, start=0.01, end=0.001),
    WarmupCosine(0.4, total_steps=1000),
    PiecewiseEpochs([30, 60], [0.4, 0.04, 0.004], steps_per_epoch=7),
]


@pytest.mark.parametrize(
    "step, rate",
    [
        (0, 1e-8),
        (32_500, 5.00005e-4),
        (65_000, 1e-3),
        (130_000, 1e-8),
        (195_000, 5.00005e-4),
        (325_000, 2.500075e-4),
        (455_000, 1.2500875e-4),
        (520_000, 1e-8),
    ],
)
def test_table_of_the_paper_schedule(step, rate):
    assert float(PAPER(step)) == pytest.approx(rate, rel=1e-6)


def formula(t, base, peak, size, mode, gamma=1.0):
    cycle = math.floor(1 + t / (2 * size))
    x = abs(t / size - 2 * cycle + 1)
    f = {"triangular": 1.0, "triangular2": 2.0 ** (1 - cycle), "exp_range": gamma**t}[mode]
    return base + (peak - base) * max(0.0, 1 - x) * f


@pytest.mark.parametrize("mode", ["triangular", "triangular2", "exp_range"])
def test_cyclical_modes_follow_the_formula(mode):
    schedule = CyclicalLearningRate(1e-4, 1e-2, step_size=37, mode=mode, gamma=0.99)
    for step in range(400):
        expected = formula(step, 1e-4, 1e-2, 37, mode, gamma=0.99)
        assert float(schedule(step)) == pytest.approx(expected, rel=2e-6)


@pytest.mark.parametrize("start", [2**24, 2**31 - 5, 2**40])
@pytest.mark.parametrize("jit_compile", [False, True])
def test_no_step_is_lost_in_a_long_training(start, jit_compile):
    schedule = CyclicalLearningRate(0.0, 1.0, step_size=10, mode="triangular")
    compiled = tf.function(schedule, jit_compile=jit_compile)
    rates = [float(compiled(tf.constant(start + i, tf.int64))) for i in range(21)]
    expected = [min((start + i) % 20, 20 - (start + i) % 20) / 10 for i in range(21)]
    np.testing.assert_allclose(rates, expected, rtol=1e-6)


@pytest.mark.parametrize("schedule", SCHEDULES, ids=lambda s: s.name)
def test_step_types_agree(schedule):
    for step in (0, 5, 150, 429):
        rate = schedule(step)
        assert keras.backend.standardize_dtype(rate.dtype) == "float32" and rate.shape == ()
        for same in (np.int64(step), tf.constant(step, tf.int64), tf.Variable(step), float(step)):
            assert float(schedule(same)) == float(rate)
        assert float(schedule(tf.constant(float(step)))) == float(rate)


@pytest.mark.parametrize("schedule", SCHEDULES, ids=lambda s: s.name)
def test_serialization(schedule):
    config = keras.saving.serialize_keras_object(schedule)
    assert config["registered_name"].startswith("keras_resnets>")
    copy = keras.saving.deserialize_keras_object(json.loads(json.dumps(config)))
    assert copy.get_config() == schedule.get_config()
    assert float(copy(123)) == float(schedule(123))


@pytest.mark.parametrize("schedule", SCHEDULES, ids=lambda s: s.name)
@pytest.mark.parametrize("jit_compile", [False, True])
def test_sgd_moves_by_the_scheduled_rate(schedule, jit_compile):
    """With a loss gradient of 1 at every step the weight falls by the sum of the rates."""
    optimizer = keras.optimizers.SGD(schedule)
    weight = keras.Variable(0.0)
    optimizer.build([weight])

    @tf.function(jit_compile=jit_compile)
    def step():
        optimizer.apply([tf.constant(1.0)])

    for _ in range(5):
        step()
    total = sum(float(schedule(step)) for step in range(5))
    assert float(weight.value) == pytest.approx(-total, rel=1e-5)


def test_saved_model_keeps_its_schedule(tmp_path):
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.Adam(PAPER), "mse")
    model.fit(np.ones((4, 1)), np.ones((4, 1)), verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert loaded.optimizer._learning_rate.get_config() == PAPER.get_config()
    assert int(loaded.optimizer.iterations) == 1


@pytest.mark.parametrize(
    "step, rate",
    [(0, 0.1), (50, 0.55), (100, 1.0), (550, 0.525), (1000, 0.05), (1001, 0.05), (10**9, 0.05)],
)
def test_warmup_cosine(step, rate):
    schedule = WarmupCosine(1.0, total_steps=1000, warmup_steps=100, start=0.1, end=0.05)
    assert float(schedule(step)) == pytest.approx(rate, rel=1e-6)


def test_warmup_cosine_of_simclr():
    """Rate 0 at the first step, then peak * step / warmup, then half a cosine to 0."""
    peak, total, warmup = 0.075 * math.sqrt(4096), 500, 60
    assert peak == pytest.approx(0.3 * 4096 / 256)
    schedule = WarmupCosine(peak, total, warmup)
    for step in range(total + 1):
        if step < warmup:
            expected = peak * step / warmup
        else:
            expected = 0.5 * peak * (1 + math.cos(math.pi * (step - warmup) / (total - warmup)))
        assert float(schedule(step)) == pytest.approx(expected, abs=1e-6 * peak)


def test_cosine_without_warmup_equals_keras():
    ours, theirs = WarmupCosine(0.3, 200), keras.optimizers.schedules.CosineDecay(0.3, 200)
    for step in (0, 1, 77, 199, 200, 300):
        assert float(ours(step)) == pytest.approx(float(theirs(step)), abs=1e-7)


def test_piecewise_epochs():
    schedule = PiecewiseEpochs([(0, 100, 0.01), (101, 300, 0.001)])
    for epoch, rate in ((0, 0.01), (100, 0.01), (101, 0.001), (300, 0.001), (301, 0.001)):
        assert float(schedule(epoch)) == pytest.approx(rate)
    schedule = PiecewiseEpochs([30, 60, 80], [0.4, 0.04, 0.004, 0.0004], steps_per_epoch=1000)
    for step, rate in ((29_999, 0.4), (30_000, 0.04), (79_999, 0.004), (2**40, 0.0004)):
        assert float(schedule(tf.constant(step, tf.int64))) == pytest.approx(rate)
    assert float(PiecewiseEpochs([], [0.1])(5)) == pytest.approx(0.1)


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: CyclicalLearningRate(1e-3, 1e-8, 10), "`max_learning_rate` must not be below"),
        (lambda: CyclicalLearningRate(-1, 1, 10), "`base_learning_rate` must be finite"),
        (lambda: CyclicalLearningRate(0, 1, 0), "`step_size` must be an integer >= 1"),
        (lambda: CyclicalLearningRate(0, 1, 1.5), "`step_size` must be an integer >= 1"),
        (lambda: CyclicalLearningRate(0, 1, 10, mode="sine"), "triangular2.*mode='sine'"),
        (lambda: CyclicalLearningRate(0, 1, 10, gamma=0), r"`gamma` must be in \(0, 1\]"),
        (lambda: WarmupCosine(0.1, 100, 100), "`warmup_steps` must be below `total_steps`"),
        (lambda: WarmupCosine(0.1, 0), "`total_steps` must be an integer >= 1"),
        (lambda: WarmupCosine(float("nan"), 10), "`peak` must be finite"),
        (lambda: PiecewiseEpochs([60, 30], [1, 2, 3]), "`boundaries` must increase"),
        (lambda: PiecewiseEpochs([30], [1, 2, 3]), "3 values, 1 boundaries"),
        (lambda: PiecewiseEpochs([(0, 10, 1), (12, 20, 2)]), "must adjoin and start at epoch 0"),
        (lambda: PiecewiseEpochs([], None), "0 values"),
    ],
)
def test_bad_arguments(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_rates_that_follow_the_batch():
    linear = WarmupCosine(0.3, 100, 10, batch_size=4096)
    root = WarmupCosine(0.075, 100, 10, batch_size=4096, scaling="sqrt")
    for step, expected in ((0, 0.0), (5, 2.4), (10, 4.8), (55, 2.4), (100, 0.0)):
        for schedule in (linear, root, WarmupCosine.from_config(root.get_config())):
            assert float(schedule(step)) == pytest.approx(expected, abs=1e-6)
    with pytest.raises(ValueError, match=r"`scaling` must be one of.*'cubic'"):
        WarmupCosine(0.3, 100, batch_size=8, scaling="cubic")
    with pytest.raises(ValueError, match="`batch_size` must be an integer >= 1"):
        WarmupCosine(0.3, 100, batch_size=0)
