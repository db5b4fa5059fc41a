"""A recipe for image classification: the numbers, and how a trainer is set up by them."""

from dataclasses import dataclass

import keras

from keras_resnets.preprocessing.image import MODES
from trainers.recipe import Recipe

CROPS = ("pad", "resized", None)


@dataclass(frozen=True)
class ImageRecipe(Recipe):
    """A recipe for a classifier of images; the batches are those of `trainers.ImageBatches`.

    Args:
        name, source, data, batch_size, epochs, steps, optimizer, optimizer_args,
            learning_rate, end_learning_rate, scaling, schedule, step_size, cycle_mode, gamma,
            milestones, warmup, warmup_start, weight_decay, seed: as in `Recipe`.
        size: side of what the network sees; `None`: the images as they are.
        crop: in training: `"pad"`: padded by `pad` pixels and cropped; `"resized"`: a random piece
            scaled to `size`; `None`: none.
        pad: pixels, see `crop`.
        flip: whether half the training images are mirrored.
        normalization: a mode of `preprocess_input`, or `"data"`: by the mean and the deviation of
            the training images' channels.
        decay_scope: `"kernels"`, which leaves out biases and the scale, offset and slope of
            normalisations, or `"all"`.

    Example:

    >>> recipe = trainers.recipes.RESNET_CIFAR10.shortened(epochs=8)
    >>> recipe.milestones, recipe.with_batch_size(64).learning_rate
    ((4, 6), 0.05)
    >>> trainer = trainers.PartialTrainer(kr.cifar_resnet(8, classifier_activation=None), "all")
    >>> recipe.compile(trainer, steps_per_epoch=100)
    >>> trainer.weight_decay, trainer.scope
    (0.0001, 'kernels')
    """

    size: int | None = None
    crop: str | None = "pad"
    pad: int = 4
    flip: bool = True
    normalization: str = "data"
    decay_scope: str = "kernels"

    def __post_init__(self):
        super().__post_init__()
        if self.crop not in CROPS:
            raise ValueError(f"`crop` must be one of {CROPS}. Received: crop={self.crop!r}")
        if self.crop == "resized" and self.size is None:
            raise ValueError("`crop='resized'` needs a `size`. Received: size=None")
        if self.normalization not in ("data", *MODES):
            raise ValueError(
                f"`normalization` must be 'data' or one of {[*MODES]}. "
                f"Received: normalization={self.normalization!r}"
            )

    def compile(self, trainer, steps_per_epoch, **kwargs):
        """Set a `PartialTrainer` of a network of logits up as the recipe says.

        Args:
            trainer: `PartialTrainer`, whose rule stays.
            steps_per_epoch: int.
            **kwargs: as `trainer.compile`, which may replace loss and metrics.
        """
        trainer.weight_decay = self.weight_decay
        trainer.scope = self.decay_scope
        settings = {
            "loss": keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            "metrics": ["accuracy"],
        }
        trainer.compile(self.build_optimizer(steps_per_epoch), **{**settings, **kwargs})
