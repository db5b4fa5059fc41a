"""The names of torchvision for GoogLeNet and Inception v3, of timm for Inception-ResNet v2."""

import dataclasses

from keras_resnets.weights.layout import TorchLayout
from keras_resnets.weights.timm import PREFIXES


def _units(names):
    """Rows of convolutions and of the norms behind them, from our and their names of units."""
    rows = {}
    for ours, theirs in names.items():
        rows |= {f"{ours}_conv": f"{theirs}.conv", f"{ours}_norm": f"{theirs}.bn"}
    return rows


# the auxiliary heads of the checkpoint serve training only, and our network has none
GOOGLENET = TorchLayout(
    "torchvision_googlenet",
    {
        **_units(
            {
                "conv{k}": "conv{k}",
                "inception{B}_branch{k}_{i}": "inception{B}.branch{k}.{i}",
                "inception{B}_branch{k}": "inception{B}.branch{k}",
            }
        ),
        "predictions": "fc",
    },
    PREFIXES,
    r"aux\d\..*",
)

INCEPTION_V3 = TorchLayout(
    "torchvision_inception_v3",
    {
        **_units(
            {
                "conv2d_{B}": "Conv2d_{B}",
                "mixed_{B}_branch{P}": "Mixed_{B}.branch{P}",
                "aux_conv{k}": "AuxLogits.conv{k}",
            }
        ),
        "aux_predictions": "AuxLogits.fc",
        "predictions": "fc",
    },
    PREFIXES,
)
_NO_AUXILIARY = dataclasses.replace(INCEPTION_V3, heads=r"AuxLogits\..*")

INCEPTION_RESNET_V2 = TorchLayout(
    "timm_inception_resnet_v2",
    {
        **_units(
            {
                "conv2d_7b": "conv2d_7b",
                "conv2d_{B}_{S}": "conv2d_{B}",
                "mixed_{B}_branch{k}_{i}": "mixed_{B}.branch{k}.{i}",
                "mixed_{B}_branch{k}": "mixed_{B}.branch{k}",
                "repeat_{i}_branch{k}_{j}": "repeat.{i}.branch{k}.{j}",
                "repeat_{i}_branch{k}": "repeat.{i}.branch{k}",
                "repeat_{r}_{i}_branch{k}_{j}": "repeat_{r}.{i}.branch{k}.{j}",
                "repeat_{r}_{i}_branch{k}": "repeat_{r}.{i}.branch{k}",
                "block8_branch{k}_{j}": "block8.branch{k}.{j}",
                "block8_branch{k}": "block8.branch{k}",
            }
        ),
        "repeat_{i}_conv2d": "repeat.{i}.conv2d",
        "repeat_{r}_{i}_conv2d": "repeat_{r}.{i}.conv2d",
        "block8_conv2d": "block8.conv2d",
        "predictions": "classif",
    },
    PREFIXES,
)

_ALL = (GOOGLENET, _NO_AUXILIARY, INCEPTION_V3, INCEPTION_RESNET_V2)
LAYOUTS = (*(layout.without("predictions") for layout in _ALL), *_ALL)
