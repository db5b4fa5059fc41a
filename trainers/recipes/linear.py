"""Published recipes of linear classifiers on frozen features."""

from trainers.linear_recipe import LinearRecipe

LINEAR_SIMCLR = LinearRecipe(
    name="linear_simclr",
    source="google-research/simclr, README and model_util.py",
    data="ImageNet at 224 pixels in [0, 1]; random crops and flips; tested on centre crops",
    batch_size=4096,
    epochs=90,
    optimizer="sgd",
    optimizer_args={"momentum": 0.9, "nesterov": True},
    learning_rate=1.6,  # 0.1 for 256
    schedule="cosine",
    weight_decay=1e-6,
)

LINEAR_SIMCLR_CIFAR = LINEAR_SIMCLR.replace(
    name="linear_simclr_cifar",
    data="CIFAR-10 in [0, 1]; random crops and flips; tested on whole images",
    batch_size=512,
    epochs=100,
    learning_rate=0.2,  # 0.1 for 256
    weight_decay=0.0,
)

LINEAR_SWAV = LinearRecipe(
    name="linear_swav",
    source="facebookresearch/swav, eval_linear.py",
    data="ImageNet at 224 pixels, standardised; random crops and flips; tested on centre crops",
    batch_size=256,
    epochs=100,
    optimizer="sgd",
    optimizer_args={"momentum": 0.9},
    learning_rate=0.3,
    schedule="cosine",
    weight_decay=1e-6,
    deviation=0.01,
    rate_per_epoch=True,
    keep_best=True,
)

LINEAR_SMALL = LINEAR_SIMCLR_CIFAR.replace(
    name="linear_small",
    source="this package: seconds on a few thousand small images",
    data="cifar10 or fashion_sample",
    batch_size=256,
    epochs=50,
    learning_rate=0.5,
)
