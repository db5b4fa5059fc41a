"""Published recipes of training without labels, and of what follows it."""

from trainers.contrastive_recipe import SimCLRRecipe, SwAVRecipe
from trainers.semi_supervised_recipe import DistillRecipe, FineTuneRecipe

_LARS = {"optimizer": "lars", "optimizer_args": {"momentum": 0.9}, "schedule": "cosine"}
_LARC = {"optimizer": "lars", "optimizer_args": {"variant": "larc"}, "schedule": "cosine"}

SIMCLR_R50_100EP = SimCLRRecipe(
    name="simclr_r50_100ep",
    source="google-research/simclr, README",
    data="ImageNet without labels",
    batch_size=4096,
    epochs=100,
    **_LARS,
    learning_rate=4.8,  # 0.075 sqrt(4096)
    scaling="sqrt",
    warmup=10,
    weight_decay=1e-4,
    loss_scale=2.0,  # that code adds the two views' means
)

SIMCLR_V2_R50 = SIMCLR_R50_100EP.replace(
    name="simclr_v2_r50",
    source="Chen et al., SimCLRv2, 2020, arXiv 2006.10029, section 3.1",
    epochs=800,
    learning_rate=6.4,  # 0.1 sqrt(4096)
    warmup=40,
)

SIMCLR_V2_R50_MEMORY = SIMCLR_V2_R50.replace(name="simclr_v2_r50_memory", memory_size=65_536)

SIMCLR_CIFAR10 = SimCLRRecipe(
    name="simclr_cifar10",
    source="google-research/simclr, README: ResNet-18 with the small stem",
    data="CIFAR-10 without labels",
    batch_size=512,
    epochs=1000,
    **_LARS,
    learning_rate=2.0,
    warmup=10,
    weight_decay=1e-4,
    size=32,
    color_strength=0.5,
    blur=False,
    temperature=0.5,
    loss_scale=2.0,
)

SIMCLR_SMALL = SimCLRRecipe(
    name="simclr_small",
    source="this package: CPU minutes on a few thousand small images",
    data="cifar10 or fashion_sample",
    batch_size=256,
    epochs=12,
    optimizer="adam",
    learning_rate=0.005,
    schedule="cosine",
    warmup=0.5,
    size=32,
    area=(0.2, 1.0),
    color_strength=0.5,
    blur=False,
    temperature=0.2,
)

SIMCLR_V2_FINETUNE_1PCT = FineTuneRecipe(
    name="simclr_v2_finetune_1pct",
    source="google-research/simclr, README",
    data="ImageNet, 1 % of the labels",
    batch_size=1024,
    epochs=60,
    **_LARS,
    learning_rate=0.16,  # 0.005 sqrt(1024); 0.064 for wide, deep and selective networks
    scaling="sqrt",
    size=224,
    crop="resized",
    normalization="unit",
    from_layer=1,
)

SIMCLR_V2_FINETUNE_10PCT = SIMCLR_V2_FINETUNE_1PCT.replace(
    name="simclr_v2_finetune_10pct", data="ImageNet, 10 % of the labels", epochs=30
)

SIMCLR_V2_FINETUNE = SIMCLR_V2_FINETUNE_10PCT.replace(
    name="simclr_v2_finetune", data="ImageNet", from_layer=0
)

SIMCLR_V2_DISTILL = DistillRecipe(
    name="simclr_v2_distill",
    source="Chen et al., SimCLRv2, 2020, arXiv 2006.10029, section 3.1",
    data="ImageNet without labels",
    batch_size=4096,
    epochs=400,
    **_LARS,
    learning_rate=6.4,
    scaling="sqrt",
    warmup=20,
    weight_decay=1e-4,
    size=224,
    crop="resized",
    normalization="unit",
    temperature=1.0,
)

SIMCLR_V2_SELF_DISTILL = SIMCLR_V2_DISTILL.replace(name="simclr_v2_self_distill", temperature=0.1)

SWAV_R50_800EP = SwAVRecipe(
    name="swav_r50_800ep",
    source="facebookresearch/swav",
    data="ImageNet without labels",
    batch_size=4096,
    epochs=800,
    **_LARC,
    learning_rate=4.8,
    end_learning_rate=0.0048,
    warmup=10,
    warmup_start=0.3,
    weight_decay=1e-6,
)

SWAV_R50_400EP = SWAV_R50_800EP.replace(name="swav_r50_400ep", epochs=400)
SWAV_R50_200EP = SWAV_R50_800EP.replace(name="swav_r50_200ep", epochs=200)
SWAV_R50_100EP = SWAV_R50_800EP.replace(name="swav_r50_100ep", epochs=100)

SWAV_R50_200EP_SMALL_BATCH = SWAV_R50_200EP.replace(
    name="swav_r50_200ep_small_batch",
    batch_size=256,
    learning_rate=0.6,
    end_learning_rate=0.0006,
    warmup=0,
    queue_length=3840,
    queue_start_epoch=15,
)

SWAV_R50_400EP_SMALL_BATCH = SWAV_R50_200EP_SMALL_BATCH.replace(
    name="swav_r50_400ep_small_batch", epochs=400
)

SWAV_R50_400EP_2X224 = SWAV_R50_400EP.replace(
    name="swav_r50_400ep_2x224", sizes=(224,), counts=(2,), areas=((0.08, 1.0),)
)

SWAV_R50W2_400EP = SWAV_R50_400EP.replace(name="swav_r50w2_400ep", counts=(2, 4), hidden_dim=8192)

SWAV_R50W4_400EP = SWAV_R50W2_400EP.replace(
    name="swav_r50w4_400ep",
    batch_size=2560,
    areas=((0.08, 1.0), (0.08, 0.14)),
    queue_length=2560,
)

SWAV_FINETUNE_1PCT = FineTuneRecipe(
    name="swav_finetune_1pct",
    source="facebookresearch/swav",
    data="ImageNet, 1 % of the labels",
    batch_size=256,
    epochs=20,
    optimizer="lars",
    # all excluded: SGD with momentum; the new layer learns at 5
    optimizer_args={"exclude": (".*",), "multipliers": {"predictions": 250.0}},
    learning_rate=0.02,
    schedule="piecewise",
    milestones=(12, 16),
    gamma=0.2,
    size=224,
    crop="resized",
    normalization="swav",
    from_layer=0,
)

SWAV_FINETUNE_10PCT = SWAV_FINETUNE_1PCT.replace(
    name="swav_finetune_10pct",
    data="ImageNet, 10 % of the labels",
    # the new layer learns at 0.2
    optimizer_args={"exclude": (".*",), "multipliers": {"predictions": 20.0}},
    learning_rate=0.01,
)

SIMCLR_V2_FINETUNE_SMALL = FineTuneRecipe(
    name="simclr_v2_finetune_small",
    source="this package: CPU minutes on a few hundred small images",
    data="a tenth of the labels of cifar10 or fashion_sample",
    batch_size=64,
    epochs=30,
    optimizer="sgd",
    optimizer_args={"momentum": 0.9},
    learning_rate=0.05,
    schedule="cosine",
    normalization="unit",
)

SIMCLR_V2_DISTILL_SMALL = DistillRecipe(
    name="simclr_v2_distill_small",
    source="this package: CPU minutes on a few thousand small images",
    data="cifar10 or fashion_sample without labels",
    batch_size=128,
    epochs=10,
    optimizer="sgd",
    optimizer_args={"momentum": 0.9},
    learning_rate=0.1,
    schedule="cosine",
    warmup=1,
    normalization="unit",
)

SWAV_SMALL = SwAVRecipe(
    name="swav_small",
    source="this package: CPU minutes on a few thousand small images",
    data="cifar10 or fashion_sample",
    batch_size=256,
    epochs=12,
    optimizer="adam",
    learning_rate=0.005,
    schedule="cosine",
    warmup=0.5,
    sizes=(32, 24),
    counts=(2, 2),
    areas=((0.3, 1.0), (0.1, 0.4)),
    color_strength=0.5,
    blur=False,
    normalized=False,
    epsilon=0.02,
    projection_dim=64,
    hidden_dim=64,
    num_prototypes=200,
)

SWAV_FINETUNE_SMALL = SIMCLR_V2_FINETUNE_SMALL.replace(name="swav_finetune_small", from_layer=0)
