"""The 2-D residual networks as a table of settings of one builder, and a factory for each."""

import keras

from keras_resnets.models.resnet import check, resnet


def _simclr():
    """SimCLR's ResNets: TensorFlow's max pooling, projections in every stage, last scales zero."""
    return dict(
        stem_pool="max_same",
        project_first=True,
        zero_init_residual=True,
        kernel_initializer=keras.initializers.VarianceScaling(),
    )


# Keras' own ResNets: biases, and the statistics' settings
_KERAS = dict(norm_epsilon=1.001e-5, norm_momentum=0.99, kernel_initializer="glorot_uniform")
_V1 = dict(_KERAS, use_bias=True, stride_on="1x1", stem_pool="max_zero")
_V2 = dict(
    _KERAS,
    preactivation=True,
    use_bias="unnormalized",
    stride_on="last",
    stem_pool="max_zero",
    shortcut="maxpool_identity",
)
_18 = dict(depths=(2, 2, 2, 2), block="basic")
_34 = dict(depths=(3, 4, 6, 3), block="basic")
_50 = dict(depths=(3, 4, 6, 3))
_101 = dict(depths=(3, 4, 23, 3))
_152 = dict(depths=(3, 8, 36, 3))
_200 = dict(depths=(3, 24, 36, 3))
_C = dict(stem="deep")
_D = dict(stem="deep", shortcut="avg")
_PRE = dict(preactivation=True)

VARIANTS = {
    "resnet18": _18,
    "resnet34": _34,
    "resnet50": _50,
    "resnet101": _101,
    "resnet152": _152,
    "resnet200": _200,
    "resnet18d": _18 | _D,
    "resnet34d": _34 | _D,
    "resnet50d": _50 | _D,
    "resnet101d": _101 | _D,
    "resnet152d": _152 | _D,
    "resnet200d": _200 | _D,
    "resnet50c": _50 | _C,
    "resnet152s": _152 | _C | dict(stem_width=64),
    "resnet50_v1": _50 | _V1,
    "resnet50v2": _50 | _PRE,
    "resnet101v2": _101 | _PRE,
    "resnet152v2": _152 | _PRE,
    "resnet50v2_keras": _50 | _V2,
    "resnext50_32x4d": _50 | dict(groups=32, base_width=4),
    "resnext101_32x4d": _101 | dict(groups=32, base_width=4),
    "resnext101_32x8d": _101 | dict(groups=32, base_width=8),
    "resnext101_64x4d": _101 | dict(groups=64, base_width=4),
    "wide_resnet50_2": _50 | dict(base_width=128),
    "wide_resnet101_2": _101 | dict(base_width=128),
    "seresnet50": _50 | dict(attention="se"),
    "seresnext50_32x4d": _50 | dict(attention="se", groups=32, base_width=4),
    "senet154": _152
    | dict(attention="se", groups=64, base_width=4, reduce_first=2, shortcut_kernel=3)
    | dict(stem="deep", stem_width=64, dropout=0.2),
    "skresnet50": _50 | dict(attention="sk"),
    "resnet50_sk": _50
    | _simclr()
    | dict(attention="sk_simclr", stem="deep", shortcut="avg_always"),
    "resnet50_evos": _50 | _D | _PRE | dict(norm_act="evonorm_s0"),
    "resnet50_evob": _50 | _D | _PRE | dict(norm_act="evonorm_b0"),
    "resnet50_gn": _50 | dict(norm_act="group_norm+relu"),
}


def _factory(name, what):
    """The factory of a row of the table."""

    def factory(
        include_top=True,
        weights=None,
        input_tensor=None,
        input_shape=None,
        pooling=None,
        classes=1000,
        classifier_activation="softmax",
        name=name,
        **options,
    ):
        return resnet(
            include_top,
            weights,
            input_tensor,
            input_shape,
            pooling,
            classes,
            classifier_activation,
            name,
            **{**settings, **options},
        )

    settings = VARIANTS[name]
    factory.__name__ = factory.__qualname__ = name
    factory.__doc__ = f"""{what}

    Args:
        include_top: whether global pooling and a classifier follow.
        weights: None, a Keras file, or a public checkpoint (timm, torchvision).
        input_tensor: Keras tensor to stand on; None makes an input.
        input_shape: `(height, width, channels)`; default: RGB of any size from 32 up.
        pooling: without the top, `"avg"`, `"max"` or None for feature maps.
        classes: number of classes.
        classifier_activation: None for logits.
        name: of the model.
        **options: of `resnet`, over the settings `VARIANTS[{name!r}]`.

    Returns:
        A functional `keras.Model`.
    """
    return factory


resnet18 = _factory("resnet18", "ResNet-18; 11,689,512 parameters.")
resnet34 = _factory("resnet34", "ResNet-34; 21,797,672 parameters.")
resnet50 = _factory("resnet50", "ResNet-50, torchvision's v1.5; 25,557,032 parameters.")
resnet101 = _factory("resnet101", "ResNet-101; 44,549,160 parameters.")
resnet152 = _factory("resnet152", "ResNet-152; 60,192,808 parameters.")
resnet200 = _factory("resnet200", "ResNet-200; 64,673,832 parameters.")
resnet18d = _factory("resnet18d", "ResNet-18-D: deep stem, pooled shortcuts.")
resnet34d = _factory("resnet34d", "ResNet-34-D: deep stem, pooled shortcuts.")
resnet50d = _factory("resnet50d", "ResNet-50-D: deep stem, pooled shortcuts.")
resnet101d = _factory("resnet101d", "ResNet-101-D: deep stem, pooled shortcuts.")
resnet152d = _factory("resnet152d", "ResNet-152-D: deep stem, pooled shortcuts.")
resnet200d = _factory("resnet200d", "ResNet-200-D: deep stem, pooled shortcuts.")
resnet50c = _factory("resnet50c", "ResNet-50-C: deep stem.")
resnet152s = _factory("resnet152s", "ResNet-152-S: deep stem of twice the width.")
resnet50_v1 = _factory("resnet50_v1", "ResNet-50 v1: the network of `keras.applications.ResNet50`.")
resnet50v2 = _factory("resnet50v2", "ResNet-50 v2: pre-activation (timm's `resnetv2_50`).")
resnet101v2 = _factory("resnet101v2", "ResNet-101 v2: pre-activation.")
resnet152v2 = _factory("resnet152v2", "ResNet-152 v2: pre-activation.")
resnet50v2_keras = _factory(
    "resnet50v2_keras", "ResNet-50 v2: the network of `keras.applications.ResNet50V2`."
)
resnext50_32x4d = _factory("resnext50_32x4d", "ResNeXt-50: 32 groups of 4 channels.")
resnext101_32x4d = _factory("resnext101_32x4d", "ResNeXt-101: 32 groups of 4 channels.")
resnext101_32x8d = _factory("resnext101_32x8d", "ResNeXt-101: 32 groups of 8 channels.")
resnext101_64x4d = _factory("resnext101_64x4d", "ResNeXt-101: 64 groups of 4 channels.")
wide_resnet50_2 = _factory("wide_resnet50_2", "ResNet-50 with twice as wide 3x3 convolutions.")
wide_resnet101_2 = _factory("wide_resnet101_2", "ResNet-101 with twice as wide 3x3 convolutions.")
seresnet50 = _factory("seresnet50", "ResNet-50 with squeeze-and-excitation.")
seresnext50_32x4d = _factory("seresnext50_32x4d", "ResNeXt-50 with squeeze-and-excitation.")
senet154 = _factory("senet154", "SENet-154; 115,088,984 parameters.")
skresnet50 = _factory("skresnet50", "ResNet-50 with timm's selective kernels.")
resnet50_sk = _factory("resnet50_sk", "ResNet-50 with SimCLRv2's selective kernels.")
resnet50_evos = _factory("resnet50_evos", "ResNet-50-D v2 with EvoNorm-S0 (`resnetv2_50d_evos`).")
resnet50_evob = _factory("resnet50_evob", "ResNet-50-D v2 with EvoNorm-B0.")
resnet50_gn = _factory("resnet50_gn", "ResNet-50 with group normalisation.")


def resnext50_e2gc(
    group_size=8,
    include_top=True,
    weights=None,
    input_tensor=None,
    input_shape=None,
    pooling=None,
    classes=1000,
    classifier_activation="softmax",
    name="resnext50_e2gc",
    **options,
):
    """ResNeXt-50 with groups of constant size in place of a constant number of groups.

    Args:
        group_size: channels of a group, a divisor of 128.
        include_top: whether global pooling and a classifier follow.
        weights: None or a Keras file.
        input_tensor: Keras tensor to stand on; None makes an input.
        input_shape: `(height, width, channels)`; default: RGB of any size from 32 up.
        pooling: without the top, `"avg"`, `"max"` or None for feature maps.
        classes: number of classes.
        classifier_activation: None for logits.
        name: of the model.
        **options: of `resnet`.

    Returns:
        A functional `keras.Model`.

    Raises:
        ValueError: `group_size` does not divide the channels.

    Example:

    >>> resnext50_e2gc(16, include_top=False, input_shape=(64, 64, 3)).output_shape
    (None, 2, 2, 2048)

    Reference:
        Jha et al., E2GC: Energy-efficient Group Convolution in Deep Neural Networks, VLSID 2020
        (arXiv 2006.15100).
    """
    settings = VARIANTS["resnext50_32x4d"] | dict(groups=1, group_size=group_size)
    # the width of the 3x3 convolutions is ResNeXt's
    settings["base_width"] = 128
    return resnet(
        include_top,
        weights,
        input_tensor,
        input_shape,
        pooling,
        classes,
        classifier_activation,
        name,
        **{**settings, **options},
    )


DEPTHS = {18: _18, 34: _34, 50: _50, 101: _101, 152: _152, 200: _200}


def simclr_resnet(
    depth=50,
    width_multiplier=1,
    sk_ratio=0.0,
    small_stem=None,
    include_top=True,
    weights=None,
    input_tensor=None,
    input_shape=None,
    pooling=None,
    classes=1000,
    classifier_activation="softmax",
    name=None,
    **options,
):
    """The encoder of SimCLR and SimCLRv2.

    Args:
        depth: 18, 34 (basic blocks), 50, 101, 152 or 200.
        width_multiplier: of every channel count.
        sk_ratio: hidden width of selective kernels, 0.0625 in the paper; 0 for none.
        small_stem: one 3x3 convolution without stride or pooling; None: for images up to 32 pixels.
        include_top: whether global pooling and a classifier follow.
        weights: None, a Keras file, or a public checkpoint.
        input_tensor: Keras tensor to stand on; None makes an input.
        input_shape: `(height, width, channels)`; default: RGB of any size from 32 up.
        pooling: without the top, `"avg"`, `"max"` or None for feature maps.
        classes: number of classes.
        classifier_activation: None for logits.
        name: of the model; default `simclr_resnet<depth>`.
        **options: of `resnet`, as `synchronized=True`.

    Returns:
        A functional `keras.Model`.

    Raises:
        ValueError: an unknown `depth`, or selective kernels with basic blocks.

    Example:

    >>> model = simclr_resnet(18, include_top=False, pooling="avg", input_shape=(32, 32, 3))
    >>> model.count_params()
    11182784

    Reference:
        Chen et al. 2020, SimCLR (arXiv 2002.05709) and SimCLRv2 (2006.10029).
    """
    check("depth", depth, DEPTHS)
    if small_stem is None:
        sides = sorted(input_shape)[1:] if input_shape and None not in input_shape else [None]
        small_stem = sides[0] is not None and max(sides) <= 32
    settings = DEPTHS[depth] | _simclr()
    if sk_ratio:
        settings |= dict(attention="sk_simclr", sk_ratio=sk_ratio, shortcut="avg_always")
        settings |= dict(stem="deep")
    if small_stem:
        settings |= dict(stem="cifar")
    return resnet(
        include_top,
        weights,
        input_tensor,
        input_shape,
        pooling,
        classes,
        classifier_activation,
        name or f"simclr_resnet{depth}",
        width_multiplier=width_multiplier,
        **{**settings, **options},
    )


def _simclr_factory(depth):
    def factory(
        width_multiplier=1,
        sk_ratio=0.0,
        small_stem=None,
        include_top=True,
        weights=None,
        input_tensor=None,
        input_shape=None,
        pooling=None,
        classes=1000,
        classifier_activation="softmax",
        name=f"simclr_resnet{depth}",
        **options,
    ):
        return simclr_resnet(
            depth,
            width_multiplier,
            sk_ratio,
            small_stem,
            include_top,
            weights,
            input_tensor,
            input_shape,
            pooling,
            classes,
            classifier_activation,
            name,
            **options,
        )

    factory.__name__ = factory.__qualname__ = f"simclr_resnet{depth}"
    factory.__doc__ = f"""SimCLR's ResNet-{depth}.

    Args:
        width_multiplier: of every channel count.
        sk_ratio: hidden width of selective kernels, 0.0625 in the paper; 0 for none.
        **options: all others of `simclr_resnet`.

    Returns:
        A functional `keras.Model`.
    """
    return factory


simclr_resnet50 = _simclr_factory(50)
simclr_resnet101 = _simclr_factory(101)
simclr_resnet152 = _simclr_factory(152)


def swav_resnet50(
    width_multiplier=1,
    include_top=True,
    weights=None,
    input_tensor=None,
    input_shape=None,
    pooling=None,
    classes=1000,
    classifier_activation="softmax",
    name="swav_resnet50",
    **options,
):
    """The encoder of SwAV: torchvision's ResNet-50, wider by `width_multiplier`.

    Args:
        width_multiplier: of every channel count: 1, 2, 4, 5.
        include_top: whether global pooling and a classifier follow.
        weights: None, a Keras file, or a public checkpoint.
        input_tensor: Keras tensor to stand on; None makes an input.
        input_shape: `(height, width, channels)`; default: RGB of any size from 32 up.
        pooling: without the top, `"avg"`, `"max"` or None for feature maps.
        classes: number of classes.
        classifier_activation: None for logits.
        name: of the model.
        **options: of `resnet`, as `synchronized=True`.

    Returns:
        A functional `keras.Model`.

    Example:

    >>> swav_resnet50(include_top=False, input_shape=(64, 64, 3)).output_shape
    (None, 2, 2, 2048)

    Reference:
        Caron et al., SwAV, NeurIPS 2020 (arXiv 2006.09882).
    """
    return resnet(
        include_top,
        weights,
        input_tensor,
        input_shape,
        pooling,
        classes,
        classifier_activation,
        name,
        width_multiplier=width_multiplier,
        **options,
    )
