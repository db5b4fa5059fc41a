"""Taking out the channels that a zero BatchNorm scale has made constant."""

from collections import defaultdict

import keras
import numpy as np
from keras import ops

from keras_resnets.analysis.gamma import is_batch_norm, is_relu
from keras_resnets.layers.stacked_blocks import refuse_stacked

CONVOLUTIONS = (keras.layers.Conv1D, keras.layers.Conv2D, keras.layers.Conv3D)


def prune_zero_features(model):
    """A smaller copy of a network, without the channels whose BatchNorm scale is zero.

    It looks for convolution, BatchNormalization, ReLU, convolution, each read by the next alone:
    the inside of a residual block. A channel of scale zero is the constant `relu(offset)` there. It
    is taken out of the first convolution, the normalisation and the second convolution, whose bias
    gets what the constant brought. Where the second convolution pads and the constant is not zero,
    the border sees less of it than the middle, and the channel stays. One channel always stays.
    Grouped convolutions are left alone. The outputs are those of the original.

    Args:
        model: functional `keras.Model`, with functional models inside or not; it stays as it is.

    Returns:
        A new `keras.Model` with the same layer names.

    Raises:
        ValueError: a model that is not functional.

    Example:

    >>> model = keras.Sequential([
    ...     keras.Input((8, 8, 3)), keras.layers.Conv2D(4, 3), keras.layers.BatchNormalization(),
    ...     keras.layers.ReLU(), keras.layers.Conv2D(2, 3)])
    >>> model.layers[1].gamma.assign([0.0, 1.0, 0.0, 1.0]) is not None
    True
    >>> pruned = prune_zero_features(model)
    >>> [layer.filters for layer in pruned.layers if hasattr(layer, "filters")]
    [2, 2]

    Reference:
        [Frankle et al., Training BatchNorm and Only BatchNorm, 2021](https://arxiv.org/abs/2003.00152),
        section 5.
    """
    if isinstance(model, keras.Sequential):
        model = keras.Model(model.inputs, model.outputs, name=model.name)
    if not isinstance(model, type(keras.Model(x := keras.Input((1,)), x))):
        raise ValueError(f"`model` must be a functional model. Received: {type(model).__name__}")
    refuse_stacked(model, "pruning")
    outputs, inputs, biases = {}, {}, {}  # by a layer's name: channels to keep, bias to add
    for conv, norm, padding, after in _chains(model):
        gamma, beta = (ops.convert_to_numpy(v) for v in (norm.gamma, norm.beta))
        constant = np.maximum(beta, 0)
        padded = padding or (after.padding != "valid" and max(after.kernel_size) > 1)
        keep = (gamma != 0) | (padded & (constant > 0))
        if not keep.any():
            keep[np.argmax(constant)] = True
        outputs[conv.name] = outputs[norm.name] = inputs[after.name] = keep
        kernel = ops.convert_to_numpy(after.kernel)
        lost = np.where(keep, 0, constant)
        if lost.any():
            biases[after.name] = (kernel.sum(tuple(range(kernel.ndim - 2))).T * lost).sum(1)

    def shrunk(layer):
        if isinstance(layer, keras.Model):
            return prune_zero_features(layer)
        config = layer.get_config()
        if isinstance(layer, CONVOLUTIONS):
            if layer.name in outputs:
                config["filters"] = int(outputs[layer.name].sum())
            config["use_bias"] = layer.use_bias or layer.name in biases
        return type(layer).from_config(config)

    pruned = keras.models.clone_model(model, clone_function=shrunk)
    for layer in model.layers:
        if isinstance(layer, keras.Model) or not layer.get_weights():
            continue
        weights = layer.get_weights()
        if isinstance(layer, CONVOLUTIONS):
            weights = _sliced(layer, weights, outputs, inputs, biases)
        elif layer.name in outputs:
            weights = [w[outputs[layer.name]] for w in weights]
        pruned.get_layer(layer.name).set_weights(weights)
    return pruned


def _sliced(conv, weights, outputs, inputs, biases):
    everything = slice(None)
    keep = outputs.get(conv.name, everything)
    kernel = weights[0][..., inputs.get(conv.name, everything), :][..., keep]
    if not conv.use_bias and conv.name not in biases:
        return [kernel]
    bias = weights[1] if conv.use_bias else np.zeros(conv.filters, kernel.dtype)
    return [kernel, (bias + biases.get(conv.name, 0))[keep]]


def _chains(model):
    """`(convolution, normalisation, whether zeros are padded, next convolution)`."""
    nodes = [node for depth in model._nodes_by_depth.values() for node in depth]
    readers, uses = defaultdict(list), defaultdict(int)
    for node in nodes:
        uses[id(node.operation)] += 1
        for tensor in node.input_tensors:
            readers[id(tensor)].append(node)
    for tensor in model.outputs:
        readers[id(tensor)].append(None)

    def reader(node, matches):
        """The one node that reads this one's output, if it is such a layer, used once."""
        found = readers[id(node.output_tensors[0])] if node else []
        if len(found) != 1 or found[0] is None or uses[id(found[0].operation)] > 1:
            return None
        return found[0] if matches(found[0].operation) else None

    for node in nodes:
        if not _is_plain_convolution(node.operation) or uses[id(node.operation)] > 1:
            continue
        norm = reader(node, lambda op: is_batch_norm(op) and op.scale and op.center)
        relu = reader(norm, is_relu)
        pad = reader(relu, lambda op: type(op).__name__.startswith("ZeroPadding"))
        after = reader(pad or relu, _is_plain_convolution)
        if after and _is_linear(node.operation) and not hasattr(relu.operation, "kernel"):
            yield node.operation, norm.operation, bool(pad), after.operation


def _is_plain_convolution(layer):
    return type(layer) in CONVOLUTIONS and layer.groups == 1


def _is_linear(layer):
    return layer.activation is keras.activations.linear
