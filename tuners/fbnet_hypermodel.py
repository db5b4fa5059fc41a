"""FBNetV3 and its recipe, as any KerasTuner tuner searches them."""

import dataclasses

import tensorflow as tf

from trainers import PartialTrainer
from trainers.recipes import FBNETV3_SEARCH
from tuners.extra import import_keras_tuner
from tuners.fbnet_v3 import fbnet_v3_config

IMAGENET_IMAGES = 1_281_167


def fbnet_v3_hypermodel(
    space, classes=1000, steps_per_epoch=None, channels=3, config=None, **compile_args
):
    """A hypermodel: of a point it builds the network and trains it by the recipe.

    `tuner.search` takes batches of images and integer labels, as `trainers.ImageBatches` gives
    them: `tuner.search(train, validation_data=test)`. Each trial sees them at its own size, in
    training mixed as its recipe says, and is trained for the recipe's epochs unless `epochs` is
    given. What is tested and kept is the moving average, where there is one.

    Args:
        space: `fbnet_v3_space()`, `fbnet_v3_recipe_space()`, or both added. Without the latter the
            recipe is `trainers.recipes.FBNETV3_SEARCH`.
        classes: number of classes.
        steps_per_epoch: batches an epoch, for the learning rate; default: as many as ImageNet has.
        channels: of the images.
        config: `FBNetV3Config` of every trial, where the space has no architectures.
        **compile_args: as the `compile` of `trainers.recipes.FBNetRecipe`.

    Returns:
        A `keras_tuner.HyperModel`.

    Raises:
        ValueError: both a `config` and a space of architectures, or neither.

    Example:

    ```python
    space = tuners.fbnet_v3_space() + tuners.fbnet_v3_recipe_space()
    hypermodel = tuners.fbnet_v3_hypermodel(space)
    tuner = keras_tuner.RandomSearch(hypermodel, objective="val_accuracy", max_trials=20)
    tuner.search(train, validation_data=test)
    ```

    Reference:
        Dai et al., FBNetV3, CVPR 2021 (arXiv 2006.02049).
    """
    keras_tuner = import_keras_tuner()

    if any(d.part == "architecture" for d in space.dimensions) == (config is not None):
        raise ValueError(
            "Give a space of architectures or a `config`, and one only. "
            f"Received: dimensions {[d.name for d in space.dimensions]}, config={config}"
        )

    def parts(hp):
        point = space.from_hyperparameters(hp)
        architecture = config or fbnet_v3_config(point)
        values = {**space.part(point, "recipe"), "size": architecture.input_size}
        return architecture, dataclasses.replace(space.recipe or FBNETV3_SEARCH, **values)

    class FBNetV3HyperModel(keras_tuner.HyperModel):
        def build(self, hp):
            architecture, recipe = parts(hp)
            shape = (recipe.size, recipe.size, channels)
            network = recipe.build_network(architecture, classes=classes, input_shape=shape)
            trainer = PartialTrainer(network, "all")
            steps = steps_per_epoch or IMAGENET_IMAGES // recipe.batch_size
            recipe.compile(trainer, steps, **compile_args)
            return trainer

        def fit(self, hp, model, train, validation_data=None, callbacks=(), **kwargs):
            _, recipe = parts(hp)
            settings = {"epochs": recipe.epochs}
            if train.cardinality() == tf.data.INFINITE_CARDINALITY:
                settings["steps_per_epoch"] = steps_per_epoch
            if validation_data is not None:
                validation_data = recipe.prepare(validation_data, classes)
            return model.fit(
                recipe.prepare(train, classes, training=True),
                validation_data=validation_data,
                callbacks=[*recipe.build_callbacks(), *callbacks],
                **{**settings, **kwargs},
            )

    return FBNetV3HyperModel(name="fbnet_v3")
