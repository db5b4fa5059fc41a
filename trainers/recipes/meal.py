"""Published recipes of MEAL V2 and of its stored soft labels, and a small one."""

from trainers.meal_recipe import MealRecipe

MEAL_V2_R50 = MealRecipe(
    name="meal_v2_r50",
    source="Shen and Savvides, arXiv 2009.08453; szq0214/MEAL-V2, README and code",
    data="ImageNet without labels",
    batch_size=512,
    epochs=180,
    optimizer="sgd",
    optimizer_args={"momentum": 0.9},
    learning_rate=0.01,
    schedule="piecewise",
    milestones=(101,),
    gamma=0.1,
    size=224,
    crop="resized",
    normalization="torch",
    student="resnet50",
    teachers=("senet154.gluon_in1k", "resnet152s.gluon_in1k"),
)

MEAL_V2_R50_380 = MEAL_V2_R50.replace(
    name="meal_v2_r50_380",
    size=380,
    teachers=("tf_efficientnet_b4.ns_jft_in1k", "tf_efficientnet_b4"),
)

MEAL_V2_R50_CUTMIX = MEAL_V2_R50.replace(name="meal_v2_r50_cutmix", cutmix=1.0)

FKD_R50 = MEAL_V2_R50.replace(
    name="fkd_r50",
    source="szq0214/MEAL-V2, README, FKD_train.py; Shen and Xing, arXiv 2112.01528",
    epochs=200,
    milestones=(100, 180),
    num_crops=8,
    soft_labels="marginal_smoothing",
)

MEAL_SMALL = MealRecipe(
    name="meal_small",
    source="this package: CPU minutes on a few thousand small images",
    data="fashion_sample or cifar10, without labels",
    batch_size=64,
    epochs=12,
    optimizer="sgd",
    optimizer_args={"momentum": 0.9},
    learning_rate=0.05,
    schedule="piecewise",
    milestones=(8,),
    gamma=0.1,
    pad=2,
    student="cifar_resnet8",
    teachers=("cifar_resnet14_24", "cifar_resnet14_32"),
    discriminator=(32, 16),  # of ten classes the official widths would leave one unit
)
