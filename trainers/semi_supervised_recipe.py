"""Recipes of what follows training without labels: fine-tuning on few of them, distillation."""

from dataclasses import dataclass

import keras

from trainers.distillation import Distiller
from trainers.image_recipe import ImageRecipe
from trainers.recipe import decaying_optimizer


@dataclass(frozen=True)
class FineTuneRecipe(ImageRecipe):
    """A recipe for fine-tuning what `SimCLR` has trained.

    Args:
        name, source, data, batch_size, epochs, steps, optimizer, optimizer_args,
            learning_rate, end_learning_rate, scaling, schedule, step_size, cycle_mode, gamma,
            milestones, warmup, warmup_start, weight_decay, seed: as in `Recipe`.
        size, crop, pad, flip, normalization, decay_scope: as in `ImageRecipe`.
        from_layer, freeze_after: as in `SimCLR.finetune_model`.

    Example:

    >>> recipe = trainers.recipes.SIMCLR_V2_FINETUNE_1PCT
    >>> recipe.epochs, recipe.from_layer, trainers.recipes.SIMCLR_V2_FINETUNE.from_layer
    (60, 1, 0)
    """

    from_layer: int = 1
    freeze_after: int = -1

    def build_trainer(self, pretrained, classes):
        """The classifier that a `SimCLR` or `SwAV` makes of its network."""
        return pretrained.finetune_model(classes, self.from_layer, self.freeze_after)

    def compile(self, model, steps_per_epoch, **kwargs):
        """Set the classifier up: loss, optimizer and its schedule; `kwargs` as `model.compile`."""
        settings = {
            "loss": keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            "metrics": ["accuracy"],
        }
        model.compile(decaying_optimizer(self, steps_per_epoch), **{**settings, **kwargs})


@dataclass(frozen=True)
class DistillRecipe(ImageRecipe):
    """A recipe for `Distiller`.

    Args:
        name, source, data, batch_size, epochs, steps, optimizer, optimizer_args,
            learning_rate, end_learning_rate, scaling, schedule, step_size, cycle_mode, gamma,
            milestones, warmup, warmup_start, weight_decay, seed: as in `Recipe`.
        size, crop, pad, flip, normalization, decay_scope: as in `ImageRecipe`.
        temperature, alpha, scale_by_temperature_squared: as in `Distiller`.

    Example:

    >>> recipe = trainers.recipes.SIMCLR_V2_SELF_DISTILL
    >>> recipe.temperature, recipe.alpha
    (0.1, 1.0)
    """

    temperature: float = 1.0
    alpha: float = 1.0
    scale_by_temperature_squared: bool = False

    def build_trainer(self, student, teacher, **kwargs):
        """A `Distiller` with this temperature and mix; `kwargs` as its own."""
        return Distiller(
            student,
            teacher,
            self.temperature,
            self.alpha,
            self.scale_by_temperature_squared,
            **kwargs,
        )

    def compile(self, trainer, steps_per_epoch, **kwargs):
        """Set a `Distiller` up: the optimizer and its schedule; `kwargs` as `trainer.compile`."""
        optimizer = decaying_optimizer(self, steps_per_epoch)
        trainer.compile(optimizer, **{"metrics": ["accuracy"], **kwargs})
