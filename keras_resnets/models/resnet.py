"""The builder of the 2-D residual networks; their table is in `resnet_variants.py`."""

import warnings

from keras_resnets.initializers import KAIMING_FAN_OUT
from keras_resnets.models import residual
from keras_resnets.models.conv_norm_act import ConvNormAct
from keras_resnets.models.image_model import (
    PREPROCESSING,
    image_input,
    image_model,
    known_sides,
)
from keras_resnets.weights import load_weights

# convolutions of a flat graph; with some 300, Keras reaches the recursion limit of 1000
MAX_FLAT = 200


def resnet(
    include_top=True,
    weights=None,
    input_tensor=None,
    input_shape=None,
    pooling=None,
    classes=1000,
    classifier_activation="softmax",
    name="resnet",
    *,
    depths=(3, 4, 6, 3),
    block="bottleneck",
    filters=(64, 128, 256, 512),
    width_multiplier=1,
    preactivation=False,
    stride_on="3x3",
    stem="7x7",
    stem_width=None,
    stem_pool="max",
    shortcut="conv",
    shortcut_kernel=1,
    shortcut_pad="both",
    project_first=False,
    groups=1,
    base_width=64,
    group_size=None,
    reduce_first=1,
    attention=None,
    se_ratio=1 / 16,
    sk_ratio=1 / 16,
    norm_act="batch_norm+relu",
    norm_epsilon=1e-5,
    norm_momentum=0.9,
    synchronized=False,
    zero_init_residual=False,
    anti_alias=None,
    drop_path=0.0,
    drop_block=0.0,
    dropout=0.0,
    block_dropout=0.0,
    use_bias=False,
    kernel_initializer=KAIMING_FAN_OUT,
    gamma_initializer="ones",
    weight_standardization=False,
    dense_init="torch",
    output_stride=32,
    minimum_size=32,
    scan_blocks=False,
    preprocessing="torch",
):
    """The residual network that every 2-D ResNet factory of this package is a setting of.

    The defaults give torchvision's ResNet-50 ("v1.5"). Layers are named `stage2_block1_conv3` and
    so on. A network of more than 200 convolutions keeps runs of blocks in nested models, with the
    same names: Keras walks a flat graph by recursion, and Python's limit is near.

    Args:
        include_top: whether global pooling and a classifier of `classes` follow.
        weights: None, a `.keras` or `.weights.h5` file, or a public checkpoint as
            `keras_resnets.weights.from_torch` takes it.
        input_tensor: Keras tensor to stand on; None makes an input.
        input_shape: `(height, width, channels)`; default: RGB of any size.
        pooling: without the top, `"avg"`, `"max"` or None for feature maps.
        classes: number of classes.
        classifier_activation: None for logits.
        name: of the model.
        depths: blocks of each stage.
        block: `"bottleneck"` or `"basic"`.
        filters: planes of each stage; a bottleneck puts out four times as many channels.
        width_multiplier: multiplies `filters` and `stem_width`.
        preactivation: norm and activation before the convolutions (v2).
        stride_on: where a stage strides: `"3x3"`, `"1x1"` (He et al., keras.applications), or
            `"last"`: in the last block (keras.applications v2).
        stem: `"7x7"`, `"deep"` (three 3x3), `"cifar"` (one 3x3, no stride) or `"none"`.
        stem_width: channels; of a deep stem three numbers, or `w` for `(w, w, 2 w)`. Default 64, of
            a deep stem 32.
        stem_pool: `"max"` (padded by 1 on all sides), `"max_zero"` (the same with zeros),
            `"max_ceil"` (padded at the end), `"max_same"` (TensorFlow's), `"conv"` or `"none"`.
        shortcut: where the shape changes: `"conv"`, `"avg"` (pooled before the convolution; -D),
            `"avg_always"` (pooled without a stride too; SimCLRv2), `"pad"` (zeros),
            `"maxpool_identity"` (keras.applications v2).
        shortcut_kernel: side of strided shortcut convolutions.
        shortcut_pad: for `"pad"`: zero channels on `"both"` sides, or at the `"end"`.
        project_first: convolve the shortcut of every stage's first block.
        groups: of the 3x3 convolutions of bottlenecks.
        base_width: these have `int(planes * base_width / 64) * groups` channels.
        group_size: channels of a group, instead of `groups`.
        reduce_first: divides the width of a block's first convolution.
        attention: None, `"se"`, `"eca"`, `"sk"` (timm's selective kernels), `"sk_whole"` (of
            its `skresnext50_32x4d`: each stream sees all channels), `"sk_simclr"`.
        se_ratio: hidden width of `"se"` by channels.
        sk_ratio: hidden width of selective kernels by channels.
        norm_act: as in `ConvNormAct`: `"batch_norm+relu"`, `"group_norm+silu"`, `"frn+tlu"`,
            `"evonorm_s0"`, `"none+relu"` ..., or a function.
        norm_epsilon: added to variances.
        norm_momentum: of moving statistics, in Keras' sense.
        synchronized: batch statistics over all replicas.
        zero_init_residual: the last norm of every block starts with scale zero (v1 only).
        anti_alias: `"blur"`: strides act behind a low-pass filter.
        drop_path: rate of stochastic depth at the last block; rises linearly from 0.
        drop_block: share that DropBlock drops in the last two stages.
        dropout: rate before the classifier.
        block_dropout: rate between the convolutions of a basic block.
        use_bias: True, False, or `"unnormalized"`: for convolutions without a norm behind them.
        kernel_initializer: of convolutions.
        gamma_initializer: of normalisation scales.
        weight_standardization: standardise the kernels at each call. Big Transfer's networks are
            `resnet50v2(norm_act="group_norm+relu", weight_standardization=True,
            stem_pool="max_zero")` and the like, wider by `width_multiplier`.
        dense_init: of the classifier: `"torch"` or `"normal_0.01"`.
        output_stride: 32, or 16 or 8 to dilate the last stages instead of striding.
        minimum_size: least side of the images.
        scan_blocks: run each stage's blocks but the first as a loop over stacked weights
            (`StackedBlocks`): a graph of a few blocks however deep the network. `transfer_weights`
            goes to and from the network with `scan_blocks=False`.
        preprocessing: what `model.preprocessing` says of the images: `"torch"` (ImageNet's mean and
            deviation), `"caffe"`, `"tf"` (to [-1, 1]), `"unit"` (to [0, 1]), `"none"`.

    Returns:
        A functional `keras.Model`.

    Raises:
        ValueError: an unknown option, sides that are too small, or `weights` that do not fit.

    Example:

    >>> model = resnet(depths=(1, 1), filters=(8, 16), classes=5)
    >>> model(np.zeros((2, 64, 48, 3))).shape
    TensorShape([2, 5])

    Reference:
        He et al. 2016 (arXiv 1512.03385; v2 1603.05027); Xie et al. 2017 (ResNeXt, 1611.05431); Hu
        et al. 2018 (SE, 1709.01507); He et al. 2019 (-D, 1812.01187).
    """
    check("block", block, residual.EXPANSION)
    check("stride_on", stride_on, ("3x3", "1x1", "last"))
    check("stem", stem, residual.STEMS)
    check("stem_pool", stem_pool, residual.STEM_POOLS)
    check("shortcut", shortcut, residual.SHORTCUTS)
    check("shortcut_pad", shortcut_pad, ("both", "end"))
    check("attention", attention, residual.ATTENTIONS)
    check("anti_alias", anti_alias, (None, "blur"))
    check("output_stride", output_stride, (32, 16, 8))
    check("preprocessing", preprocessing, PREPROCESSING)
    check("scan_blocks", scan_blocks, (True, False))
    if len(depths) > len(filters):
        raise ValueError(f"`filters` must have one entry a stage of `depths`={tuple(depths)}.")
    if block == "basic" and (groups != 1 or group_size or str(attention).startswith("sk")):
        raise ValueError("Basic blocks take neither groups nor selective kernels.")
    if attention in residual.SELECTIVE:
        if not str(norm_act).startswith("batch_norm+relu"):
            raise ValueError(f'Selective kernels need "batch_norm+relu". Received: {norm_act!r}')
        if weight_standardization:
            raise ValueError("Selective kernels have no `weight_standardization`.")
        if anti_alias or drop_block or output_stride != 32:
            raise ValueError(
                "Selective kernels take no `anti_alias`, `drop_block`, `output_stride`. Received: "
                f"anti_alias={anti_alias!r}, drop_block={drop_block}, output_stride={output_stride}"
            )
    if scan_blocks and drop_path:
        raise ValueError(
            "`scan_blocks=True` needs blocks that are alike, and `drop_path` rises from block to "
            f"block. Received: drop_path={drop_path}"
        )

    unit = ConvNormAct(
        norm_act, norm_epsilon, norm_momentum, synchronized, use_bias, kernel_initializer,
        gamma_initializer, weight_standardization=weight_standardization,
    )  # fmt: skip
    blocks = residual.Residual(
        unit, block, preactivation, stride_on, shortcut, shortcut_kernel, shortcut_pad,
        project_first, groups, base_width, group_size, reduce_first, attention, se_ratio, sk_ratio,
        zero_init_residual, anti_alias, block_dropout,
    )  # fmt: skip

    inputs = image_input(input_tensor, input_shape, minimum_size)
    if stem not in ("cifar", "none") and min(known_sides(inputs), default=32) < 32:
        warnings.warn(
            f"Images of {tuple(inputs.shape[1:])} shrink to a single place before the last stage: "
            'a stem for small images is `stem="cifar"` (`small_stem=True` of SimCLR\'s).',
            stacklevel=3,
        )
    x = residual.stem(
        unit,
        inputs,
        stem,
        stem_widths(stem, stem_width, width_multiplier),
        stem_pool,
        anti_alias,
        preactivation,
    )
    count, done = sum(depths), 0
    nested = count * (3 if block == "bottleneck" else 2) > MAX_FLAT
    form = "scan" if scan_blocks else "nested" if nested else "flat"
    reached, dilation = 1 if stem in ("cifar", "none") else 4, 1
    for s, (depth, planes) in enumerate(zip(depths, filters), start=1):
        stride = 1 if s == 1 else 2
        if stride_on == "last":
            stride = 2 if s < len(depths) else 1
        previous = dilation
        if stride > 1 and reached >= output_stride:
            dilation, stride = dilation * stride, 1
        reached *= stride
        rates = [drop_path * (done + i) / max(count - 1, 1) for i in range(depth)]
        x = blocks.stage(
            x,
            depth,
            int(planes * width_multiplier),
            stride,
            (previous, dilation),
            rates,
            {3: (drop_block / 4, 5), 4: (drop_block, 3)}.get(s) if drop_block else None,
            form,
            name=f"stage{s}",
        )
        done += depth
    if preactivation:
        x = unit.norm(x, name="norm")
    model = image_model(
        inputs, x, include_top, pooling, classes, classifier_activation, name, dropout, dense_init,
        preprocessing,
    )  # fmt: skip
    return load_weights(model, weights)


def check(name, value, allowed):
    """Refuse an unknown value of an option."""
    if value not in allowed:
        raise ValueError(f"`{name}` must be one of {[*allowed]}. Received: {name}={value!r}")


def stem_widths(stem, width, multiplier):
    """Channels of the stem's convolutions: a number, or three of a deep stem."""
    if stem != "deep":
        return int((width or 64) * multiplier)
    width = width or 32
    widths = (width, width, 2 * width) if isinstance(width, int) else width
    return tuple(int(w * multiplier) for w in widths)
