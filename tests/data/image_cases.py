"""The public image networks and our factories for them: what is shown to be equal.

The keys are timm's names, or torchvision's behind `torchvision_`.
"""

from typing import NamedTuple

SIDES = ((64, 64), (97, 65))
INCEPTION_SIDES = ((75, 75), (97, 81))
FIXED = ((224, 224),)
BIT = {
    "norm_act": "group_norm+relu",
    "weight_standardization": True,
    "stem_pool": "max_zero",
}
SYMMETRIC = {"dw_padding": "symmetric"}


class Case(NamedTuple):
    """Our factory and its options, and how the two are compared."""

    factory: str
    options: dict = {}
    layout: str | None = None  # None: the one that `to_torch` takes by itself
    sizes: tuple = SIDES  # of the goldens
    fast: bool = False  # in every run, not only before a release
    static: bool = False  # pads by the size that it was built for
    tolerance: float = 1e-5
    takes_bytes: bool = False  # ours normalises inside, theirs outside


CASES = {
    "resnet18": Case("resnet18", fast=True),
    "resnet50": Case("resnet50"),
    "resnet50d": Case("resnet50d", fast=True),
    "resnet152s": Case("resnet152s"),
    "resnext50_32x4d": Case("resnext50_32x4d"),
    "seresnet50": Case("seresnet50"),
    "senet154": Case("senet154"),
    "skresnet50": Case("skresnet50"),
    "wide_resnet50_2": Case("wide_resnet50_2"),
    "resnetv2_50": Case("resnet50v2"),
    "resnetv2_50d_evos": Case("resnet50_evos", fast=True),
    "resnet50_gn": Case("resnet50_gn"),
    # on such small maps timm itself is 1e-5 away from its float64 results
    "resnetv2_50x1_bit": Case("resnet50v2", BIT, fast=True, tolerance=4e-5),
    "ecaresnet50d": Case("resnet50d", {"attention": "eca"}),
    "densenet121": Case("densenet121"),
    "torchvision_densenet121": Case("densenet121"),
    "torchvision_resnet50": Case("resnet50"),
    "torchvision_alexnet": Case("alexnet", sizes=FIXED),
    "torchvision_vgg16": Case("vgg16", layout="torchvision_vgg16", sizes=FIXED),
    "vgg16": Case("vgg16", layout="timm_vgg16", sizes=FIXED),
    "torchvision_googlenet": Case("googlenet", fast=True),
    "torchvision_inception_v3": Case("inception_v3", sizes=INCEPTION_SIDES, fast=True),
    "inception_resnet_v2": Case("inception_resnet_v2", sizes=INCEPTION_SIDES),
    "mobilenetv1_100": Case("mobilenet_v1", {"norm_act": "batch_norm+relu6"}, fast=True),
    "tf_mobilenetv3_small_100": Case("mobilenet_v3_small", static=True, fast=True),
    "tf_mobilenetv3_large_100": Case("mobilenet_v3_large", static=True),
    "tf_efficientnet_b0": Case("efficientnet_b0", static=True, fast=True, takes_bytes=True),
    "fbnetv3_b": Case("fbnet_v3_b", SYMMETRIC, fast=True),
    "fbnetv3_d": Case("fbnet_v3_d", SYMMETRIC),
    "fbnetv3_g": Case("fbnet_v3_g", SYMMETRIC),
}


def our_input(case, images):
    """What ours takes where theirs takes `images`, which have ImageNet's mean and deviation."""
    if not case.takes_bytes:
        return images
    mean, deviation = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    return (255 * (images * deviation + mean)).astype("float32")
