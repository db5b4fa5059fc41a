"""The names of timm for FBNetV3."""

from keras_resnets.weights.layout import TorchLayout
from keras_resnets.weights.timm import PREFIXES

# our layers and their modules, in a block with expansion and in one without
_PARTS = {
    "expand_conv": "conv_pw",
    "expand_norm": "bn1",
    "depthwise_conv": "conv_dw",
    "depthwise_norm": "bn2",
    "se_fc1": "se.conv_reduce",
    "se_fc2": "se.conv_expand",
    "project_conv": "conv_pwl",
    "project_norm": "bn3",
}
_SEPARABLE = {
    "depthwise_conv": "conv_dw",
    "depthwise_norm": "bn1",
    "project_conv": "conv_pw",
    "project_norm": "bn2",
}


def _rows(ours, theirs, parts=_PARTS):
    return {f"{ours}_{part}": f"{theirs}.{module}" for part, module in parts.items()}


def _fbnet_v3(depth):
    """Whose sixth stage has `depth` blocks: timm's last stage is our sixth and seventh."""
    names = {"stem_conv": "conv_stem", "stem_norm": "bn1"}
    names |= _rows("stage1_block{b}", "blocks.0.{b-1}", _SEPARABLE)
    for s in (2, 3, 4, 5):
        names |= _rows(f"stage{s}_block{{b}}", f"blocks.{s - 1}.{{b-1}}")
    for b in range(1, depth + 1):
        names |= _rows(f"stage6_block{b}", f"blocks.5.{b - 1}")
    names |= _rows("stage7_block{b}", f"blocks.5.{{b+{depth - 1}}}")
    names |= {"head_conv1": "blocks.6.0.conv", "head_norm1": "blocks.6.0.bn1"}
    names |= {"head_conv2": "conv_head", "predictions": "classifier"}
    return TorchLayout("timm_fbnet_v3", names, PREFIXES)


_ALL = tuple(_fbnet_v3(depth) for depth in (6, 7))  # up to E, F and G
LAYOUTS = (*(layout.without("head_conv2", "predictions") for layout in _ALL), *_ALL)
