"""Between a network and the same network with its blocks as loops."""

import keras
import numpy as np

from keras_resnets.layers import StackedBlocks


def transfer_weights(source, target):
    """Copy the weights of a network into the same network in another form.

    The forms are those of `keras_resnets.models.resnet`: blocks one by one, or with
    `scan_blocks=True` stacked in `StackedBlocks`. Both ways, and within one form.

    Args:
        source: a model of this package's residual builder.
        target: another of the same settings; `scan_blocks` may differ.

    Returns:
        `target`.

    Raises:
        ValueError: the networks differ; no weight has changed.

    Example:

    >>> scanned, plain = kr.cifar_resnet(20, scan_blocks=True), kr.cifar_resnet(20)
    >>> x = np.ones((1, 32, 32, 3))
    >>> bool(np.allclose(scanned(x), transfer_weights(scanned, plain)(x), atol=1e-6))
    True
    """
    values = block_weights(source)
    wanted = {path: shape for path, shape, _, _ in _places(target)}
    found = {path: value.shape for path, value in values.items()}
    if found != wanted:
        odd = sorted({p for p in {*found, *wanted} if found.get(p) != wanted.get(p)})[:10]
        pairs = "\n  ".join(f"{p}: {found.get(p)} and {wanted.get(p)}" for p in odd)
        raise ValueError(
            "`source` and `target` must be the same network. No weight was changed. "
            f"Received: weights of the shapes\n  {pairs}"
        )
    new = {}
    for path, _, variable, index in _places(target):
        if index is None:
            new[id(variable)] = variable, values[path]
        else:
            new.setdefault(id(variable), (variable, []))[1].append(values[path])
    for variable, value in new.values():
        variable.assign(np.stack(value) if isinstance(value, list) else value)
    return target


def block_weights(model):
    """`{path: array}` of all weights, with the paths that they have block by block."""
    arrays, result = {}, {}
    for path, _, variable, index in _places(model):
        if id(variable) not in arrays:
            arrays[id(variable)] = keras.ops.convert_to_numpy(variable)
        array = arrays[id(variable)]
        result[path] = array if index is None else array[index]
    return result


def _places(model):
    """`(path, shape, variable, index or None)` of every block's weights, in the blocks' order."""
    stacked = {}
    for layer in model._flatten_layers():
        if isinstance(layer, StackedBlocks):
            stacked |= {id(v): (layer, pattern.path) for v, pattern, _ in layer.parts}
    for variable in model.variables:
        if id(variable) not in stacked:
            yield variable.path, tuple(variable.shape), variable, None
            continue
        layer, path = stacked[id(variable)]
        for i in range(layer.count):
            yield layer.name_in_block(path, i), tuple(variable.shape[1:]), variable, i
