import keras
import numpy as np
import pytest

from keras_resnets import datasets
from trainers import ImageBatches, StoredSoftLabels, recipes, soft_labels
from trainers.recipes import MealRecipe

ALL = [r for r in vars(recipes).values() if isinstance(r, MealRecipe)]


def network(classes=10, seed=0):
    keras.utils.set_random_seed(seed)
    layers = [keras.layers.Flatten(), keras.layers.Dense(classes)]
    return keras.Sequential([keras.Input((28, 28, 1)), *layers])


def test_published_figures():
    recipe = recipes.MEAL_V2_R50
    rate = recipe.build_schedule(100)
    rates = [float(rate(100 * epoch)) for epoch in (0, 100, 101, 179)]
    np.testing.assert_allclose(rates, [0.01, 0.01, 0.001, 0.001], rtol=1e-6)
    assert (recipe.batch_size, recipe.epochs, recipe.size) == (512, 180, 224)
    assert (recipe.weight_decay, recipe.optimizer_args) == (0, {"momentum": 0.9})
    assert (recipe.crop, recipe.flip, recipe.normalization) == ("resized", True, "torch")
    assert recipes.MEAL_V2_R50_380.size == 380 and len(recipes.MEAL_V2_R50_380.teachers) == 2
    assert recipes.MEAL_V2_R50_CUTMIX.cutmix == 1 and not recipe.cutmix
    rate = recipes.FKD_R50.build_schedule(10)
    rates = [float(rate(10 * epoch)) for epoch in (0, 99, 100, 179, 180, 199)]
    np.testing.assert_allclose(rates, [1e-2, 1e-2, 1e-3, 1e-3, 1e-4, 1e-4], rtol=1e-6)
    assert recipes.FKD_R50.num_crops == 8


@pytest.mark.parametrize("recipe", ALL, ids=lambda r: r.name)
def test_every_recipe_builds_its_trainer(recipe):
    trainer = recipe.build_trainer(network(64), network(64, 1))
    recipe.compile(trainer, steps_per_epoch=100)
    assert trainer.optimizer.weight_decay is None and trainer.optimizer.momentum == 0.9
    widths = [layer.units for layer in trainer.discriminator.layers]
    assert widths == ([32, 16, 2] if recipe is recipes.MEAL_SMALL else [8, 1, 2])
    assert (trainer.mix is None) == (recipe.cutmix == 0)
    bare = recipe.replace(discriminator=None).build_trainer(network(64), network(64, 1))
    assert bare.discriminator is None
    weighted = recipe.build_trainer(network(64), network(64, 1), discriminator_weight=0.5)
    assert weighted.discriminator_weight == 0.5


def test_an_epoch_on_stored_soft_labels(tmp_path):
    """As FKD trains: the recipe says how the labels are read and how many crops a batch has."""
    recipe = recipes.FKD_R50.replace(size=28, batch_size=16, num_crops=4, normalization="half")
    data = datasets.load("fashion_sample")
    images = data.test.take(32)
    scale = lambda x: x / 127.5 - 1  # noqa: E731
    path = soft_labels.precompute(
        images, network(seed=1), tmp_path / "labels", size=recipe.size, normalize=scale
    )
    stored = StoredSoftLabels(path, recipe.soft_labels)
    trainer = recipe.build_trainer(network(), stored)
    recipe.compile(trainer, steps_per_epoch=8, jit_compile=False)
    batches = stored.dataset(images, recipe.batch_size, recipe.num_crops, normalize=scale)
    history = trainer.fit(batches, epochs=2, verbose=0).history
    assert history["divergence"][1] < history["divergence"][0]


def test_small_recipe_takes_image_batches():
    batches = ImageBatches(datasets.load("fashion_sample"), recipes.MEAL_SMALL)
    assert batches.image_shape == (28, 28, 1) and batches.steps_per_epoch == 93
