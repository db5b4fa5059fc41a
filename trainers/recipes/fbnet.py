"""Published recipes of FBNetV3.

The paper searches learning rate, dropout, stochastic depth, mixup and weight decay; the values that
it found are not in our sources, and those below are the middles of what `tuners.
fbnet_v3_recipe_space` varies them in. Batch size, the average's momentum and the optimizers' other
settings are not in our sources either: they are those of the EfficientNet family.
"""

from trainers.fbnet_recipe import FBNetRecipe

FBNETV3 = FBNetRecipe(
    name="fbnet_v3",
    source="Dai et al., CVPR 2021, arXiv 2006.02049",
    data="ImageNet",
    batch_size=256,
    epochs=400,
    optimizer="rmsprop",
    learning_rate=0.025,
    schedule="per_epoch",
    gamma=0.9875,
    warmup=5,
    weight_decay=1.4e-5,
    size=224,
    crop="resized",
    normalization="torch",
    dropout=0.16,
    drop_path=0.2,
    mixup=0.2,
)

FBNETV3_SEARCH = FBNETV3.replace(name="fbnet_v3_search", epochs=150, gamma=0.963, warmup=0)
