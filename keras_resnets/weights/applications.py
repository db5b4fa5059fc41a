"""Weights of keras.applications' ResNets."""

import re

import keras

_ROWS = {
    r"conv1_conv": "stem_conv",
    r"conv1_bn": "stem_norm",
    r"post_bn": "norm",
    r"predictions": "predictions",
}
_PARTS = {
    "0_conv": "shortcut_conv",
    "0_bn": "shortcut_norm",
    "1_conv": "conv1",
    "2_conv": "conv2",
    "3_conv": "conv3",
}
_NORMS_V1 = {f"{k}_bn": f"norm{k}" for k in (1, 2, 3)}
_NORMS_V2 = {"preact_bn": "norm1", "1_bn": "norm2", "2_bn": "norm3"}


def from_keras_applications(model, source):
    """Copy the weights of a ResNet or ResNetV2 of keras.applications into a model of this package.

    Convolution biases are copied where the model has them. Where it has none (torchvision's
    ResNets), they are folded into the moving means, which is exact in inference.

    Args:
        model: of the same geometry, as `kr.resnet50_v1()` or `kr.resnet50v2_keras()`.
        source: a model of keras.applications, or the path of one saved as `.keras`.

    Returns:
        The model.

    Raises:
        ValueError: lists the weights that have no place or another shape; nothing has changed.

    Example:

    >>> source = keras.applications.ResNet50(weights=None, include_top=False)
    >>> model = from_keras_applications(kr.resnet50_v1(include_top=False), source)
    >>> bool(np.all(model.get_layer("stem_conv").kernel == source.get_layer("conv1_conv").kernel))
    True
    """
    if not isinstance(source, keras.Model):
        source = keras.models.load_model(source, compile=False)
    version = 2 if any(layer.name.endswith("preact_bn") for layer in source.layers) else 1
    ours = {layer.name: layer for layer in model._flatten_layers() if layer.weights}
    problems, pending, biases = [], [], []
    for layer in source.layers:
        if not layer.weights:
            continue
        name = our_name(layer.name, version)
        target = ours.pop(name, None)
        if target is None:
            problems.append(f"unexpected: {layer.name!r}")
            continue
        held = {weight.name: weight for weight in layer.weights}
        wanted = {weight.name: weight for weight in target.weights}
        bias = held.pop("bias", None) if "bias" not in wanted else None
        if held.keys() != wanted.keys():
            problems.append(f"{layer.name!r} has {sorted(held)}, {name!r} {sorted(wanted)}")
            continue
        for key, weight in wanted.items():
            if weight.shape != held[key].shape:
                problems.append(f"misshaped: {layer.name!r}: {held[key].shape}, {weight.shape}")
            pending.append((weight, held[key]))
        if bias is not None:
            norm = "norm".join(name.rsplit("conv", 1))
            biases.append((model.get_layer(norm).moving_mean, bias))
    missing = [name for name, layer in ours.items() if not isinstance(layer, keras.Model)]
    problems += [f"missing: {name!r}" for name in missing]
    if problems:
        raise ValueError(
            f"{source.name!r} does not fit {model.name!r}; no weight was changed.\n  "
            + "\n  ".join(problems)
        )
    for weight, value in pending:
        weight.assign(value)
    for mean, bias in biases:
        mean.assign_sub(bias)
    return model


def our_name(name, version):
    """Our name of a layer of keras.applications' ResNet, or None."""
    if match := re.fullmatch(r"conv(\d)_block(\d+)_(.+)", name):
        part = (_PARTS | (_NORMS_V1 if version == 1 else _NORMS_V2)).get(match[3])
        return part and f"stage{int(match[1]) - 1}_block{match[2]}_{part}"
    return _ROWS.get(name)
