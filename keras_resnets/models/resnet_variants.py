"""The 2-D residual networks as a table: each is a setting of one builder."""

import functools
import inspect

import keras

from keras_resnets.models.resnet import check, resnet

_COMMON = [p for p in inspect.signature(resnet).parameters.values() if p.kind != p.KEYWORD_ONLY]
_COMMON_DOCS = """include_top: whether global pooling and a classifier follow.
        weights: None, a Keras file, or a public checkpoint (timm, torchvision).
        input_tensor: Keras tensor to stand on; None makes an input.
        input_shape: `(height, width, channels)`; default: RGB of any size from 32 up.
        pooling: without the top, `"avg"`, `"max"` or None for feature maps.
        classes: number of classes.
        classifier_activation: None for logits.
        name: of the model; None: the factory's.
        **options: of `resnet`, over the settings of this network.

    Returns:
        A functional `keras.Model`."""


def _factory(settings_of):
    """Decorator of a function from a family's own arguments to `resnet`'s settings.

    The factory takes these arguments, then those that all factories have. `settings_of` may ask for
    one of the latter by `common_<argument>`, and set it. `{common}` in its docstring becomes their
    text.
    """
    parameters = inspect.signature(settings_of).parameters
    asked = [name for name in parameters if name.startswith("common_")]
    own = [p for name, p in parameters.items() if name not in asked]
    first = [p for p in own if p.kind == p.POSITIONAL_OR_KEYWORD]
    last = [p for p in own if p.kind == p.KEYWORD_ONLY]
    name = None if "common_name" in asked else settings_of.__name__
    named = [p.replace(default=name) if p.name == "name" else p for p in _COMMON]
    options = inspect.Parameter("options", inspect.Parameter.VAR_KEYWORD)
    signature = inspect.Signature([*first, *named, *last, options])

    @functools.wraps(settings_of)
    def factory(*args, **kwargs):
        given = signature.bind(*args, **kwargs)
        given.apply_defaults()
        given = given.arguments
        common = {p.name: given[p.name] for p in _COMMON}
        mine = {p.name: given[p.name] for p in own}
        mine |= {name: common[name.removeprefix("common_")] for name in asked}
        return resnet(**{**common, **settings_of(**mine), **given["options"]})

    factory.__signature__ = signature
    factory.__doc__ = (settings_of.__doc__ or "").replace("{common}", _COMMON_DOCS)
    return factory


def _variant(name, what, settings):
    """The factory of one row of the table."""

    def row():
        return settings

    row.__name__ = row.__qualname__ = name
    row.__doc__ = f"{what}\n\n    Args:\n        {{common}}\n    "
    return _factory(row)


# SimCLR's: TensorFlow's max pooling, projections in every stage, last scales zero
_SIMCLR = dict(
    stem_pool="max_same",
    project_first=True,
    zero_init_residual=True,
    kernel_initializer=keras.initializers.VarianceScaling(),
    preprocessing="unit",
)
_SIMCLR_SK = dict(attention="sk_simclr", stem="deep", shortcut="avg_always")
# keras.applications': biases, and the statistics' settings
_KERAS = dict(norm_epsilon=1.001e-5, norm_momentum=0.99, kernel_initializer="glorot_uniform")
_V1 = dict(_KERAS, use_bias=True, stride_on="1x1", stem_pool="max_zero", preprocessing="caffe")
_V2 = dict(_KERAS, preactivation=True, use_bias="unnormalized", stride_on="last")
_V2 |= dict(stem_pool="max_zero", shortcut="maxpool_identity", preprocessing="tf")
_18 = dict(depths=(2, 2, 2, 2), block="basic")
_34 = dict(depths=(3, 4, 6, 3), block="basic")
_50 = dict(depths=(3, 4, 6, 3))
_101 = dict(depths=(3, 4, 23, 3))
_152 = dict(depths=(3, 8, 36, 3))
_200 = dict(depths=(3, 24, 36, 3))
_C = dict(stem="deep")
_D = dict(stem="deep", shortcut="avg")
_PRE = dict(preactivation=True, preprocessing="tf")
_SE = dict(attention="se")
_SE154 = dict(_SE, groups=64, base_width=4, reduce_first=2, shortcut_kernel=3, stem="deep")
_SE154 |= dict(stem_width=64, dropout=0.2)


def _x(groups, width):
    """ResNeXt's 3x3 convolutions."""
    return dict(groups=groups, base_width=width)


resnet18 = _variant("resnet18", "ResNet-18; 11,689,512 parameters.", _18)
resnet34 = _variant("resnet34", "ResNet-34; 21,797,672 parameters.", _34)
resnet50 = _variant("resnet50", "ResNet-50, torchvision's v1.5; 25,557,032 parameters.", _50)
resnet101 = _variant("resnet101", "ResNet-101; 44,549,160 parameters.", _101)
resnet152 = _variant("resnet152", "ResNet-152; 60,192,808 parameters.", _152)
resnet200 = _variant("resnet200", "ResNet-200; 64,673,832 parameters.", _200)
resnet18d = _variant("resnet18d", "ResNet-18-D: deep stem, pooled shortcuts.", _18 | _D)
resnet34d = _variant("resnet34d", "ResNet-34-D: deep stem, pooled shortcuts.", _34 | _D)
resnet50d = _variant("resnet50d", "ResNet-50-D: deep stem, pooled shortcuts.", _50 | _D)
resnet101d = _variant("resnet101d", "ResNet-101-D: deep stem, pooled shortcuts.", _101 | _D)
resnet152d = _variant("resnet152d", "ResNet-152-D: deep stem, pooled shortcuts.", _152 | _D)
resnet200d = _variant("resnet200d", "ResNet-200-D: deep stem, pooled shortcuts.", _200 | _D)
resnet50c = _variant("resnet50c", "ResNet-50-C: deep stem.", _50 | _C)
resnet152s = _variant("resnet152s", "ResNet-152-S: wide deep stem.", _152 | _C | {"stem_width": 64})
resnet50_v1 = _variant("resnet50_v1", "ResNet-50 v1, keras.applications' `ResNet50`.", _50 | _V1)
resnet50v2 = _variant("resnet50v2", "ResNet-50 v2: pre-activation (`resnetv2_50`).", _50 | _PRE)
resnet101v2 = _variant("resnet101v2", "ResNet-101 v2: pre-activation.", _101 | _PRE)
resnet152v2 = _variant("resnet152v2", "ResNet-152 v2: pre-activation.", _152 | _PRE)
resnet50v2_keras = _variant(
    "resnet50v2_keras", "ResNet-50 v2, keras.applications' `ResNet50V2`.", _50 | _V2
)
resnext50_32x4d = _variant(
    "resnext50_32x4d", "ResNeXt-50: 32 groups of 4 channels.", _50 | _x(32, 4)
)
resnext101_32x4d = _variant(
    "resnext101_32x4d", "ResNeXt-101: 32 groups of 4 channels.", _101 | _x(32, 4)
)
resnext101_32x8d = _variant(
    "resnext101_32x8d", "ResNeXt-101: 32 groups of 8 channels.", _101 | _x(32, 8)
)
resnext101_64x4d = _variant(
    "resnext101_64x4d", "ResNeXt-101: 64 groups of 4 channels.", _101 | _x(64, 4)
)
wide_resnet50_2 = _variant(
    "wide_resnet50_2", "ResNet-50 with twice as wide 3x3 convolutions.", _50 | _x(1, 128)
)
wide_resnet101_2 = _variant(
    "wide_resnet101_2", "ResNet-101 with twice as wide 3x3 convolutions.", _101 | _x(1, 128)
)
seresnet50 = _variant("seresnet50", "ResNet-50 with squeeze-and-excitation.", _50 | _SE)
seresnext50_32x4d = _variant(
    "seresnext50_32x4d", "ResNeXt-50 with squeeze-and-excitation.", _50 | _SE | _x(32, 4)
)
senet154 = _variant("senet154", "SENet-154; 115,088,984 parameters.", _152 | _SE154)
skresnet50 = _variant(
    "skresnet50", "ResNet-50 with timm's selective kernels.", _50 | dict(attention="sk")
)
resnet50_sk = _variant(
    "resnet50_sk", "ResNet-50 with SimCLRv2's selective kernels.", _50 | _SIMCLR | _SIMCLR_SK
)
resnet50_evos = _variant(
    "resnet50_evos",
    "ResNet-50-D v2 with EvoNorm-S0 (`resnetv2_50d_evos`).",
    _50 | _D | _PRE | dict(norm_act="evonorm_s0"),
)
resnet50_evob = _variant(
    "resnet50_evob", "ResNet-50-D v2 with EvoNorm-B0.", _50 | _D | _PRE | {"norm_act": "evonorm_b0"}
)
resnet50_gn = _variant(
    "resnet50_gn", "ResNet-50 with group normalisation.", _50 | dict(norm_act="group_norm+relu")
)


@_factory
def resnext50_e2gc(group_size=None, *, groups=None):
    """ResNeXt-50 with groups of constant size (E2GC), or with a constant number of groups (FgGC).

    Its 3x3 convolutions have ResNeXt-50's 128, 256, 512 and 1024 channels.

    Args:
        group_size: channels of a group, a divisor of 128; default 8, where `groups` is not given.
        groups: number of groups instead, a divisor of 128.
        {common}

    Raises:
        ValueError: both `group_size` and `groups`, or one that does not divide the channels.

    Example:

    >>> resnext50_e2gc(16, include_top=False, input_shape=(64, 64, 3)).output_shape
    (None, 2, 2, 2048)

    Reference:
        Jha et al., E2GC: Energy-efficient Group Convolution in Deep Neural Networks, VLSID 2020
        (arXiv 2006.15100).
    """
    if groups is None:
        return _50 | dict(base_width=128, group_size=8 if group_size is None else group_size)
    if group_size is not None:
        raise ValueError(
            "Give `groups` or `group_size`, not both. "
            f"Received: groups={groups}, group_size={group_size}"
        )
    if groups not in (divisors := [2**n for n in range(8)]):
        raise ValueError(
            f"`groups` must divide the 128 channels of the first stage: one of {divisors}. "
            f"Received: groups={groups}"
        )
    return _50 | _x(groups, 128 // groups)


DEPTHS = {18: _18, 34: _34, 50: _50, 101: _101, 152: _152, 200: _200}


def _contrastive(width_multiplier):
    """Settings of encoders that see small crops, down to 8 pixels."""
    if isinstance(width_multiplier, bool) or width_multiplier % 1 or width_multiplier < 1:
        raise ValueError(
            "`width_multiplier` must be a whole number of at least 1. "
            f"Received: width_multiplier={width_multiplier}"
        )
    return dict(width_multiplier=int(width_multiplier), minimum_size=8)


def _simclr(depth, width_multiplier, sk_ratio, small_stem, se_ratio, input_shape, name):
    check("depth", depth, DEPTHS)
    if sk_ratio and se_ratio:
        raise ValueError(
            "Give `sk_ratio` or `se_ratio`, not both. "
            f"Received: sk_ratio={sk_ratio}, se_ratio={se_ratio}"
        )
    if small_stem is None:
        sides = sorted(input_shape)[1:] if input_shape and None not in input_shape else [None]
        small_stem = sides[0] is not None and max(sides) <= 32
    settings = DEPTHS[depth] | _SIMCLR | _contrastive(width_multiplier)
    settings["name"] = name or f"simclr_resnet{depth}"
    if sk_ratio:
        settings |= _SIMCLR_SK | dict(sk_ratio=sk_ratio)
    if se_ratio:
        settings |= _SE | dict(se_ratio=se_ratio)
    return settings | (dict(stem="cifar") if small_stem else {})


@_factory
def simclr_resnet(
    depth=50,
    width_multiplier=1,
    sk_ratio=0.0,
    small_stem=None,
    *,
    se_ratio=0.0,
    common_input_shape,
    common_name,
):
    """The encoder of SimCLR and SimCLRv2.

    What the authors' SavedModels call `initial_conv`, `initial_max_pool`, `block_group1` to
    `block_group4` and `final_avg_pool` is given by `kr.feature_extractor(model, ["stem_conv",
    "stem_pool", 2, 3, 4, 5, "avg_pool"])`, with `"stem_conv3"` under selective kernels.

    Args:
        depth: 18, 34 (basic blocks), 50, 101, 152 or 200.
        width_multiplier: of every channel count.
        sk_ratio: hidden width of selective kernels, 0.0625 in the paper; 0 for none.
        small_stem: one 3x3 convolution without stride or pooling; None: for images up to 32 pixels.
        se_ratio: hidden width of squeeze-and-excitation by channels, as 0.25; 0 for none.
        {common}

    Raises:
        ValueError: an unknown `depth`, selective kernels with basic blocks, or both kinds of
            attention.

    Example:

    >>> model = simclr_resnet(18, include_top=False, pooling="avg", input_shape=(32, 32, 3))
    >>> model.count_params()
    11182784

    Reference:
        Chen et al. 2020, SimCLR (arXiv 2002.05709) and SimCLRv2 (2006.10029).
    """
    common = common_input_shape, common_name
    return _simclr(depth, width_multiplier, sk_ratio, small_stem, se_ratio, *common)


def _simclr_variant(depth):
    def row(
        width_multiplier=1,
        sk_ratio=0.0,
        small_stem=None,
        *,
        se_ratio=0.0,
        common_input_shape,
        common_name,
    ):
        common = common_input_shape, common_name
        return _simclr(depth, width_multiplier, sk_ratio, small_stem, se_ratio, *common)

    row.__name__ = row.__qualname__ = f"simclr_resnet{depth}"
    row.__doc__ = f"""SimCLR's ResNet-{depth}.

    Args:
        width_multiplier: of every channel count.
        sk_ratio: hidden width of selective kernels, 0.0625 in the paper; 0 for none.
        small_stem: one 3x3 convolution without stride or pooling; None: for images up to 32 pixels.
        se_ratio: hidden width of squeeze-and-excitation by channels; 0 for none.
        {{common}}
    """
    return _factory(row)


simclr_resnet50 = _simclr_variant(50)
simclr_resnet101 = _simclr_variant(101)
simclr_resnet152 = _simclr_variant(152)


@_factory
def swav_resnet50(width_multiplier=1):
    """The encoder of SwAV: torchvision's ResNet-50, wider by `width_multiplier`.

    Args:
        width_multiplier: of every channel count: 1, 2, 4, 5.
        {common}

    Example:

    >>> swav_resnet50(include_top=False, input_shape=(64, 64, 3)).output_shape
    (None, 2, 2, 2048)

    Reference:
        Caron et al., SwAV, NeurIPS 2020 (arXiv 2006.09882).
    """
    return _50 | _contrastive(width_multiplier)
