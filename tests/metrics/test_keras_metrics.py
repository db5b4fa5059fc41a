import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_resnets.metrics import EqualErrorRate, MinDCF, equal_error_rate, min_dcf

METRICS = [
    (EqualErrorRate, {}, equal_error_rate),
    (MinDCF, {}, min_dcf),
    (MinDCF, {"p_target": 0.05, "c_miss": 10.0, "c_fa": 2.0}, min_dcf),
]


def trials(size=20_000, seed=0, separation=0.5):
    rng = np.random.default_rng(seed)
    labels = rng.random(size) < 0.2
    return np.clip(0.1 + separation * labels + 0.15 * rng.normal(size=size), -1, 1), labels


@pytest.mark.parametrize("metric, options, exact", METRICS)
@pytest.mark.parametrize("separation", [0.0, 0.2, 0.5, 0.8])
def test_agrees_with_the_exact_figure(metric, options, exact, separation):
    scores, labels = trials(separation=separation)
    metric = metric(**options)
    for start in range(0, scores.size, 4096):
        batch = slice(start, start + 4096)
        metric.update_state(labels[batch], scores[batch])
    assert float(metric.result()) == pytest.approx(exact(scores, labels, **options), abs=1e-3)


@pytest.mark.parametrize("metric, options, exact", METRICS)
@pytest.mark.parametrize("jit_compile", [False, True])
def test_in_a_compiled_graph(metric, options, exact, jit_compile):
    scores, labels = trials(size=4000)
    metric = metric(**options)

    @tf.function(jit_compile=jit_compile)
    def step(y_true, y_score):
        metric.update_state(y_true, y_score)
        return metric.result()

    for half in (slice(0, 2000), slice(2000, 4000)):
        result = step(tf.constant(labels[half]), tf.constant(scores[half], tf.float32))
    assert float(result) == pytest.approx(exact(scores, labels, **options), abs=1e-3)


def test_column_inputs_reset_and_sample_weight():
    scores, labels = trials(size=1000)
    metric = EqualErrorRate()
    metric.update_state(labels[:, None], scores[:, None])
    plain = float(metric.result())
    metric.reset_state()
    assert np.isnan(float(metric.result()))
    weight = np.arange(1000) % 3
    metric.update_state(labels, scores, sample_weight=weight)
    repeated = equal_error_rate(np.repeat(scores, weight), np.repeat(labels, weight))
    assert float(metric.result()) == pytest.approx(repeated, abs=1e-3)
    assert float(metric.result()) != pytest.approx(plain, abs=1e-6)


def test_score_range():
    scores, labels = trials(size=2000)
    metric = EqualErrorRate(score_range=(-50.0, 150.0))
    metric.update_state(labels, 100 * scores)
    assert float(metric.result()) == pytest.approx(equal_error_rate(scores, labels), abs=1e-3)
    metric = EqualErrorRate(score_range=(0.0, 0.5))  # what lies outside counts as the ends
    metric.update_state(labels, scores)
    clipped = equal_error_rate(np.clip(scores, 0.0, 0.5), labels)
    assert float(metric.result()) == pytest.approx(clipped, abs=1e-3)


@pytest.mark.parametrize("metric", [EqualErrorRate, MinDCF])
@pytest.mark.parametrize(
    "labels, scores",
    [([1, 1], [0.1, 0.2]), ([0, 0], [0.1, 0.2]), ([1, 0], [np.nan, 0.2]), ([2, 0], [0.1, 0.2])],
)
def test_undefined_is_nan_and_not_a_figure(metric, labels, scores):
    metric = metric()
    metric.update_state(labels, scores)
    assert np.isnan(float(metric.result()))


@pytest.mark.parametrize("metric, options, exact", METRICS)
def test_serialization(metric, options, exact):
    metric = metric(**options, score_range=(-3, 3), num_bins=512, name="figure")
    assert keras.saving.get_registered_name(type(metric)).startswith("keras_resnets>")
    copy = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(metric))
    assert copy.get_config() == metric.get_config()
    assert (copy.name, copy.num_bins, copy.score_range) == ("figure", 512, (-3.0, 3.0))


@pytest.mark.parametrize("jit_compile", [False, True])
def test_in_fit_and_evaluate(jit_compile):
    scores, labels = trials(size=1024)
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, use_bias=False)])
    model.layers[-1].set_weights([np.ones((1, 1))])
    model.compile("sgd", "mse", metrics=[EqualErrorRate(), MinDCF()], jit_compile=jit_compile)
    x, y = scores[:, None].astype("float32"), labels[:, None].astype("float32")
    figures = model.evaluate(x, y, batch_size=256, verbose=0, return_dict=True)
    assert figures["equal_error_rate"] == pytest.approx(equal_error_rate(scores, labels), abs=1e-3)
    assert figures["min_dcf"] == pytest.approx(min_dcf(scores, labels), abs=1e-3)
    history = model.fit(x, y, batch_size=256, verbose=0).history
    assert 0 <= history["equal_error_rate"][0] <= 1


REPLICAS = """
import keras, numpy as np, tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
from keras_resnets.metrics import EqualErrorRate, equal_error_rate
rng = np.random.default_rng(0)
labels = (rng.random(2048) < 0.3).astype("float32")
scores = (0.3 * labels + 0.2 * rng.normal(size=2048)).astype("float32")
strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
with strategy.scope():
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, use_bias=False)])
    model.layers[-1].set_weights([np.ones((1, 1))])
    model.compile("sgd", "mse", metrics=[EqualErrorRate()])
x, y = scores[:, None], labels[:, None]
figures = model.evaluate(x, y, batch_size=256, verbose=0, return_dict=True)
assert abs(figures["equal_error_rate"] - equal_error_rate(scores, labels)) < 1e-3, figures
print("replicas", strategy.num_replicas_in_sync)
"""


def test_two_replicas_count_as_one():
    """In a process of its own: logical devices are set before TensorFlow starts."""
    done = subprocess.run([sys.executable, "-c", REPLICAS], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "replicas 2" in done.stdout


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: EqualErrorRate(score_range=(1, -1)), "`score_range` must be"),
        (lambda: EqualErrorRate(score_range=(0, np.inf)), "`score_range` must be"),
        (lambda: EqualErrorRate(num_bins=1), "`num_bins` must be"),
        (lambda: MinDCF(p_target=0), "`p_target` must be"),
        (lambda: MinDCF(c_fa=0), "`c_fa` must be"),
    ],
)
def test_bad_arguments(make, message):
    with pytest.raises(ValueError, match=message):
        make()
