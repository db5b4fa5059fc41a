"""Published training recipes, each with its source's figures."""

from trainers.image_recipe import ImageRecipe
from trainers.meal_recipe import MealRecipe
from trainers.meal_recipes import (
    FKD_R50,
    MEAL_SMALL,
    MEAL_V2_R50,
    MEAL_V2_R50_380,
    MEAL_V2_R50_CUTMIX,
)
from trainers.recipe import Recipe, SpeakerRecipe

__all__ = [
    "BATCH_NORM_ONLY_CIFAR10",
    "BATCH_NORM_ONLY_IMAGENET",
    "ECAPA_3DSPEAKER",
    "ECAPA_LARGE_MARGIN",
    "ECAPA_PAPER",
    "ECAPA_SMALL",
    "ECAPA_SPEECHBRAIN",
    "ECAPA_TAORUIJIE",
    "ECAPA_WESPEAKER",
    "EVONORM_IMAGENET",
    "FKD_R50",
    "MEAL_SMALL",
    "MEAL_V2_R50",
    "MEAL_V2_R50_380",
    "MEAL_V2_R50_CUTMIX",
    "RESNET_CIFAR10",
    "RESNET_IMAGENET",
    "RESNET_SMALL",
    "ImageRecipe",
    "MealRecipe",
    "Recipe",
    "SpeakerRecipe",
]

ECAPA_PAPER = SpeakerRecipe(
    name="ecapa_paper",
    source="Desplanques et al., Interspeech 2020, arXiv 2005.07143",
    data="VoxCeleb2 dev, 5994 speakers, 2 % held out",
    batch_size=128,
    steps=520_000,
    optimizer="adam",
    learning_rate=1e-3,
    end_learning_rate=1e-8,
    schedule="cyclical",
    step_size=65_000,
    cycle_mode="triangular2",
    weight_decay=2e-5,
    head_weight_decay=2e-4,
    crop_samples=32_000,
    features="mfcc",
    augment_probability=6 / 7,
    spec_augment={"time_width": 5, "freq_width": 10},
)

ECAPA_SPEECHBRAIN = SpeakerRecipe(
    name="ecapa_speechbrain",
    source="speechbrain/speechbrain, recipes/VoxCeleb/SpeakerRec",
    data="VoxCeleb1 and VoxCeleb2 dev, 7205 speakers",
    batch_size=32,
    epochs=10,
    optimizer="adam",
    learning_rate=1e-3,
    end_learning_rate=1e-8,
    schedule="cyclical",
    step_size=65_000,
    cycle_mode="triangular",
    weight_decay=2e-6,
    head_weight_decay=2e-6,
    crop_samples=48_000,
    features="speechbrain",
    augment_probability=4 / 5,
)

ECAPA_WESPEAKER = SpeakerRecipe(
    name="ecapa_wespeaker",
    source="wenet-e2e/wespeaker, examples/voxceleb/v2",
    data="VoxCeleb2 dev at three speeds, 17,982 classes",
    batch_size=128,
    epochs=150,
    optimizer="sgd",
    optimizer_args={"momentum": 0.9, "nesterov": True},
    learning_rate=0.1,
    end_learning_rate=5e-5,
    schedule="exponential",
    warmup=6,
    weight_decay=1e-4,
    head_weight_decay=1e-4,
    seed=42,
    crop_samples=32_240,  # 200 frames
    speeds=(1.0, 0.9, 1.1),
    augment_probability=0.6,
    scale=32.0,
    start_margin=0.0,
    margin_span=(19, 39),  # counted from 0; the source's 20 and 40 count from 1
    average_checkpoints=10,
)

ECAPA_TAORUIJIE = SpeakerRecipe(
    name="ecapa_taoruijie",
    source="TaoRuijie/ECAPA-TDNN",
    data="VoxCeleb2 dev, 5994 speakers",
    batch_size=400,
    epochs=80,
    optimizer="adam",
    learning_rate=1e-3,
    schedule="per_epoch",
    gamma=0.97,
    weight_decay=2e-5,
    head_weight_decay=2e-5,
    crop_samples=32_240,
    features="torchaudio_htk",
    augment_probability=5 / 6,
    spec_augment={"time_width": 9, "freq_width": 7},
)

ECAPA_3DSPEAKER = SpeakerRecipe(
    name="ecapa_3dspeaker",
    source="modelscope/3D-Speaker, egs/voxceleb/sv-ecapa",
    data="VoxCeleb2 dev at three speeds, 17,982 classes",
    batch_size=256,
    epochs=70,
    optimizer="sgd",
    optimizer_args={"momentum": 0.9, "nesterov": True},
    learning_rate=0.2,
    end_learning_rate=5e-5,
    schedule="cosine",
    warmup=5,
    weight_decay=1e-4,
    head_weight_decay=1e-4,
    crop_samples=48_000,
    speeds=(1.0, 0.9, 1.1),
    augment_probability=0.8,
    margin=0.3,
    scale=32.0,
    start_margin=0.0,
    margin_span=(20, 50),
)

ECAPA_LARGE_MARGIN = SpeakerRecipe(
    name="ecapa_large_margin",
    source="Thienpondt et al., arXiv 2010.11255, as wenet-e2e/wespeaker, examples/voxceleb/v2",
    data="that of the model it fine-tunes",
    batch_size=64,
    epochs=5,
    optimizer="sgd",
    optimizer_args={"momentum": 0.9, "nesterov": True},
    learning_rate=1e-4,
    end_learning_rate=2.5e-5,
    schedule="exponential",
    warmup=1,
    weight_decay=1e-4,
    head_weight_decay=1e-4,
    seed=42,
    crop_samples=96_240,  # 600 frames, 6 s
    speeds=(1.0, 0.9, 1.1),
    augment_probability=0.6,
    margin=0.5,
    scale=32.0,
)

ECAPA_SMALL = SpeakerRecipe(
    name="ecapa_small",
    source="this package: a few CPU minutes on a few hundred short utterances",
    data="speech_sample, 251 speakers at three speeds",
    batch_size=32,
    steps=800,
    optimizer="adam",
    learning_rate=2e-3,
    schedule="linear",
    warmup=80,
    weight_decay=2e-5,
    head_weight_decay=2e-4,
    crop_samples=32_240,
    speeds=(1.0, 0.9, 1.1),
    augment_probability=2 / 3,
    spec_augment={"time_width": 5, "freq_width": 10},
    start_margin=0.0,
    margin_span=(100, 500),
    margin_mode="linear",
)

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
