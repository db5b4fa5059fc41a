"""The names of torchvision and timm for AlexNet, VGG-16 and DenseNet."""

from keras_resnets.weights.layout import TorchLayout
from keras_resnets.weights.timm import PREFIXES

_TOP = ("fc1", "fc2", "predictions")

# the flattened 6x6 map of our network is already in torch's order
ALEXNET = TorchLayout(
    "torchvision_alexnet",
    {
        **{f"conv{k}": f"features.{i}" for k, i in enumerate((0, 3, 6, 8, 10), start=1)},
        "fc1": "classifier.1",
        "fc2": "classifier.4",
        "predictions": "classifier.6",
    },
    PREFIXES,
)

# positions of the convolutions of each block in the sequence of torch
_VGG16 = ((0, 2), (5, 7), (10, 12, 14), (17, 19, 21), (24, 26, 28))
_VGG16_CONVS = {
    f"block{b}_conv{k}": f"features.{i}"
    for b, block in enumerate(_VGG16, start=1)
    for k, i in enumerate(block, start=1)
}
VGG16 = TorchLayout(
    "torchvision_vgg16",
    {
        **_VGG16_CONVS,
        "fc1": "classifier.0[7*7]",
        "fc2": "classifier.3",
        "predictions": "classifier.6",
    },
    PREFIXES,
)
VGG16_TIMM = TorchLayout(
    "timm_vgg16",
    {
        **_VGG16_CONVS,
        "fc1": "pre_logits.fc1[7][7]",
        "fc2": "pre_logits.fc2[1][1]",
        "predictions": "head.fc",
    },
    PREFIXES,
)

DENSENET = TorchLayout(
    "torchvision_densenet",
    {
        "stem_conv": "features.conv0",
        "stem_norm": "features.norm0",
        "block{b}_layer{i}_conv{k}": "features.denseblock{b}.denselayer{i}.conv{k}",
        "block{b}_layer{i}_norm{k}": "features.denseblock{b}.denselayer{i}.norm{k}",
        "transition{b}_conv": "features.transition{b}.conv",
        "transition{b}_norm": "features.transition{b}.norm",
        "norm": "features.norm5",
        "predictions": "classifier",
    },
    PREFIXES,
)

_DENSE = (ALEXNET, VGG16, VGG16_TIMM)
LAYOUTS = (
    *(layout.without(*_TOP) for layout in _DENSE),
    *_DENSE,
    DENSENET.without("predictions"),
    DENSENET,
)
