"""Latency of networks on this machine, from a table of what their operations take."""

import json
import time
from collections import defaultdict
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from keras_resnets.files import write_whole
from keras_resnets.models import FBNetV3, FBNetV3Config
from tuners.fbnet_operations import Operation, fbnet_v3_operations
from tuners.fbnet_v3 import fbnet_v3_config
from tuners.ranks import spearman

AT_ONCE = 4  # calls of an operation in one timed run, which the run's own time is small beside
RANGE_POINTS = 200  # networks whose operations say which channels are measured


class LatencyTable:
    """Seconds of operations, between whose channels it interpolates.

    A network takes the sum of its operations and a constant. Called with a point of
    `fbnet_v3_space`, the table is a statistic that NARS can be constrained by.

    Args:
        seconds: `{Operation: seconds}`; of each kind, side, kernel and stride a grid of channels.
        constant: seconds that every network takes besides.
        correlation: Spearman's, of the predictions with whole networks that were timed.
        device: where it was measured.
        classes: of the networks.

    Example:

    >>> small, large = (tuners.fbnet_operations.Operation("linear", 8, c, 8) for c in (8, 16))
    >>> table = tuners.LatencyTable({small: 1e-3, large: 3e-3}, constant=1e-3)
    >>> table.latency([small._replace(inputs=12), large])
    0.006
    """

    def __init__(self, seconds, constant=0.0, correlation=None, device=None, classes=1000):
        self.seconds = dict(seconds)
        self.constant = constant
        self.correlation = correlation
        self.device = device
        self.classes = classes
        grids = defaultdict(dict)
        for operation, value in self.seconds.items():
            grids[_key(operation)][operation.inputs, operation.outputs] = value
        self._grids = {key: _Grid(found) for key, found in grids.items()}

    def latency(self, operations):
        """Seconds of a network of these `Operation`s.

        Raises:
            ValueError: an operation of a kind, side, kernel or stride that was not measured.
        """
        total = self.constant
        for operation in operations:
            if _key(operation) not in self._grids:
                raise ValueError(
                    "The table must have an operation like every one of the network. "
                    f"Received: {operation}"
                )
            total += self._grids[_key(operation)](operation.inputs, operation.outputs)
        return float(total)

    def __call__(self, config):
        """`{"latency": seconds}` of an `FBNetV3Config` or a point of `fbnet_v3_space`."""
        if not isinstance(config, FBNetV3Config):
            config = fbnet_v3_config(config)
        return {"latency": max(self.latency(fbnet_v3_operations(config, self.classes)), 0.0)}

    def save(self, path):
        """Write it as JSON."""
        state = {name: getattr(self, name) for name in ("constant", "correlation", "device")}
        rows = [[*operation, seconds] for operation, seconds in self.seconds.items()]
        state |= {"classes": self.classes, "rows": rows}
        with write_whole(path) as place:
            place.write_text(json.dumps(state), encoding="utf-8")

    @classmethod
    def load(cls, path):
        """Read what `save` wrote."""
        state = json.loads(Path(path).read_text(encoding="utf-8"))
        rows = {Operation(*operation): seconds for *operation, seconds in state.pop("rows")}
        return cls(rows, **state)


def measure_latency_table(
    space, device="CPU:0", networks=20, classes=1000, batch_size=1, runs=20, warmup=5, seed=0
):
    """Times the operations of a space's networks, and some whole networks to compare.

    Args:
        space: `fbnet_v3_space()`, or one of its dimensions with fewer values.
        device: TensorFlow's name of it.
        networks: how many are timed as a whole, drawn evenly from the space.
        classes: of the networks.
        batch_size: images at a time.
        runs: timed calls, of which the median counts.
        warmup: calls before them.
        seed: of the draw.

    Returns:
        A `LatencyTable`, which has the correlation with the whole networks.

    Raises:
        ValueError: a space that is not of FBNetV3's architectures; fewer than three networks.

    Example:

    ```python
    table = tuners.measure_latency_table(tuners.fbnet_v3_space(), "CPU:0")
    table.correlation  # with 20 whole networks
    tuners.NARS(..., statistics=table, constraints=[tuners.Constraint("latency", max=0.02)])
    ```
    """
    if networks < 3:
        raise ValueError(f"`networks` must be at least 3. Received: networks={networks}")
    count = int(min(max(RANGE_POINTS, networks), space.size()))
    configs = [fbnet_v3_config(point) for point in space.sample(count, seed=seed)]
    options = dict(batch_size=batch_size, runs=runs, warmup=warmup)
    with tf.device(device):
        empty = _time([tf.identity] * AT_ONCE, [(1,)] * AT_ONCE, **options)
        seconds = {
            operation: max(_time_operation(operation, **options) - empty, 0.0) / AT_ONCE
            for operation in _corners(configs, classes)
        }
        whole = [_time_network(config, classes, **options) for config in configs[:networks]]
    table = LatencyTable(seconds, device=device, classes=classes)
    sums = [table.latency(fbnet_v3_operations(config, classes)) for config in configs[:networks]]
    table.constant = float(np.mean(np.subtract(whole, sums)))
    table.correlation = float(spearman(sums, whole))
    return table


class _Grid:
    """Linear in each of the two numbers of channels, from the corners of what was measured."""

    def __init__(self, found):
        self.inputs, self.outputs = (sorted({channels[i] for channels in found}) for i in (0, 1))
        if len(found) == len(self.inputs) * len(self.outputs):
            self.values = [[found[i, o] for o in self.outputs] for i in self.inputs]
        else:  # inputs and outputs are one number
            self.inputs, self.outputs = sorted({i for i, _ in found}), [None]
            self.values = [[found[i, i]] for i in self.inputs]

    def __call__(self, inputs, outputs):
        low, high, part = _between(self.inputs, inputs)
        rows = [_mix(self.values[place], self.outputs, outputs) for place in (low, high)]
        return rows[0] + part * (rows[1] - rows[0])


def _mix(values, at, where):
    low, high, part = _between(at, where) if at != [None] else (0, 0, 0.0)
    return values[low] + part * (values[high] - values[low])


def _between(at, where):
    """The places of the neighbours, and where between them it lies, or beyond."""
    if len(at) == 1:
        return 0, 0, 0.0
    low = int(np.clip(np.searchsorted(at, where) - 1, 0, len(at) - 2))
    return low, low + 1, (where - at[low]) / (at[low + 1] - at[low])


def _key(operation):
    """What an operation has in common with those that it is interpolated between."""
    depthwise = operation.groups > 1
    return operation.kind, operation.side, operation.kernel, operation.stride, depthwise


def _corners(configs, classes):
    """Of every kind of operation those with the fewest and the most channels."""
    spans = defaultdict(list)
    for config in configs:
        for operation in fbnet_v3_operations(config, classes):
            spans[_key(operation)].append(operation)
    for operations in spans.values():
        inputs, outputs = ({getattr(o, name) for o in operations} for name in ("inputs", "outputs"))
        one = operations[0]
        for low in sorted({min(inputs), max(inputs)}):
            if one.kind == "add" or one.groups > 1:
                yield one._replace(inputs=low, outputs=low, groups=low if one.groups > 1 else 1)
                continue
            for high in sorted({min(outputs), max(outputs)}):
                yield one._replace(inputs=low, outputs=high)


def _time_operation(operation, **options):
    shape = (operation.side, operation.side, operation.inputs)
    if operation.kind == "dense":
        shape = (operation.inputs,)
    layers = [_layer(operation, shape) for _ in range(AT_ONCE)]
    return _time(layers, [shape] * AT_ONCE, **options)


def _layer(operation, shape):
    """The operation as a small network."""
    _, _, inputs, outputs, kernel, stride, groups = operation
    x = first = keras.Input(shape)
    if operation.kind == "gate":
        y = keras.layers.GlobalAveragePooling2D(keepdims=True)(x)
        y = keras.layers.Conv2D(outputs, 1, activation="hard_swish")(y)
        y = keras.layers.Conv2D(inputs, 1, activation="hard_sigmoid")(y)
        x = keras.layers.Multiply()([x, y])
    elif operation.kind == "add":
        x = keras.layers.Add()([x, x])
    elif operation.kind == "dense":
        x = keras.layers.Dense(outputs, activation="softmax")(x)
    elif operation.kind == "head":
        x = keras.layers.GlobalAveragePooling2D(keepdims=True)(x)
        x = keras.layers.Conv2D(outputs, 1, use_bias=False, activation="hard_swish")(x)
    else:
        settings = dict(strides=stride, padding="same", use_bias=False)
        if groups > 1:
            x = keras.layers.DepthwiseConv2D(kernel, **settings)(x)
        else:
            x = keras.layers.Conv2D(outputs, kernel, **settings)(x)
        x = keras.layers.BatchNormalization()(x)
        if operation.kind == "unit":
            x = keras.layers.Activation("hard_swish")(x)
    return keras.Model(first, x)


def _time_network(config, classes, **options):
    size = config.input_size
    shape = (size, size, 3)
    network = FBNetV3(config, classes=classes, input_shape=shape, dw_padding="symmetric")
    seconds = _time([network], [shape], **options)
    keras.backend.clear_session()
    return seconds


def _time(functions, shapes, batch_size, runs, warmup):
    """The median time of one run that calls every function on its own input."""
    inputs = [tf.random.normal((batch_size, *shape)) for shape in shapes]
    run = tf.function(lambda *inputs: [f(x) for f, x in zip(functions, inputs)], autograph=False)
    times = []
    for _ in range(warmup + runs):
        start = time.perf_counter()
        for result in run(*inputs):
            result.numpy()
        times.append(time.perf_counter() - start)
    return float(np.median(times[warmup:]))
