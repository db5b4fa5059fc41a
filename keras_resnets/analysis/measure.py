"""Time and energy of a function, by the best meter that the machine has."""

import math
import time
from dataclasses import dataclass

import keras
import numpy as np

from keras_resnets.analysis.cost import cost, symbolic_inputs
from keras_resnets.analysis.meters import Meter, find_meter

PERCENTILES = (50, 90, 99)


@dataclass(frozen=True)
class Measurement:
    """What `measure` found.

    Attributes:
        runs: Number of timed calls.
        batch_size: Examples a call.
        latency: Seconds a call: `"mean"`, `"min"`, `"p50"`, `"p90"`, `"p99"`.
        throughput: Examples a second.
        energy: Joules of all timed calls, idle power taken off.
        energy_per_sample: Joules an example.
        power: Mean watts, idle power taken off.
        idle_power: Watts before the run; 0 if not asked for.
        backend: Name of the meter.
        is_estimate: Whether the energies are estimated, not measured. Times always are measured.

    Example:

    >>> run = kr.analysis.measure(np.sum, np.ones((4, 2)), meter="estimate", min_seconds=0.01)
    >>> run.is_estimate, run.batch_size, run.runs >= 5
    (True, 4, True)
    """

    runs: int
    batch_size: int
    latency: dict
    throughput: float
    energy: float
    energy_per_sample: float
    power: float
    idle_power: float
    backend: str
    is_estimate: bool

    def __str__(self):
        kind = "estimated" if self.is_estimate else "measured"
        return (
            f"{1e3 * self.latency['p50']:.4g} ms a call (p90 {1e3 * self.latency['p90']:.4g}), "
            f"{self.throughput:.4g} examples/s, {self.energy_per_sample:.4g} J an example "
            f"({kind}: {self.backend})"
        )


def measure(
    fn_or_model,
    data,
    repeats=5,
    warmup=2,
    meter="auto",
    subtract_idle=True,
    min_seconds=1.0,
    device=None,
):
    """Calls a function on one batch again and again, and measures time and energy.

    Args:
        fn_or_model: Function of `data`, or `keras.Model` (run compiled, in inference).
        data: One batch, an array or a structure of arrays with the examples on axis 0.
        repeats: Calls at least.
        warmup: Calls before, not counted.
        meter: `"auto"`, or as `keras_resnets.analysis.find_meter` takes it.
        subtract_idle: Whether the power of a second's rest before the run is taken off. An estimate
            has no rest, and nothing is taken off.
        min_seconds: Seconds at least, as counters tick slowly.
        device: Where nothing measures: the device whose energy model gives a model's energy
            (`"host"`, `"p100"` ...). Default: the rated power of this machine's cores times time.

    Returns:
        A `Measurement`; its `is_estimate` says whether the energy was measured.

    Raises:
        ValueError: `repeats` below 1.

    Example:

    >>> double = lambda x: 2 * x
    >>> run = measure(double, np.ones((8, 3)), meter="estimate", min_seconds=0.01)
    >>> run.latency["min"] <= run.latency["p50"] <= run.latency["p99"], run.backend
    (True, 'estimate')
    """
    if repeats < 1:
        raise ValueError(f"`repeats` must be at least 1. Received: repeats={repeats}")
    run = _runner(fn_or_model, data)
    batch_size = int(keras.tree.flatten(data)[0].shape[0])
    ours, meter = not isinstance(meter, Meter), find_meter(meter)
    try:
        for _ in range(warmup):
            run()
        idle = 0.0
        if subtract_idle and not meter.is_estimate:
            idle = _idle_power(meter)
        times, joules = _timed(run, repeats, min_seconds, meter)
    finally:
        if ours:
            meter.close()
    seconds, backend = math.fsum(times), meter.name
    if meter.is_estimate and device is not None and isinstance(fn_or_model, keras.Model):
        joules, backend = len(times) * _modelled(fn_or_model, data, device), "energy model"
    energy = max(joules - idle * seconds, 0.0)
    latency = {"mean": seconds / len(times), "min": min(times)}
    latency |= {f"p{p}": float(np.percentile(times, p)) for p in PERCENTILES}
    samples = len(times) * batch_size
    return Measurement(
        len(times),
        batch_size,
        latency,
        samples / seconds,
        energy,
        energy / samples,
        energy / seconds,
        idle,
        backend,
        meter.is_estimate,
    )


def _runner(fn_or_model, data):
    """A call without arguments that returns when the result is there."""
    call = fn_or_model
    if isinstance(fn_or_model, keras.Model):
        data = keras.tree.map_structure(keras.ops.convert_to_tensor, data)
        call = _compiled(fn_or_model)

    def run():
        keras.tree.map_structure(np.asarray, call(data))

    return run


def _compiled(model):
    def forward(x):
        return model(x, training=False)

    if keras.backend.backend() != "tensorflow":
        return forward
    import tensorflow as tf

    return tf.function(forward)


def _timed(run, repeats, min_seconds, meter):
    times = []
    meter.start()
    begin = time.perf_counter()
    while len(times) < repeats or time.perf_counter() - begin < min_seconds:
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return times, meter.stop()


def _idle_power(meter, seconds=1.0):
    meter.start()
    begin = time.perf_counter()
    time.sleep(seconds)
    joules = meter.stop()
    return joules / (time.perf_counter() - begin)


def _modelled(model, data, device):
    """Joules of one pass by the energy model."""
    shapes = keras.tree.map_structure(lambda x: tuple(x.shape[1:]), data)
    batch_size = int(keras.tree.flatten(data)[0].shape[0])
    return cost(model, shapes, batch_size, device).energy()


def random_inputs(model, input_shape=None, batch_size=1, seed=0):
    """A batch that a model accepts: standard normal numbers, zeros for integers."""
    rng = np.random.default_rng(seed)

    def draw(x):
        if "float" not in x.dtype:
            return np.zeros(x.shape, x.dtype)
        return rng.standard_normal(x.shape).astype("float32")

    return keras.tree.map_structure(draw, symbolic_inputs(model, input_shape, batch_size))
