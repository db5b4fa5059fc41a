"""Models made from models: features, logits, folded normalisation, other groups."""

import math
import re

import keras
import numpy as np

from keras_resnets.layers import GroupConv2D, StandardizedConv2D
from keras_resnets.layers.stacked_blocks import refuse_stacked
from keras_resnets.models.conv_norm_act import groups_of
from keras_resnets.models.image_model import like


def feature_extractor(model, levels=(2, 3, 4, 5)):
    """A model that returns inner features of a functional model, with its layers and weights.

    Args:
        model: a functional `keras.Model`.
        levels: a number `n` for the last features with sides `1 / 2**n` of the image's (a residual
            network without a 7x7 or deep stem has level 0 after its first stage), or the name of a
            layer; or a list of these.

    Returns:
        A `keras.Model` with one output a level; with one output if `levels` is no list.

    Raises:
        ValueError: there is no such layer or level, or the model takes images of any size and its
            layers are not named by stages (`stage1_...`), so that its strides are not known.

    Example:

    >>> model = kr.resnet18(input_shape=(64, 64, 3))
    >>> [tuple(y.shape) for y in feature_extractor(model, [2, 5])(np.ones((1, 64, 64, 3)))]
    [(1, 16, 16, 64), (1, 2, 2, 512)]
    """
    one = isinstance(levels, int | str)
    outputs = [_features(model, level) for level in ([levels] if one else levels)]
    outputs = outputs[0] if one else outputs
    return like(model, keras.Model(model.input, outputs, name=f"{model.name}_features"))


def _features(model, level):
    if isinstance(level, str):
        names = [layer.name for layer in model.layers]
        if level not in names:
            raise ValueError(
                f"`levels` must name layers of the model: {names}. Received: {level!r}"
            )
        return model.get_layer(level).output
    strides = _strides(model)
    if level not in strides:
        raise ValueError(
            f"`levels` must be among {sorted(strides)} for {model.name!r}. Received: {level}"
        )
    return strides[level]


def _strides(model):
    """`{level: features}`: the last of every stage, or by the static sides of the maps."""
    stages = {}
    for layer in model.layers:
        if match := re.match(r"stage(\d+)_", layer.name):
            stages[int(match[1])] = layer.output
    if stages:
        reach = _reach(model)
        return {int(math.log2(reach[id(y)])): y for y in stages.values()}
    axis = 1 if keras.config.image_data_format() == "channels_last" else 2
    image = model.inputs[0].shape[axis]
    maps = [
        y for layer in model.layers for y in keras.tree.flatten(layer.output) if len(y.shape) == 4
    ]
    found = {}
    for y in maps:
        levels = [n for n in range(8) if image and math.ceil(image / 2**n) == y.shape[axis]]
        if levels:  # else it is padded
            found[levels[0]] = y
    return found


def _reach(model):
    """`{id of a tensor: the product of the strides on its way from the image}`."""
    reach = {id(x): 1 for x in model.inputs}
    for layer in model.layers:
        node = layer._inbound_nodes[0]
        before = max((reach[id(x)] for x in node.input_tensors), default=1)
        if isinstance(layer, keras.Model):
            strides = _reach(layer)[id(layer.outputs[0])]
        else:
            strides = getattr(layer, "strides", 1)
        strides = strides if isinstance(strides, int) else strides[0]
        reach |= {id(y): before * strides for y in node.output_tensors}
    return reach


def as_logits_model(model):
    """The model without the softmax or sigmoid at its end.

    Args:
        model: a functional classifier.

    Returns:
        The model itself if it ends in logits; else one on the same layers. Where the activation is
        part of the last Dense layer or convolution, that layer is replaced by a copy.

    Example:

    >>> model = as_logits_model(kr.cifar_resnet(8))
    >>> bool(model(np.ones((1, 32, 32, 3)))[0].numpy().sum() == 1)
    False
    """
    last = model.outputs[0]._keras_history.operation
    if isinstance(last, keras.layers.Activation | keras.layers.Softmax):
        return like(model, keras.Model(model.input, last.input, name=model.name))
    activation = getattr(last, "activation", None)
    if activation in (None, keras.activations.linear):
        return model
    logits = last.__class__.from_config({**last.get_config(), "activation": "linear"})
    outputs = logits(last.input)
    logits.set_weights(last.get_weights())
    return like(model, keras.Model(model.input, outputs, name=model.name))


def fold_batch_norm(model):
    """A copy for inference whose batch normalisation is part of the convolutions before it.

    `kernel' = kernel * gamma / sqrt(variance + epsilon)`, `bias' = beta + (bias - mean) * gamma /
    sqrt(variance + epsilon)`. Normalisation that follows no convolution or Dense layer stays.

    Args:
        model: a functional model.

    Returns:
        A functional model of the same outputs, with fewer layers.

    Example:

    >>> model = kr.cifar_resnet(8)
    >>> folded = fold_batch_norm(model)
    >>> len(model.layers) - len(folded.layers)
    9

    """
    refuse_stacked(model, "folding")
    partner = {}  # normalisation -> convolution
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization) and len(layer._inbound_nodes) == 1:
            before = layer.input._keras_history.operation
            if _foldable(before):
                partner[layer] = before
    convs = set(partner.values())

    def clone(layer):
        if isinstance(layer, keras.Model):
            return fold_batch_norm(layer)
        if layer in convs:
            return layer.__class__.from_config({**layer.get_config(), "use_bias": True})
        return _clone(layer)

    folded, clones = _rebuild(model, clone, skip=partner)
    for layer, copy in clones.items():
        if layer not in convs and not isinstance(layer, keras.Model):
            _copy_weights(layer, copy)
    for norm, conv in partner.items():
        clones[conv].set_weights(_folded(conv, norm))
    return folded


def _foldable(layer):
    kinds = (keras.layers.Conv2D, keras.layers.DepthwiseConv2D, keras.layers.Dense)
    return (
        isinstance(layer, kinds)
        and not isinstance(layer, StandardizedConv2D)  # would undo the scale
        and layer.activation is keras.activations.linear
        and len(layer._inbound_nodes) == len(layer._outbound_nodes) == 1
    )


def _folded(conv, norm):
    weights = [keras.ops.convert_to_numpy(w).astype("float64") for w in conv.weights]
    kernel, bias = weights if conv.use_bias else (weights[0], 0.0)
    mean, variance = (
        keras.ops.convert_to_numpy(w).astype("float64")
        for w in (norm.moving_mean, norm.moving_variance)
    )
    scale = (variance + norm.epsilon) ** -0.5
    if norm.scale:
        scale = scale * keras.ops.convert_to_numpy(norm.gamma)
    bias = (bias - mean) * scale
    if norm.center:
        bias = bias + keras.ops.convert_to_numpy(norm.beta)
    if isinstance(conv, keras.layers.DepthwiseConv2D):
        return [kernel * scale.reshape(kernel.shape[2:]), bias]
    return [kernel * scale, bias]


def regroup(model, group_size=None, groups=None, layers=None, init="random"):
    """A copy whose spatial convolutions are grouped.

    Args:
        model: a functional model.
        group_size: channels of a group, or
        groups: number of groups.
        layers: `f(layer) -> bool` that chooses among the model's convolutions; default: all with a
            kernel larger than 1x1 but those that see the image.
        init: `"random"` for new kernels, or `"slice"` for the old ones' blocks within the groups.

    Returns:
        A functional model; all other weights are copies.

    Raises:
        ValueError: not one of `group_size` and `groups`, one that does not divide the channels, or
            no layer is chosen.

    Example:

    >>> model = regroup(kr.cifar_resnet(8, shortcut="A"), group_size=8, init="slice")
    >>> tuple(model.get_layer("stage3_block1_conv2").kernel.shape)
    (3, 3, 8, 64)
    """
    if (group_size is None) == (groups is None):
        raise ValueError(
            f"Give `group_size` or `groups`. Received: group_size={group_size}, groups={groups}"
        )
    if init not in ("random", "slice"):
        raise ValueError(f'`init` must be "random" or "slice". Received: init={init!r}')
    refuse_stacked(model, "other groups")
    kinds = (keras.layers.Conv2D, keras.layers.DepthwiseConv2D)
    image = model.inputs[0].shape[-1]
    chosen = {}

    def clone(layer):
        if isinstance(layer, keras.Model):
            return regroup(layer, group_size, groups, layers, init)
        if isinstance(layer, kinds) and (layers or _spatial)(layer) and _channels(layer) != image:
            chosen[layer] = copy = _regrouped(layer, group_size, groups)
            return copy
        return _clone(layer)

    copy, clones = _rebuild(model, clone)
    if not chosen and not any(isinstance(layer, keras.Model) for layer in clones):
        raise ValueError("`layers` chooses no convolution of the model.")
    for layer, new in clones.items():
        if layer not in chosen and not isinstance(layer, keras.Model):
            _copy_weights(layer, new)
        elif layer in chosen and init == "slice":
            new.kernel.assign(_blocks(_dense_kernel(layer), new.groups))
            if layer.use_bias:
                new.bias.assign(layer.bias)
    return copy


def _spatial(layer):
    return max(layer.kernel_size) > 1


def _channels(layer):
    return layer.input.shape[-1 if layer.data_format == "channels_last" else 1]


def _regrouped(layer, group_size, groups):
    channels = _channels(layer)
    config = layer.get_config()
    depthwise = isinstance(layer, keras.layers.DepthwiseConv2D)
    if depthwise:
        config = {
            key.replace("depthwise", "kernel"): value
            for key, value in config.items()
            if key not in ("depth_multiplier", "depthwise_initializer")
        }
        filters = channels * layer.depth_multiplier
    else:
        filters = layer.filters
    number = min(groups, channels) if groups else groups_of(channels, group_size)
    if channels % number or filters % number:
        divisors = [d for d in range(1, channels + 1) if channels % d == filters % d == 0]
        raise ValueError(
            f"The groups of {layer.name!r} must divide its {channels} and {filters} channels: one "
            f"of {divisors}. Received: {number} groups"
        )
    wanted = {"filters": filters, "groups": number}
    if not depthwise:
        config = {**config, **wanted}
        config.pop("group_size", None)
        kind = type(layer) if isinstance(layer, GroupConv2D) else GroupConv2D
        return kind.from_config(config)
    keep = ("kernel_size", "strides", "padding", "data_format", "dilation_rate", "activation")
    keep += ("use_bias", "name", "dtype", "trainable", "bias_initializer")
    return GroupConv2D(**wanted, **{key: layer.get_config()[key] for key in keep})


def _dense_kernel(layer):
    """The kernel as that of an ungrouped convolution, zero between the groups."""
    kernel = keras.ops.convert_to_numpy(layer.kernel)
    groups = getattr(layer, "groups", 1)
    if isinstance(layer, keras.layers.DepthwiseConv2D):
        groups = kernel.shape[2]
        kernel = kernel.reshape(*kernel.shape[:2], 1, -1)
    inner, out = kernel.shape[2], kernel.shape[3] // groups
    dense = np.zeros((*kernel.shape[:2], inner * groups, kernel.shape[3]), kernel.dtype)
    for g in range(groups):
        part = slice(g * out, (g + 1) * out)
        dense[:, :, g * inner : (g + 1) * inner, part] = kernel[..., part]
    return dense


def _blocks(dense, groups):
    inner, out = dense.shape[2] // groups, dense.shape[3] // groups
    return np.concatenate(
        [dense[:, :, g * inner : (g + 1) * inner, g * out : (g + 1) * out] for g in range(groups)],
        axis=-1,
    )


def _copy_weights(layer, copy):
    copy.set_weights(layer.get_weights())
    if isinstance(copy, keras.layers.Normalization):
        copy.finalize_state()  # it computes with constants made of its weights


def _clone(layer):
    return layer.__class__.from_config(layer.get_config())


def _rebuild(model, clone, skip=()):
    """The graph on clones of its layers, those of `skip` left out, and `{layer: clone}`."""
    clones = {}

    def once(layer):
        if not isinstance(layer, keras.layers.Layer):
            return layer
        if layer not in skip and layer not in clones:
            clones[layer] = clone(layer)
        return clones.get(layer, layer)

    def call(layer, *args, **kwargs):
        return args[0] if layer in skip else layer(*args, **kwargs)

    copy = keras.models.clone_model(model, clone_function=once, call_function=call)
    return like(model, copy), clones
