"""A recipe for MEAL V2: the numbers, and how its trainer is built and set up by them."""

from dataclasses import dataclass

from trainers.cut_mix import CutMix
from trainers.image_recipe import ImageRecipe
from trainers.meal import MEALV2, default_discriminator


@dataclass(frozen=True)
class MealRecipe(ImageRecipe):
    """A recipe for `MEALV2`; the batches are those of `trainers.ImageBatches`.

    Args:
        name, source, data, batch_size, epochs, steps, optimizer, optimizer_args,
            learning_rate, end_learning_rate, scaling, schedule, step_size, cycle_mode, gamma,
            milestones, warmup, warmup_start, weight_decay, seed: as in `Recipe`.
        size, crop, pad, flip, normalization, decay_scope: as in `ImageRecipe`.
        student: name of the student's architecture and weights, as timm has them.
        teachers: names of the teachers', likewise.
        discriminator: inner widths of `default_discriminator`, whose last layer is then linear;
            `"default"`: the official one; None: none.
        discriminator_weight: as in `MEALV2`.
        cutmix: `alpha` of `trainers.CutMix`, 0: none.
        num_crops, soft_labels: where soft labels are stored: `num_crops` of
            `StoredSoftLabels.dataset` and the `mode` of `StoredSoftLabels`; 0 and None: the
            teachers are asked.

    Example:

    >>> recipe = trainers.recipes.MEAL_V2_R50
    >>> recipe.teachers, recipe.weight_decay, recipe.milestones
    (('senet154.gluon_in1k', 'resnet152s.gluon_in1k'), 0.0, (101,))
    >>> make = lambda: keras.Sequential([keras.Input((4,)), keras.layers.Dense(64)])
    >>> trainer = recipe.build_trainer(make(), [make(), make()])
    >>> recipe.compile(trainer, steps_per_epoch=100)
    >>> trainer.mix is None, trainer.optimizer.momentum
    (True, 0.9)
    """

    student: str | None = None
    teachers: tuple = ()
    discriminator: tuple | str | None = "default"
    discriminator_weight: float = 1.0
    cutmix: float = 0.0
    num_crops: int = 0
    soft_labels: str | None = None

    def build_trainer(self, student, teachers, **kwargs):
        """A `MEALV2` with this discriminator and mix; `kwargs` as its own."""
        discriminator = self.discriminator
        if isinstance(discriminator, tuple):
            classes = student.output_shape[-1]
            discriminator = default_discriminator(classes, final_relu=False, widths=discriminator)
        settings = {
            "discriminator": discriminator,
            "discriminator_weight": self.discriminator_weight,
            "mix": CutMix(self.cutmix, self.seed) if self.cutmix else None,
        }
        return MEALV2(student, teachers, **{**settings, **kwargs})

    def compile(self, trainer, steps_per_epoch, **kwargs):
        """Set a `MEALV2` up: the optimizer and its schedule; `kwargs` as `trainer.compile`."""
        trainer.compile(
            self.build_optimizer(steps_per_epoch), **{"metrics": ["accuracy"], **kwargs}
        )
