"""A recipe for FBNetV3: the numbers, and the network, batches and trainer that it makes."""

from dataclasses import dataclass

import keras
import tensorflow as tf

from keras_resnets.models import FBNetV3
from keras_resnets.preprocessing.image import mixup
from trainers.image_recipe import ImageRecipe
from trainers.schedules import WarmupDecay

# the factor of the learning rate, and the settings beside it
OPTIMIZERS = {
    "rmsprop": (1, {"rho": 0.9, "momentum": 0.9, "epsilon": 1e-3}),
    "sgd": (4, {"momentum": 0.9}),
}


@dataclass(frozen=True)
class FBNetRecipe(ImageRecipe):
    """A recipe for FBNetV3, as the joint search of architecture and recipe varies it.

    The learning rate falls by `gamma` an epoch, a little with every step, from the first step on; a
    warm-up multiplies it.

    Args:
        name, source, data, batch_size, epochs, steps, optimizer_args, end_learning_rate, scaling,
            schedule, step_size, cycle_mode, gamma, milestones, warmup, warmup_start, weight_decay,
            seed: as in `Recipe`.
        optimizer: `"rmsprop"` or `"sgd"`, with momentum.
        learning_rate: float, of RMSProp; that of SGD is four times as high.
        size, crop, pad, flip, normalization, decay_scope: as in `ImageRecipe`.
        dropout: float, before the classifier.
        drop_path: float, stochastic depth of the last block; it rises linearly from the first.
        mixup: `alpha` of `mixup`; 0: none.
        ema: whether the trained network is the moving average of its weights.
        ema_momentum: float, of that average; in short trainings less, so that it covers a tenth of
            the steps.

    Example:

    >>> recipe = trainers.recipes.FBNETV3.shortened(4)
    >>> recipe = recipe.replace(batch_size=8, size=32, normalization="data")
    >>> stages = [kr.StageConfig(3, 3, 1, 1, 8, 1), kr.StageConfig(3, 3, 4, 2, 16, 2, 2)]
    >>> network = recipe.build_network(kr.FBNetV3Config(8, stages), classes=10)
    >>> trainer = trainers.PartialTrainer(network, "all")
    >>> recipe.compile(trainer, steps_per_epoch=46)
    >>> type(trainer.optimizer).__name__, trainer.optimizer.use_ema, recipe.warmup
    ('RMSprop', True, 0.05)
    >>> batches = trainers.ImageBatches(kr.datasets.load("fashion_sample"), recipe)
    >>> images, labels = next(iter(recipe.prepare(batches.train(), 10, training=True)))
    >>> images.shape, labels.shape
    (TensorShape([8, 32, 32, 1]), TensorShape([8, 10]))

    Reference:
        Dai et al., FBNetV3, CVPR 2021 (arXiv 2006.02049).
    """

    dropout: float = 0.0
    drop_path: float = 0.0
    mixup: float = 0.0
    ema: bool = True
    ema_momentum: float = 0.9999

    def __post_init__(self):
        super().__post_init__()
        if self.optimizer not in OPTIMIZERS:
            raise ValueError(
                f"`optimizer` must be one of {[*OPTIMIZERS]}. "
                f"Received: optimizer={self.optimizer!r}"
            )
        if self.schedule != "per_epoch":
            raise ValueError(
                f"`schedule` must be 'per_epoch'. Received: schedule={self.schedule!r}"
            )

    def shortened(self, epochs):
        """The recipe over so many epochs: the warm-up has its share, the rate falls as far."""
        gamma = self.gamma ** (self.epochs / epochs)
        return super().shortened(epochs).replace(gamma=gamma)

    def build_network(self, config, **options):
        """The `FBNetV3` of logits with this dropout and stochastic depth; `options` as its own."""
        settings = {"dropout_rate": self.dropout, "drop_path_rate": self.drop_path}
        return FBNetV3(config, classifier_activation=None, **{**settings, **options})

    def build_schedule(self, steps_per_epoch):
        """The learning rate of the optimizer step."""
        total = self.total_steps(steps_per_epoch)
        warmup = self.warmup if self.epochs is None else round(self.warmup * steps_per_epoch)
        peak = self.learning_rate * OPTIMIZERS[self.optimizer][0]
        end = peak * self.gamma ** (total / steps_per_epoch)
        return WarmupDecay(peak, end, total, warmup, shape="exponential")

    def build_optimizer(self, steps_per_epoch, **kwargs):
        """The optimizer with its schedule and its moving average; `kwargs` as in `Recipe`."""
        settings = OPTIMIZERS[self.optimizer][1] | self.optimizer_args
        if self.ema:
            most = 1 - 10 / max(self.total_steps(steps_per_epoch), 10)
            settings |= {"use_ema": True, "ema_momentum": min(self.ema_momentum, most)}
        return super().build_optimizer(steps_per_epoch, **{**settings, **kwargs})

    def build_callbacks(self):
        """What tests and saves the average at each epoch's end, if there is one."""
        return [keras.callbacks.SwapEMAWeights(swap_on_epoch=True)] if self.ema else []

    def compile(self, trainer, steps_per_epoch, **kwargs):
        """Set a `PartialTrainer` up for the batches that `prepare` makes; `kwargs` as its own."""
        loss = keras.losses.CategoricalCrossentropy(from_logits=True)
        super().compile(trainer, steps_per_epoch, **{"loss": loss, **kwargs})

    def prepare(self, batches, classes, training=False, first=0):
        """Batches for the network: at the recipe's size, labels as probabilities, mixed.

        Args:
            batches: `tf.data.Dataset` of images `(B, H, W, channels)` and integer labels.
            classes: int.
            training: whether images are mixed.
            first: number of the first batch, of which the mixing is a function.

        Returns:
            `tf.data.Dataset` of images `(B, size, size, channels)` and labels `(B, classes)`.
        """

        def one(number, batch):
            images, labels = batch
            labels = tf.one_hot(labels, classes)
            if self.size is not None and images.shape[1:3] != (self.size, self.size):
                images = tf.image.resize(images, (self.size, self.size), antialias=True)
            if not (training and self.mixup):
                return images, labels
            seed = tf.random.fold_in(tf.constant((self.seed, 3), tf.int64), number)
            return mixup(images, labels, seed, self.mixup)

        batches = batches.enumerate(first).map(one, num_parallel_calls=tf.data.AUTOTUNE)
        return batches.prefetch(tf.data.AUTOTUNE)
