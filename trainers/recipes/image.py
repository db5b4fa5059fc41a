"""Published recipes of image classifiers."""

from trainers.image_recipe import ImageRecipe

RESNET_CIFAR10 = ImageRecipe(
    name="resnet_cifar10",
    source="He et al., CVPR 2016, section 4.2; lengths of facebookresearch/open_lth",
    data="CIFAR-10",
    batch_size=128,
    epochs=160,
    optimizer="sgd",
    optimizer_args={"momentum": 0.9},
    learning_rate=0.1,
    schedule="piecewise",
    milestones=(80, 120),
    gamma=0.1,
    weight_decay=1e-4,
)

RESNET_IMAGENET = ImageRecipe(
    name="resnet_imagenet",
    source="Goyal et al. 2017, arXiv 1706.02677; tensorflow/tpu, models/official/resnet",
    data="ImageNet",
    batch_size=1024,
    epochs=90,
    optimizer="sgd",
    optimizer_args={"momentum": 0.9},
    learning_rate=0.4,
    schedule="piecewise",
    milestones=(30, 60, 80),
    gamma=0.1,
    warmup=5,
    weight_decay=1e-4,
    size=224,
    crop="resized",
    normalization="torch",
)

EVONORM_IMAGENET = RESNET_IMAGENET.replace(
    name="evonorm_imagenet",
    source="Liu et al., NeurIPS 2020, arXiv 2004.02967; tensorflow/tpu, models/official/resnet",
)

RESNET_SMALL = ImageRecipe(
    name="resnet_small",
    source="this package: CPU minutes on a few thousand small images",
    data="fashion_sample",
    batch_size=64,
    epochs=8,
    optimizer="sgd",
    optimizer_args={"momentum": 0.9},
    learning_rate=0.05,
    schedule="cosine",
    warmup=0.5,
    weight_decay=5e-4,
    pad=2,
)

BATCH_NORM_ONLY_CIFAR10 = RESNET_CIFAR10.replace(
    name="batch_norm_only_cifar10",
    source="Frankle et al., ICLR 2021, arXiv 2003.00152; facebookresearch/open_lth",
    decay_scope="all",
)

BATCH_NORM_ONLY_IMAGENET = RESNET_IMAGENET.replace(
    name="batch_norm_only_imagenet",
    source="Frankle et al., ICLR 2021, arXiv 2003.00152; facebookresearch/open_lth",
    decay_scope="all",
)
