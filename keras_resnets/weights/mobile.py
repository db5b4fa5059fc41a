"""The names of timm for MobileNet V1 and V3 and for EfficientNet-B0.

The latter two are keras.applications' networks, which pad as TensorFlow does: their counterparts
are timm's `tf_...` models.
"""

from keras_resnets.weights import imagenet
from keras_resnets.weights.layout import TorchLayout
from keras_resnets.weights.timm import PREFIXES

IMAGENET = (imagenet.MEAN, imagenet.DEVIATION)


def _mobilenet_v1():
    rows, stage, block = {}, 0, 0
    strides = (1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1)
    for b, stride in enumerate(strides, start=1):
        stage, block = (stage + 1, 0) if stride == 2 else (stage, block + (b > 1))
        theirs = f"blocks.{stage}.{block}"
        rows |= {f"block{b}_conv1": f"{theirs}.conv_dw", f"block{b}_norm1": f"{theirs}.bn1"}
        rows |= {f"block{b}_conv2": f"{theirs}.conv_pw", f"block{b}_norm2": f"{theirs}.bn2"}
    return rows


MOBILENET_V1 = TorchLayout(
    "timm_mobilenet_v1",
    {
        "stem_conv": "conv_stem",
        "stem_norm": "bn1",
        **_mobilenet_v1(),
        "predictions": "classifier",
    },
    PREFIXES,
)

# of our layers, and of theirs in an inverted residual block and in one without expansion
_V3_PARTS = {
    "expand": ("conv_pw", None),
    "expand_bn": ("bn1", None),
    "depthwise": ("conv_dw", "conv_dw"),
    "depthwise_bn": ("bn2", "bn1"),
    "squeeze_excite_conv": ("se.conv_reduce", "se.conv_reduce"),
    "squeeze_excite_conv_1": ("se.conv_expand", "se.conv_expand"),
    "project": ("conv_pwl", "conv_pw"),
    "project_bn": ("bn3", "bn2"),
}


def _mobilenet_v3(name, depths):
    rows, i = {"conv": "conv_stem", "conv_bn": "bn1"}, 0
    for stage, depth in enumerate(depths):
        for block in range(depth):
            prefix = f"expanded_conv_{i}" if i else "expanded_conv"
            for part, modules in _V3_PARTS.items():
                module = modules[i == 0]
                if module:
                    rows[f"{prefix}_{part}"] = f"blocks.{stage}.{block}.{module}"
            i += 1
    rows |= {"conv_1": f"blocks.{len(depths)}.0.conv", "conv_1_bn": f"blocks.{len(depths)}.0.bn1"}
    return TorchLayout(name, {**rows, "conv_2": "conv_head", "logits": "classifier[1*1]"}, PREFIXES)


MOBILENET_V3_SMALL = _mobilenet_v3("timm_mobilenet_v3_small", (1, 2, 3, 2, 3))
MOBILENET_V3_LARGE = _mobilenet_v3("timm_mobilenet_v3_large", (1, 2, 3, 4, 2, 3))

_EFFICIENTNET_PARTS = {
    "expand_conv": ("conv_pw", None),
    "expand_bn": ("bn1", None),
    "dwconv": ("conv_dw", "conv_dw"),
    "bn": ("bn2", "bn1"),
    "se_reduce": ("se.conv_reduce", "se.conv_reduce"),
    "se_expand": ("se.conv_expand", "se.conv_expand"),
    "project_conv": ("conv_pwl", "conv_pw"),
    "project_bn": ("bn3", "bn2"),
}
EFFICIENTNET_B0 = TorchLayout(
    "timm_efficientnet_b0",
    {
        "stem_conv": "conv_stem",
        "stem_bn": "bn1",
        **{
            f"block{s}{letter}_{part}": f"blocks.{s - 1}.{b}.{modules[s == 1]}"
            for s, depth in enumerate((1, 2, 2, 3, 3, 4, 1), start=1)
            for b, letter in enumerate("abcd"[:depth])
            for part, modules in _EFFICIENTNET_PARTS.items()
            if modules[s == 1]
        },
        "top_conv": "conv_head",
        "top_bn": "bn2",
        "predictions": "classifier",
    },
    PREFIXES,
    statistics=IMAGENET,
)

_V3 = (MOBILENET_V3_SMALL, MOBILENET_V3_LARGE)
_OTHERS = (MOBILENET_V1, EFFICIENTNET_B0)
LAYOUTS = (
    *(layout.without("conv_2", "logits") for layout in _V3),
    *_V3,
    *(layout.without("predictions") for layout in _OTHERS),
    *_OTHERS,
)
