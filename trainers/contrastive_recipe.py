"""Recipes of training without labels: the numbers of SimCLR and SwAV, and what they build."""

from dataclasses import dataclass

import keras

from keras_resnets.layers import ProjectionHead
from keras_resnets.losses import NTXent, SwAVLoss
from keras_resnets.preprocessing import image as preprocessing
from trainers.recipe import Recipe, decaying_optimizer
from trainers.simclr import SimCLR
from trainers.swav import SwAV


@dataclass(frozen=True)
class SimCLRRecipe(Recipe):
    """A recipe for `SimCLR`.

    Args:
        name, source, data, batch_size, epochs, steps, optimizer, optimizer_args,
            learning_rate, end_learning_rate, scaling, schedule, step_size, cycle_mode, gamma,
            milestones, warmup, warmup_start, weight_decay, seed: as in `Recipe`.
        size: side of a view.
        area: least and greatest share of the image in a view.
        color_strength: of the colour jitter; 0: none.
        grayscale: share of views without colour.
        blur: whether half the views are blurred.
        temperature, loss_scale: of `keras_resnets.losses.NTXent`.
        normalization: a mode of `preprocess_input` that follows; `"unit"`: views in [0, 1].
        head_layers, projection_dim: of the projection head.
        head_deviation: of the normal distribution its kernels start from.
        memory_size, key_momentum: `memory_size` and `momentum` of `SimCLR`.

    Example:

    >>> recipe = trainers.recipes.SIMCLR_R50_100EP
    >>> round(recipe.with_batch_size(1024).learning_rate, 6)  # by the root of the batch
    2.4
    >>> views = recipe.replace(size=32).views(np.zeros((48, 48, 3), "uint8"), seed=(0, 0))
    >>> views.shape
    TensorShape([2, 32, 32, 3])
    """

    size: int = 224
    area: tuple = (0.08, 1.0)
    color_strength: float = 1.0
    grayscale: float = 0.2
    blur: bool = True
    normalization: str = "unit"
    temperature: float = 0.1
    loss_scale: float = 1.0
    head_layers: int = 3
    projection_dim: int = 128
    head_deviation: float = 0.01
    memory_size: int = 0
    key_momentum: float = 0.999

    def views(self, image, seed):
        """Two views (2, size, size, channels) of an image, as `simclr_views` makes them."""
        views = preprocessing.simclr_views(
            image,
            seed,
            self.size,
            area=self.area,
            color_strength=self.color_strength,
            grayscale=self.grayscale,
            blur=self.blur,
        )
        return preprocessing.preprocess_input(255 * views, self.normalization)

    def build_trainer(self, backbone, **kwargs):
        """A `SimCLR` of the backbone, with this head and memory; `kwargs` as its own."""
        head = ProjectionHead(
            self.projection_dim,
            self.head_layers,
            kernel_initializer=keras.initializers.RandomNormal(stddev=self.head_deviation),
            name="projection_head",
        )
        return SimCLR(backbone, head, self.memory_size, self.key_momentum, **kwargs)

    def compile(self, trainer, steps_per_epoch, **kwargs):
        """Set a `SimCLR` up: loss, optimizer and its schedule; `kwargs` as `trainer.compile`."""
        loss = NTXent(self.temperature, self.loss_scale)
        trainer.compile(decaying_optimizer(self, steps_per_epoch), **{"loss": loss, **kwargs})


@dataclass(frozen=True)
class SwAVRecipe(Recipe):
    """A recipe for `SwAV`.

    Args:
        name, source, data, batch_size, epochs, steps, optimizer, optimizer_args,
            learning_rate, end_learning_rate, scaling, schedule, step_size, cycle_mode, gamma,
            milestones, warmup, warmup_start, weight_decay, seed: as in `Recipe`.
        sizes, counts, areas: of `keras_resnets.preprocessing.image.multi_crop`: side, number and
            least and greatest share of the image, for each group of crops.
        color_strength, grayscale, blur: as there.
        normalized: whether crops are normalised by SwAV's mean and deviation.
        temperature, epsilon, iterations: of `keras_resnets.losses.SwAVLoss`.
        projection_dim, hidden_dim, num_prototypes, queue_length: of `SwAV`.
        queue_start_epoch: epoch from which the queue is filled.
        freeze_epochs: epochs in which the prototypes stay as they are.

    Example:

    >>> recipe = trainers.recipes.SWAV_R50_200EP_SMALL_BATCH
    >>> recipe.queue_length, recipe.queue_start_epoch, recipe.num_prototypes
    (3840, 15, 3000)
    """

    sizes: tuple = (224, 96)
    counts: tuple = (2, 6)
    areas: tuple = ((0.14, 1.0), (0.05, 0.14))
    color_strength: float = 1.0
    grayscale: float = 0.2
    blur: bool = True
    normalized: bool = True
    temperature: float = 0.1
    epsilon: float = 0.05
    iterations: int = 3
    projection_dim: int = 128
    hidden_dim: int = 2048
    num_prototypes: int = 3000
    queue_length: int = 0
    queue_start_epoch: int = 0
    freeze_epochs: int = 1

    def views(self, image, seed):
        """Groups of crops of an image, as `multi_crop` makes them."""
        options = {} if self.normalized else {"mean": None}
        return preprocessing.multi_crop(
            image,
            seed,
            self.sizes,
            self.counts,
            self.areas,
            color_strength=self.color_strength,
            grayscale=self.grayscale,
            blur=self.blur,
            **options,
        )

    def build_trainer(self, backbone, steps_per_epoch, **kwargs):
        """A `SwAV` of the backbone with this head and these prototypes; `kwargs` as its own."""
        return SwAV(
            backbone,
            self.projection_dim,
            self.hidden_dim,
            self.num_prototypes,
            queue_length=self.queue_length,
            queue_start_step=self.queue_start_epoch * steps_per_epoch,
            freeze_prototypes_steps=self.freeze_epochs * steps_per_epoch,
            **kwargs,
        )

    def compile(self, trainer, steps_per_epoch, **kwargs):
        """Set a `SwAV` up: loss, optimizer and its schedule; `kwargs` as `trainer.compile`."""
        loss = SwAVLoss(self.temperature, self.epsilon, self.iterations, trainer.crops_for_assign)
        trainer.compile(decaying_optimizer(self, steps_per_epoch), **{"loss": loss, **kwargs})
