"""What a training recipe is: numbers, and the parts built from them."""

import dataclasses
from dataclasses import dataclass, field

import keras

from keras_resnets.layers import AdditiveAngularMargin
from keras_resnets.optimizers import LARS, CyclicalLearningRate, PiecewiseEpochs, WarmupCosine
from trainers.callbacks.margin import MarginSchedule
from trainers.schedules import WarmupDecay

SCHEDULES = ("constant", "cyclical", "cosine", "exponential", "linear", "per_epoch", "piecewise")
SCALINGS = ("linear", "sqrt")


@dataclass(frozen=True)
class Recipe:
    """How a network is trained: data, optimizer, learning rate, length.

    Args:
        name: short name.
        source: paper or repository the figures are from.
        data: training data the source's results are for.
        batch_size: int, examples a step.
        epochs: int, or `None` where `steps` is given.
        steps: int, length in optimizer steps; `None`: `epochs` decides.
        optimizer: name of a Keras optimizer, or `"lars"`.
        optimizer_args: its arguments besides the learning rate.
        learning_rate: float, the highest rate.
        end_learning_rate: float, the lowest.
        scaling: how the rates follow the batch size: `"linear"`, or `"sqrt"`.
        schedule: `"constant"`; `"cyclical"` between the two rates, a half cycle being `step_size`
            steps, in `cycle_mode`; `"cosine"`, `"linear"`, `"exponential"`: from the highest to the
            lowest over the whole training; `"per_epoch"`: times `gamma` after each epoch;
            `"piecewise"`: times `gamma` at each of `milestones`.
        step_size, cycle_mode, gamma, milestones: see `schedule`; milestones are epochs.
        warmup: linear warm-up from 0, in epochs or steps as the length; for `"cosine"`, `"linear"`,
            `"exponential"`, `"piecewise"`.
        warmup_start: where the warm-up of `"cosine"` begins.
        weight_decay: float.
        seed: int.

    Example:

    >>> recipe = Recipe("demo", "this page", "none", batch_size=8, epochs=2, learning_rate=0.1)
    >>> recipe.replace(epochs=5).total_steps(steps_per_epoch=10)
    50
    """

    name: str
    source: str
    data: str
    batch_size: int
    epochs: int | None = None
    steps: int | None = None
    optimizer: str = "adam"
    optimizer_args: dict = field(default_factory=dict)
    learning_rate: float = 1e-3
    end_learning_rate: float = 0.0
    scaling: str = "linear"
    schedule: str = "constant"
    step_size: int = 1
    cycle_mode: str = "triangular2"
    gamma: float = 1.0
    milestones: tuple = ()
    warmup: float = 0
    warmup_start: float = 0.0
    weight_decay: float = 0.0
    seed: int = 0

    def __post_init__(self):
        if (self.epochs is None) == (self.steps is None):
            raise ValueError(
                "Give `epochs` or `steps`, and one only. Received: "
                f"epochs={self.epochs}, steps={self.steps}"
            )
        if self.schedule not in SCHEDULES:
            raise ValueError(
                f"`schedule` must be one of {SCHEDULES}. Received: schedule={self.schedule!r}"
            )
        if self.scaling not in SCALINGS:
            raise ValueError(
                f"`scaling` must be one of {SCALINGS}. Received: scaling={self.scaling!r}"
            )

    def replace(self, **changes):
        """A copy with these fields changed."""
        return dataclasses.replace(self, **changes)

    def shortened(self, epochs):
        """The recipe over so many epochs: warm-up and milestones at the same shares of them.

        Milestones that fall on one epoch, or on the first, become one or none.
        """
        if self.epochs is None:
            raise ValueError(f"{self.name!r} has a length in steps; shorten it by `replace`.")
        share = epochs / self.epochs
        milestones = sorted({round(m * share) for m in self.milestones} - {0})
        return self.replace(epochs=epochs, warmup=self.warmup * share, milestones=(*milestones,))

    def with_batch_size(self, batch_size):
        """The recipe with other batches, and learning rates that follow them, see `scaling`.

        Reference: Goyal et al., "Accurate, large minibatch SGD", 2017, section 2.1; Chen et al.,
        SimCLR, 2020 (arXiv 2002.05709), appendix B.1.
        """
        scale = batch_size / self.batch_size
        if self.scaling == "sqrt":
            scale = scale**0.5
        return self.replace(
            batch_size=batch_size,
            learning_rate=self.learning_rate * scale,
            end_learning_rate=self.end_learning_rate * scale,
            warmup_start=self.warmup_start * scale,
        )

    def total_steps(self, steps_per_epoch):
        """Length of the training in optimizer steps."""
        return self.steps if self.epochs is None else self.epochs * steps_per_epoch

    def total_epochs(self, steps_per_epoch):
        """Length of the training in epochs, the last one perhaps not needed whole."""
        return -(-self.total_steps(steps_per_epoch) // steps_per_epoch)

    def build_schedule(self, steps_per_epoch):
        """The learning rate: a float, or a `LearningRateSchedule` of the optimizer step."""
        highest, lowest = self.learning_rate, self.end_learning_rate
        total = self.total_steps(steps_per_epoch)
        warmup = self.warmup if self.epochs is None else round(self.warmup * steps_per_epoch)
        if self.schedule == "constant":
            return highest
        if self.schedule == "cyclical":
            return CyclicalLearningRate(
                lowest, highest, self.step_size, mode=self.cycle_mode, gamma=self.gamma
            )
        if self.schedule == "per_epoch":
            return keras.optimizers.schedules.ExponentialDecay(
                highest, steps_per_epoch, self.gamma, staircase=True
            )
        if self.schedule == "piecewise":
            rates = [highest * self.gamma**i for i in range(len(self.milestones) + 1)]
            return PiecewiseEpochs(self.milestones, rates, steps_per_epoch, warmup_steps=warmup)
        if self.schedule == "cosine":
            return WarmupCosine(highest, total, warmup, start=self.warmup_start, end=lowest)
        return WarmupDecay(highest, lowest, total, warmup, shape=self.schedule)

    def build_optimizer(self, steps_per_epoch, **kwargs):
        """The optimizer with its schedule; LARS alone has the weight decay, in its norms.

        Args:
            steps_per_epoch: int, batches an epoch.
            **kwargs: further arguments of the optimizer, such as `gradient_accumulation_steps`.
                Keras counts a schedule in batches, accumulated or not.
        """
        config = {
            **self.optimizer_args,
            **kwargs,
            "learning_rate": self.build_schedule(steps_per_epoch),
        }
        if self.optimizer == "lars":
            return LARS(**{"weight_decay": self.weight_decay, **config})
        kind = type(keras.optimizers.get(self.optimizer))
        return kind(**config)


def decaying_optimizer(recipe, steps_per_epoch):
    """The optimizer for a trainer without weight decay of its own: it must be LARS, to decay."""
    if recipe.weight_decay and recipe.optimizer != "lars":
        raise ValueError(
            f"`weight_decay` of a {type(recipe).__name__} needs the optimizer 'lars'. Received: "
            f"weight_decay={recipe.weight_decay}, optimizer={recipe.optimizer!r}"
        )
    return recipe.build_optimizer(steps_per_epoch)


@dataclass(frozen=True)
class SpeakerRecipe(Recipe):
    """A recipe for `SpeakerTrainer`.

    Args:
        name, source, data, batch_size, epochs, steps, optimizer, optimizer_args,
            learning_rate, end_learning_rate, scaling, schedule, step_size, cycle_mode, gamma,
            milestones, warmup, warmup_start, weight_decay, seed: as in `Recipe`.
        crop_samples: int, samples (16 kHz) of a training crop.
        features: name of the front end.
        speeds: speed factors; each makes classes of its own.
        augment_probability: float, share of crops that get noise or reverberation.
        spec_augment: arguments of `keras_resnets.layers.SpecAugment`, or `None` for none.
        head_weight_decay: float, rate of the head's weights.
        margin, scale, subcenters, top_k, top_k_margin: the head's.
        start_margin: float, margin before the margin schedule; `None`: no schedule.
        margin_span: where the margin starts and stops growing, in epochs or steps as the length.
        margin_mode: `"exp"` or `"linear"`.
        average_checkpoints: int, last checkpoints averaged by the source; 1: none.

    Example:

    >>> recipe = SpeakerRecipe(
    ...     "demo", "this page", "none", batch_size=8, epochs=2, speeds=(1.0, 0.9, 1.1))
    >>> recipe.classes(5994)
    17982
    """

    crop_samples: int = 32_000
    features: str = "kaldi_fbank"
    speeds: tuple = (1.0,)
    augment_probability: float = 0.0
    spec_augment: dict | None = None
    head_weight_decay: float = 0.0
    margin: float = 0.2
    scale: float = 30.0
    subcenters: int = 1
    top_k: int = 0
    top_k_margin: float = 0.06
    start_margin: float | None = None
    margin_span: tuple = (0, 0)
    margin_mode: str = "exp"
    average_checkpoints: int = 1

    def classes(self, speakers):
        """Number of classes: one a speaker and speed."""
        return speakers * len(self.speeds)

    def build_head(self, speakers):
        """The margin head for so many speakers."""
        return AdditiveAngularMargin(
            self.classes(speakers),
            margin=self.margin,
            scale=self.scale,
            subcenters=self.subcenters,
            top_k=self.top_k,
            top_k_margin=self.top_k_margin,
        )

    def build_callbacks(self):
        """The margin schedule, if there is one."""
        if self.start_margin is None:
            return []
        unit = "step" if self.epochs is None else "epoch"
        return [
            MarginSchedule(
                self.start_margin, self.margin, *self.margin_span, self.margin_mode, unit=unit
            )
        ]

    def compile(self, trainer, steps_per_epoch, **kwargs):
        """Set a `SpeakerTrainer` up as the recipe says: margin, inter-top-k, decays, optimizer.

        Args:
            trainer: `SpeakerTrainer`; its weights, classes, scale and sub-centres stay.
            steps_per_epoch: int.
            **kwargs: as `trainer.compile`.
        """
        trainer.weight_decay = self.weight_decay
        trainer.head_weight_decay = self.head_weight_decay
        trainer.head.top_k = self.top_k
        trainer.head.margin.assign(self.margin)
        trainer.compile(self.build_optimizer(steps_per_epoch), **kwargs)
