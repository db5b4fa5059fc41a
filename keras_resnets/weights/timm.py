"""The names of timm and torchvision for residual networks, and those of the CIFAR checkpoints."""

import dataclasses

from keras_resnets.weights.layout import TorchLayout

PREFIXES = ("module.", "model.", "backbone.", "encoder_q.", "_orig_mod.")
# what SwAV trains beside the encoder
_PROJECTIONS = r"(projection_head|prototypes)\..*"

_BLOCKS = {
    "stage{s}_block{b}_conv{k}": "layer{s}.{b-1}.conv{k}",
    "stage{s}_block{b}_norm{k}": "layer{s}.{b-1}.bn{k}",
    "stage{s}_block{b}_shortcut_conv": "layer{s}.{b-1}.downsample.0",
    "stage{s}_block{b}_shortcut_norm": "layer{s}.{b-1}.downsample.1",
    "stage{s}_block{b}_shortcut_avg_conv": "layer{s}.{b-1}.downsample.1",
    "stage{s}_block{b}_shortcut_avg_norm": "layer{s}.{b-1}.downsample.2",
    "stage{s}_block{b}_se_fc{k}": "layer{s}.{b-1}.se.fc{k}",
    "stage{s}_block{b}_eca_conv": "layer{s}.{b-1}.se.conv",
}

RESNET = TorchLayout(
    "timm",
    {
        "stem_conv": "conv1",
        "stem_norm": "bn1",
        "stem_conv1": "conv1.0",
        "stem_norm1": "conv1.1",
        "stem_conv2": "conv1.3",
        "stem_norm2": "conv1.4",
        "stem_conv3": "conv1.6",
        "stem_norm3": "bn1",
        "stem_pool_conv": "maxpool.0",
        "stem_pool_norm": "maxpool.1",
        **_BLOCKS,
        "predictions": "fc",
    },
    PREFIXES,
    _PROJECTIONS,
)

# older timm checkpoints
LEGACY_SE = dataclasses.replace(
    RESNET,
    name="timm_legacy_se",
    names={ours: theirs.replace(".se.", ".se_module.") for ours, theirs in RESNET.names.items()},
)

SKNET = dataclasses.replace(
    RESNET,
    name="timm_sk",
    names={
        **RESNET.names,
        "stage{s}_block{b}_conv{k}": "layer{s}.{b-1}.conv{k}.conv",
        "stage{s}_block{b}_norm{k}": "layer{s}.{b-1}.conv{k}.bn",
        "stage{s}_block{b}_sk/path{p}": "layer{s}.{b-1}.conv2.paths.{p-1}.conv",
        "stage{s}_block{b}_sk/path{p}_norm": "layer{s}.{b-1}.conv2.paths.{p-1}.bn",
        "stage{s}_block{b}_sk/reduce": "layer{s}.{b-1}.conv2.attn.fc_reduce",
        "stage{s}_block{b}_sk/reduce_norm": "layer{s}.{b-1}.conv2.attn.bn",
        "stage{s}_block{b}_sk/select": "layer{s}.{b-1}.conv2.attn.fc_select",
    },
)

RESNET_V2 = TorchLayout(
    "timm_v2",
    {
        "stem_conv": "stem.conv",
        "stem_conv{k}": "stem.conv{k}",
        "stem_norm{k}": "stem.norm{k}",
        "stage{s}_block{b}_conv{k}": "stages.{s-1}.blocks.{b-1}.conv{k}",
        "stage{s}_block{b}_norm{k}": "stages.{s-1}.blocks.{b-1}.norm{k}",
        "stage{s}_block{b}_shortcut_conv": "stages.{s-1}.blocks.{b-1}.downsample.conv",
        "stage{s}_block{b}_shortcut_avg_conv": "stages.{s-1}.blocks.{b-1}.downsample.conv",
        "norm": "norm",
        "predictions": "head.fc[1][1]",
    },
    PREFIXES,
)

CIFAR = TorchLayout(
    "akamaster",
    {
        "stem_conv": "conv1",
        "stem_norm": "bn1",
        "stage{s}_block{b}_conv{k}": "layer{s}.{b-1}.conv{k}",
        "stage{s}_block{b}_norm{k}": "layer{s}.{b-1}.bn{k}",
        "stage{s}_block{b}_shortcut_conv": "layer{s}.{b-1}.shortcut.0",
        "stage{s}_block{b}_shortcut_norm": "layer{s}.{b-1}.shortcut.1",
        "predictions": "linear",
    },
    PREFIXES,
)

_ALL = (RESNET, LEGACY_SE, SKNET, RESNET_V2, CIFAR)
LAYOUTS = (*(layout.without("predictions") for layout in _ALL), *_ALL)
