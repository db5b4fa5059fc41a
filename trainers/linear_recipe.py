"""A recipe for a linear classifier on frozen features."""

from dataclasses import dataclass

import keras

from keras_resnets.optimizers import WarmupCosine
from trainers.recipe import Recipe


@dataclass(frozen=True)
class LinearRecipe(Recipe):
    """A recipe for `trainers.LinearProbe`; the decay is that of kernel and bias alike.

    Args:
        name, source, data, batch_size, epochs, steps, optimizer, optimizer_args,
            learning_rate, end_learning_rate, scaling, schedule, step_size, cycle_mode, gamma,
            milestones, warmup, warmup_start, weight_decay, seed: as in `Recipe`; the length is in
            epochs.
        deviation: of the normal distribution that the kernel starts from; 0: it starts at zero.
        rate_per_epoch: whether the cosine is a staircase, one step an epoch.
        keep_best: whether the best epoch on the test data is what is reported, or the last.

    Example:

    >>> rate = trainers.recipes.LINEAR_SWAV.build_schedule(steps_per_epoch=10)
    >>> [round(float(rate(step)), 4) for step in (0, 9, 500, 509, 999)]
    [0.3, 0.3, 0.15, 0.15, 0.0001]
    """

    deviation: float = 0.0
    rate_per_epoch: bool = False
    keep_best: bool = False

    def __post_init__(self):
        super().__post_init__()
        if self.epochs is None:
            raise ValueError(f"`epochs` must be given. Received: steps={self.steps}")
        if self.rate_per_epoch and (self.schedule != "cosine" or self.warmup):
            raise ValueError(
                "`rate_per_epoch` is for a cosine without warm-up. "
                f"Received: schedule={self.schedule!r}, warmup={self.warmup}"
            )

    def build_schedule(self, steps_per_epoch):
        """As `Recipe.build_schedule`."""
        if not self.rate_per_epoch:
            return super().build_schedule(steps_per_epoch)
        total = self.total_steps(steps_per_epoch)
        return WarmupCosine(
            self.learning_rate, total, end=self.end_learning_rate, every=steps_per_epoch
        )

    def build_classifier(self, width, classes):
        """The classifier before training, a `keras.Model` from features (B, width) to logits."""
        start = "zeros"
        if self.deviation:
            start = keras.initializers.RandomNormal(stddev=self.deviation, seed=self.seed)
        dense = keras.layers.Dense(
            classes, kernel_initializer=start, dtype="float32", name="predictions"
        )
        return keras.Sequential([keras.Input((width,)), dense], name="classifier")
