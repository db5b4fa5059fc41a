"""Multiply-accumulates, parameters and memory traffic of any Keras model, layer by layer."""

import math
import re
import threading
from contextlib import contextmanager

import keras

from keras_resnets.analysis.cost_rules import as_work, find_rule, register_cost
from keras_resnets.analysis.energy import device_profile
from keras_resnets.analysis.report import CostReport, LayerCost
from keras_resnets.analysis.work import Work
from keras_resnets.layers import StackedBlocks


def cost(
    model, input_shape=None, batch_size=1, device="p100", count="macs", include_elementwise=False
):
    """What one forward pass costs: multiply-accumulates, parameters, memory traffic, energy.

    The model is traced once on symbolic tensors, nothing is computed. Every call of a layer is
    seen, in subclassed and nested models too; a shared layer's weights count once, its operations
    in every call. Multiply-accumulates (not FLOPs) are those of convolutions, dense layers and
    other products; biases, normalisation and activations are counted apart, as `elementwise`. The
    traffic is ideal: each layer reads its inputs and weights once and writes its outputs once, and
    nothing is fused. Layers that hold weights and have no rule are listed in `report.unsupported`.

    Args:
        model: `keras.Model` (or layer) of any kind.
        input_shape: Shape of an example without the batch, or a list or dict of such shapes for
            several inputs. Default: the model's own, where all its sides are known.
        batch_size: Examples a pass.
        device: Device of `bound` and energy, see `keras_resnets.analysis.device_profile`.
        count: `"macs"`, or `"flops"` (two a multiply-accumulate), of the table.
        include_elementwise: Whether the table's operations include the elementwise ones.

    Returns:
        A `CostReport`.

    Raises:
        ValueError: The input shape is not known, or does not fit.

    Example:

    >>> report = cost(kr.ecapa_tdnn(channels=64), input_shape=(200, 80))
    >>> report.macs, report.params, report.unsupported
    (149499392, 1794632, [])

    Reference:
        Williams et al., Roofline: An Insightful Visual Performance Model, CACM 2009.
    """
    if count not in ("macs", "flops"):
        raise ValueError(f'`count` must be "macs" or "flops". Received: count={count!r}')
    if int(batch_size) != batch_size or batch_size < 1:
        raise ValueError(f"`batch_size` must be a positive integer. Received: {batch_size}")
    device = device_profile(device)
    inputs = symbolic_inputs(model, input_shape, batch_size)
    if not all(layer.built for layer in model._flatten_layers()):
        _Forward(model)(inputs)
    ledger = _Ledger(model)
    with _watching(ledger.call):
        _Forward(model)(inputs)
    ledger.add_uncalled()
    rows = list(ledger.rows.values())
    return CostReport(model.name, rows, batch_size, device, count, include_elementwise)


@register_cost(StackedBlocks)
def stacked_blocks(layer, inputs, outputs):
    """Every block costs what the pattern does; they are one row."""
    (batch, *shape), *_ = inputs
    one = cost(layer.block, tuple(shape), batch).rows
    return Work(
        macs=layer.count * sum(row.macs for row in one),
        elementwise=layer.count * sum(row.elementwise for row in one),
        words=tuple(
            layer.count * sum(getattr(r, w) for r in one) for w in ("words_in", "words_out")
        ),
    )


class _Forward(keras.Operation):
    """The model as an operation, whose symbolic call traces it on concrete shapes."""

    def __init__(self, model):
        super().__init__(name="forward")
        self.model = model

    def call(self, inputs):
        return self.model(inputs)


_LOCK = threading.RLock()


@contextmanager
def _watching(visit):
    """While open, this thread's calls of layers and operations go through `visit`."""
    original, thread = keras.Operation.__call__, threading.get_ident()

    def call(self, *args, **kwargs):
        if threading.get_ident() != thread or isinstance(self, _Forward):
            return original(self, *args, **kwargs)
        return visit(self, lambda: original(self, *args, **kwargs), args, kwargs)

    with _LOCK:
        keras.Operation.__call__ = call
        try:
            yield
        finally:
            keras.Operation.__call__ = original


class _Ledger:
    """Collects the rows while the model runs."""

    def __init__(self, model):
        self.model = model
        self.rows = {}  # id of the layer -> row
        self.claimed = set()  # ids of the variables that a row counts
        self.path = []  # names of the layers that are running
        self.quiet = 0  # inside a layer whose rule counts everything in it
        self.seen = 0  # calls recorded so far

    def call(self, operation, run, args, kwargs):
        if self.quiet:
            return run()
        rule, inner = find_rule(operation) or (None, False)
        counts_all = rule is not None and inner
        if operation is not self.model:
            self.path.append(operation.name)
        self.quiet += counts_all
        seen = self.seen
        try:
            outputs = run()
            has_inner = self.seen > seen
            self.seen += 1
            self.record(operation, rule, inner, has_inner, args, kwargs, outputs)
            self.quiet -= counts_all
        except BaseException:
            self.quiet = 0
            raise
        finally:
            if operation is not self.model:
                self.path.pop()
        return outputs

    def record(self, operation, rule, inner, has_inner, args, kwargs, outputs):
        weights = [] if not isinstance(operation, keras.layers.Layer) else operation.weights
        if weights and has_inner:
            nested = {
                id(v) for sub in operation._flatten_layers(include_self=False) for v in sub.weights
            }
            weights = [v for v in weights if id(v) not in nested]
        if rule is None and has_inner and not weights:
            return  # a container: its layers have rows of their own
        kwargs = {key: value for key, value in kwargs.items() if not key.endswith("mask")}
        inputs, outputs = _shapes([args, kwargs]), _shapes(outputs)
        if rule is not None:
            work = as_work(rule(operation, inputs, outputs))
        elif has_inner or weights:
            work = Work()
        else:
            work = Work(elementwise=sum(map(math.prod, outputs)))
        row = self.row(operation)
        row.supported = row.supported and not (rule is None and weights)
        moves = work.moves and not has_inner
        self.add(row, work, weights, inputs if moves else [], outputs, moves, operation)

    def add(self, row, work, weights, inputs, outputs, moves, operation):
        activation = _bytes(getattr(operation, "compute_dtype", None) or "float32")
        words = sum(math.prod(v.shape) for v in weights)
        size = words * _bytes(getattr(operation, "variable_dtype", "float32"))
        if work.weight_words is not None and words:
            size, words = size / words * work.weight_words, work.weight_words
        words_in = sum(map(math.prod, inputs))
        words_out = sum(map(math.prod, outputs)) if moves else 0
        if work.words is not None:
            words_in, words_out = work.words
        row.output_shape = outputs[0] if outputs else None
        row.calls += 1
        row.macs += work.macs
        row.elementwise += work.elementwise
        row.words_in += words_in
        row.words_out += words_out
        row.weight_words += words
        row.traffic_bytes += activation * (words_in + words_out) + size
        row.conv = work.conv or row.conv
        self.claim(row, weights)

    def row(self, operation):
        if id(operation) not in self.rows:
            name = "/".join(self.path) or operation.name
            self.rows[id(operation)] = LayerCost(name, type(operation).__name__)
        return self.rows[id(operation)]

    def claim(self, row, variables):
        for v in variables:
            if id(v) not in self.claimed:
                self.claimed.add(id(v))
                row.params += math.prod(v.shape)
                row.trainable_params += math.prod(v.shape) * v.trainable

    def add_uncalled(self):
        """Rows without calls for weights that the forward pass never touched."""
        for layer in self.model._flatten_layers():
            nested = {
                id(v) for sub in layer._flatten_layers(include_self=False) for v in sub.weights
            }
            rest = [v for v in layer.weights if id(v) not in self.claimed | nested]
            if rest:
                self.path = [layer.name]
                self.claim(self.row(layer), rest)


def _shapes(structure):
    """The static shapes of all tensors in a structure."""
    return [
        tuple(int(n) for n in leaf.shape)
        for leaf in keras.tree.flatten(structure)
        if hasattr(leaf, "shape")
    ]


def _bytes(dtype):
    bits = re.search(r"\d+", keras.backend.standardize_dtype(dtype))
    return int(bits[0]) / 8 if bits else 1


def symbolic_inputs(model, input_shape=None, batch_size=1):
    """`keras.KerasTensor`s of known shape, structured as the model takes its inputs."""
    try:
        own = model.input
    except (AttributeError, ValueError):
        own = None  # not functional, or not built yet
    if input_shape is None:
        if own is None:
            raise ValueError(
                f"`input_shape` must be given: {model.name!r} does not know its own. "
                "Received: input_shape=None"
            )
        return keras.tree.map_structure(lambda x: _own_input(x, batch_size), own)
    known = keras.tree.flatten(own) if own is not None else []
    if isinstance(own, dict) and isinstance(input_shape, dict):
        dtypes = {key: tensor.dtype for key, tensor in own.items()}
        return {
            key: keras.KerasTensor((batch_size, *shape), dtypes.get(key, "float32"))
            for key, shape in input_shape.items()
        }
    dtypes = [x.dtype for x in known]
    if _is_shape(input_shape):
        return _tensor(input_shape, batch_size, dtypes)
    if isinstance(input_shape, dict):
        return {key: _tensor(shape, batch_size, []) for key, shape in input_shape.items()}
    return [_tensor(shape, batch_size, dtypes[i:]) for i, shape in enumerate(input_shape)]


def _is_shape(shape):
    return all(n is None or isinstance(n, int) for n in shape)


def _tensor(shape, batch_size, dtypes):
    if not all(isinstance(n, int) and n > 0 for n in shape):
        raise ValueError(
            f"`input_shape` must hold positive integers. Received: input_shape={tuple(shape)}"
        )
    return keras.KerasTensor((batch_size, *shape), dtypes[0] if dtypes else "float32")


def _own_input(x, batch_size):
    if getattr(x._keras_history.operation, "optional", False):
        return None
    if None in x.shape[1:]:
        raise ValueError(
            f"`input_shape` must be given: input {x.name!r} has the shape {tuple(x.shape)}. "
            "Received: input_shape=None"
        )
    return keras.KerasTensor((batch_size, *x.shape[1:]), x.dtype)
