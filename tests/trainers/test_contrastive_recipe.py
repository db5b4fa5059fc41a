import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from keras_resnets.losses import NTXent, SwAVLoss
from keras_resnets.optimizers import LARS
from trainers import Distiller, SimCLR, SwAV, recipes
from trainers.recipes import DistillRecipe, FineTuneRecipe, SimCLRRecipe, SwAVRecipe

sys.path.insert(0, str(Path(__file__).parent))
from contrastive_networks import backbone

KINDS = (SimCLRRecipe, SwAVRecipe, FineTuneRecipe, DistillRecipe)
ALL = {k: [r for r in vars(recipes).values() if type(r) is k] for k in KINDS}


def ids(recipe):
    return recipe.name


def rates(recipe, epochs, steps_per_epoch=100):
    schedule = recipe.build_schedule(steps_per_epoch)
    return [float(schedule(round(epoch * steps_per_epoch))) for epoch in epochs]


@pytest.mark.parametrize("recipe", ALL[SimCLRRecipe], ids=ids)
def test_simclr(recipe):
    trainer = recipe.replace(memory_size=min(recipe.memory_size, 64)).build_trainer(backbone())
    recipe.compile(trainer, 100)
    assert type(trainer) is SimCLR and type(trainer.loss) is NTXent
    assert trainer.loss.temperature == recipe.temperature
    assert trainer.projection_head.num_layers == recipe.head_layers
    if recipe.optimizer == "lars":
        assert trainer.optimizer.l2 == recipe.weight_decay == 1e-4
        assert trainer.optimizer.variant == "lars"


@pytest.mark.parametrize("recipe", ALL[SwAVRecipe], ids=ids)
def test_swav(recipe):
    trainer = recipe.build_trainer(backbone(), steps_per_epoch=313)
    recipe.compile(trainer, 313)
    assert type(trainer) is SwAV and type(trainer.loss) is SwAVLoss
    assert trainer.loss.epsilon == recipe.epsilon
    assert trainer.freeze_prototypes_steps == 313 * recipe.freeze_epochs
    assert trainer.queue_start_step == 313 * recipe.queue_start_epoch
    if recipe.optimizer == "lars":
        assert trainer.optimizer.variant == "larc" and trainer.optimizer.l2 == 1e-6


@pytest.mark.parametrize("recipe", ALL[FineTuneRecipe], ids=ids)
def test_finetuning(recipe):
    model = recipe.build_trainer(SimCLR(backbone()), classes=3)
    recipe.compile(model, 10)
    heads = [layer for layer in model.layers if layer.name.startswith("head_dense")]
    assert len(heads) == recipe.from_layer and model.output_shape == (None, 3)
    images = np.random.default_rng(0).random((4, 12, 12, 3))
    assert "accuracy" in model.fit(images, np.arange(4) % 3, verbose=0).history


@pytest.mark.parametrize("recipe", ALL[DistillRecipe], ids=ids)
def test_distillation(recipe):
    networks = [keras.Sequential([backbone(), keras.layers.Dense(3)]) for _ in range(2)]
    trainer = recipe.build_trainer(*networks)
    recipe.compile(trainer, 10)
    assert type(trainer) is Distiller and trainer.temperature == recipe.temperature


def test_published_rates():
    simclr = rates(recipes.SIMCLR_R50_100EP, (0, 5, 10, 55, 100))
    np.testing.assert_allclose(simclr, [0, 2.4, 4.8, 2.4, 0], atol=1e-6)
    assert recipes.SIMCLR_R50_100EP.with_batch_size(1024).learning_rate == pytest.approx(2.4)
    assert recipes.SIMCLR_CIFAR10.with_batch_size(256).learning_rate == pytest.approx(1.0)
    swav = rates(recipes.SWAV_R50_800EP, (0, 5, 10, 405, 800))
    np.testing.assert_allclose(swav, [0.3, 2.55, 4.8, 2.4024, 0.0048], rtol=1e-5)
    small = recipes.SWAV_R50_200EP_SMALL_BATCH
    np.testing.assert_allclose(rates(small, (0, 100, 200)), [0.6, 0.3003, 0.0006], rtol=1e-5)
    trainer = small.build_trainer(backbone(), steps_per_epoch=5005)
    assert trainer.queue_length == 3840 and trainer.queue_start_step == 15 * 5005
    semi = rates(recipes.SWAV_FINETUNE_1PCT, (11.99, 12, 16))
    np.testing.assert_allclose(semi, [0.02, 0.004, 0.0008], rtol=1e-5)


def test_swavs_new_layer_learns_faster():
    recipe = recipes.SWAV_FINETUNE_1PCT
    model = recipe.build_trainer(SwAV(backbone(), 8, 16, 10), classes=3)
    recipe.compile(model, 10)
    model.optimizer.build(model.trainable_variables)
    factors = dict(zip((v.path for v in model.trainable_variables), model.optimizer.factors))
    assert factors["predictions/kernel"] * recipe.learning_rate == pytest.approx(5)
    assert {f for path, f in factors.items() if "predictions" not in path} == {1}
    assert not any(model.optimizer.adapts)


def test_decay_needs_an_optimizer_that_has_it():
    recipe = recipes.SIMCLR_SMALL.replace(weight_decay=1e-4)
    with pytest.raises(ValueError, match=r"`weight_decay` of a SimCLRRecipe needs.*'lars'"):
        recipe.compile(recipe.build_trainer(backbone()), 10)
    assert isinstance(recipe.replace(optimizer="lars").build_optimizer(10), LARS)
