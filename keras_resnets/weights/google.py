"""The names of Google's Big Transfer files (`BiT-M-R50x1.npz` and the like)."""

from keras_resnets.weights.layout import TorchLayout

_UNIT = "resnet/block{s}/unit{b:02}"

BIT = TorchLayout(
    "google_bit",
    {
        "stem_conv": "resnet/root_block/standardized_conv2d",
        **{
            f"stage{{s}}_block{{b}}_{kind}{k}": f"{_UNIT}/{letter}/{theirs}"
            for k, letter in enumerate("abc", start=1)
            for kind, theirs in (("conv", "standardized_conv2d"), ("norm", "group_norm"))
        },
        "stage{s}_block{b}_shortcut_conv": f"{_UNIT}/a/proj/standardized_conv2d",
        "norm": "resnet/group_norm",
        "predictions": "resnet/head/conv2d[1][1]",
    },
    native=True,
)

LAYOUTS = (BIT.without("predictions"), BIT)
