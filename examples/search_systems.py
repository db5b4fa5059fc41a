"""Systems of this package, each with a space around its recipe: what the searches search.

Every trial is trained on a part of the training data and judged on the rest; the test data have no
part in it.
"""

import argparse
import dataclasses
import socket
import sys
from typing import NamedTuple

import keras
import numpy as np

import keras_resnets as kr
import trainers
import tuners
from keras_resnets.analysis import Table
from keras_resnets.files import write_whole
from trainers import recipes

HELD_OUT = 5  # one example in so many judges the trials


class System(NamedTuple):
    """What is searched, and how one of its points is built, trained and judged."""

    space: tuners.SearchSpace
    factory: object
    trainer: object
    fit: object
    objective: str


def parse(description, add=lambda parser: None):
    """The options that all searches share, and those that `add(parser)` adds."""
    parser = argparse.ArgumentParser(description=description.split("\n")[0])
    parser.add_argument("--system", choices=SYSTEMS, default="resnet")
    parser.add_argument("--data", help="as keras_resnets.datasets.load; default: a bundled sample")
    parser.add_argument("--trials", type=int, default=30)
    parser.add_argument("--epochs", type=int, default=4, help="of a trial")
    parser.add_argument("--examples", type=int, help="use so many of the training examples")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--short", action="store_true", help="a minute or two, to try it out")
    add(parser)
    args = parser.parse_args()
    if args.short:
        args.trials, args.epochs, args.examples = 3, 1, 1000
    return args


def prepare(args):
    """The system that was asked for, on its data."""
    keras.utils.set_random_seed(args.seed)
    sample = "speech_sample" if args.system == "ecapa_tdnn" else "fashion_sample"
    return SYSTEMS[args.system](args, kr.datasets.load(args.data or sample))


def report_best(tuner, system, output):
    """The best trials as a table."""
    rows = []
    for trial in tuner.oracle.get_best_trials(5):
        config = system.space.from_hyperparameters(trial.hyperparameters)
        shown = {k: f"{v:.3g}" if isinstance(v, float) else v for k, v in config.items()}
        rows.append({system.objective: f"{trial.score:.4f}", "trial": trial.trial_id, **shown})
    table = Table(rows)
    print(f"\n{table}")
    with write_whole(output / "table.md") as place:
        place.write_text(table.to_markdown() + "\n", encoding="utf-8")


def free_ports(count):
    """Numbers of TCP ports of this computer that nobody listens on, as text."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [str(place.getsockname()[1]) for place in sockets]
    for place in sockets:
        place.close()
    return ports


def evaluate(system, config):
    """Build and train a point of the space: what it reaches on the examples held out."""
    recipe = system.space.recipe.replace(**system.space.part(config, "recipe"))
    network = system.factory(**system.space.part(config, "architecture"))
    history = system.fit(system.trainer(network, recipe), recipe, verbose=0).history
    return float(history[system.objective][-1])


def resnet(args, data, trainable="all"):
    """A residual network of images and its training on labels."""
    data = held_out(data, args.examples)
    recipe = recipes.RESNET_SMALL.shortened(args.epochs).replace(seed=args.seed)
    batches = trainers.ImageBatches(data, recipe)

    def factory(depth, width):
        return small_resnet(depth, width, batches)

    def trainer(network, recipe):
        trainer = trainers.PartialTrainer(network, trainable)
        recipe.compile(trainer, batches.examples // recipe.batch_size, jit_compile=False)
        return trainer

    return System(image_space(recipe), factory, trainer, image_fit(data), "val_accuracy")


def batch_norm_only(args, data):
    """The same, of whose weights the normalisations' and the output's alone are trained."""
    return resnet(args, data, "batch_norm+output")


def meal_v2(args, data):
    """A student of images that learns from two teachers, which are trained on labels first."""
    data = held_out(data, args.examples)
    recipe = recipes.MEAL_SMALL.shortened(args.epochs).replace(seed=args.seed)
    batches = trainers.ImageBatches(data, recipe)
    teachers = []
    labels = recipes.RESNET_SMALL.shortened(2 * args.epochs).replace(seed=args.seed)
    for width in (24, 32):
        print(f"A teacher of {width} channels")
        teachers.append(small_resnet(14, width, batches))
        labels.compile(
            trainer := trainers.PartialTrainer(teachers[-1], "all"), batches.steps_per_epoch
        )
        image_fit(data)(trainer, labels, verbose=2)

    def factory(depth, width):
        return small_resnet(depth, width, batches)

    def trainer(network, recipe):
        trainer = recipe.build_trainer(network, teachers)
        recipe.compile(trainer, batches.examples // recipe.batch_size, jit_compile=False)
        return trainer

    space = image_space(recipe) + tuners.recipe_space(recipe, discriminator_weight=(0.0, 2.0))
    return System(space, factory, trainer, image_fit(data), "val_accuracy")


def simclr(args, data):
    """Training without labels by contrast, judged by nearest neighbours."""
    return without_labels(
        args,
        data,
        recipes.SIMCLR_SMALL,
        learning_rate=(1e-3, 2e-2, "log"),
        temperature=(0.05, 1.0, "log"),
        color_strength=(0.1, 1.0),
        head_layers=[1, 2, 3],
    )


def swav(args, data):
    """Training without labels by clusters, judged by nearest neighbours."""
    return without_labels(
        args,
        data,
        recipes.SWAV_SMALL,
        learning_rate=(1e-3, 2e-2, "log"),
        temperature=(0.05, 0.5, "log"),
        epsilon=(0.02, 0.1, "log"),
        num_prototypes=[30, 100, 300],
    )


def without_labels(args, data, recipe, **ranges):
    """A residual network of features that is trained on views of images."""
    data = held_out(data, args.examples)
    x, x_val = (x[..., None] if x.ndim == 3 else x for x in (data.x_train, data.x_test))
    if x.shape[-1] == 1:
        recipe = recipe.replace(color_strength=0.0, grayscale=0.0)
        ranges.pop("color_strength", None)
    if "sizes" in vars(recipe):
        sides = [round(x.shape[1] * size / recipe.sizes[0]) for size in recipe.sizes]
        recipe = recipe.replace(sizes=(*sides,))
    else:
        recipe = recipe.replace(size=x.shape[1])
    recipe = recipe.shortened(args.epochs).replace(seed=args.seed)
    neighbours = ((x / np.float32(255), data.y_train), (x_val / np.float32(255), data.y_test))

    def factory(depth, width):
        shape = (None, None, x.shape[-1])
        return kr.cifar_resnet(depth, width, input_shape=shape, include_top=False, pooling="avg")

    def trainer(network, recipe):
        steps = len(x) // recipe.batch_size
        extra = [steps] if isinstance(recipe, recipes.SwAVRecipe) else []
        trainer = recipe.build_trainer(network, *extra)
        recipe.compile(trainer, steps)
        return trainer

    def fit(model, recipe, epochs=None, callbacks=(), **kwargs):
        views = kr.datasets.multi_crop_dataset(
            x, recipe.batch_size, views=recipe.views, seed=recipe.seed, repeat=True, batched=True
        )
        return model.fit(
            views,
            steps_per_epoch=len(x) // recipe.batch_size,
            epochs=epochs or recipe.epochs,
            callbacks=[trainers.callbacks.KNNCallback(*neighbours), *callbacks],
            shuffle=False,
            **kwargs,
        )

    space = NETWORKS + tuners.recipe_space(recipe, batch_size=[128, 256], **ranges)
    return System(space, factory, trainer, fit, "val_knn_top1")


def ecapa_tdnn(args, data):
    """ECAPA-TDNN, judged by how well it names the speakers of utterances it has not heard."""
    chosen = np.arange(len(data.train))[: args.examples]
    judges = chosen % HELD_OUT == 0
    train, validation = (part(data.train, chosen[rows]) for rows in (~judges, judges))
    recipe = recipes.ECAPA_SMALL.replace(steps=None, epochs=args.epochs, warmup=0.1 * args.epochs)
    recipe = recipe.replace(margin_span=(0, 0.6 * args.epochs), speeds=(1.0,), seed=args.seed)

    def factory(channels, attention_channels):
        return kr.ecapa_tdnn(
            channels=channels,
            mfa_channels=3 * channels,
            attention_channels=attention_channels,
            se_channels=64,
            frontend=recipe.features,
            spec_augment=kr.layers.SpecAugment(**recipe.spec_augment, seed=args.seed),
        )

    def trainer(network, recipe):
        head = recipe.build_head(len(train.class_names))
        trainer = trainers.SpeakerTrainer(network, head)
        recipe.compile(trainer, len(train) // recipe.batch_size)
        return trainer

    def fit(model, recipe, epochs=None, callbacks=(), **kwargs):
        batches = train.dataset(
            recipe.crop_samples,
            recipe.batch_size,
            shuffle=True,
            seed=recipe.seed,
            drop_remainder=True,
            repeat=True,
        )
        return model.fit(
            batches.prefetch(2),
            steps_per_epoch=len(train) // recipe.batch_size,
            epochs=epochs or recipe.epochs,
            validation_data=validation.dataset(recipe.crop_samples, 32),
            callbacks=[*recipe.build_callbacks(), *callbacks],
            shuffle=False,
            **kwargs,
        )

    space = architecture(channels=[32, 64, 96, 128], attention_channels=[16, 32, 64])
    space += tuners.recipe_space(
        recipe,
        learning_rate=(3e-4, 1e-2, "log"),
        weight_decay=(1e-6, 1e-3, "log"),
        margin=(0.0, 0.4),
        scale=(10.0, 40.0),
        batch_size=[16, 32, 64],
    )
    return System(space, factory, trainer, fit, "val_accuracy")


SYSTEMS = {
    system.__name__: system
    for system in (resnet, batch_norm_only, meal_v2, simclr, swav, ecapa_tdnn)
}


def architecture(**choices):
    return tuners.SearchSpace(
        [tuners.Ordinal(name, values, part="architecture") for name, values in choices.items()]
    )


NETWORKS = architecture(depth=[8, 14, 20], width=[8, 12, 16, 24])


def image_space(recipe):
    return NETWORKS + tuners.recipe_space(
        recipe,
        learning_rate=(0.01, 1.0, "log"),
        weight_decay=(1e-5, 1e-2, "log"),
        batch_size=[32, 64, 128],
        flip=[True, False],
        pad=(0, 4),
    )


def small_resnet(depth, width, batches):
    return kr.cifar_resnet(
        depth,
        width,
        input_shape=batches.image_shape,
        classes=batches.classes,
        classifier_activation=None,
    )


def image_fit(data):
    """How a recipe is fitted on images and judged on those held out."""

    def fit(model, recipe, epochs=None, callbacks=(), **kwargs):
        batches = trainers.ImageBatches(data, recipe)
        return model.fit(
            batches.train(),
            steps_per_epoch=batches.steps_per_epoch,
            epochs=epochs or recipe.epochs,
            validation_data=batches.test(),
            callbacks=[*callbacks],
            shuffle=False,
            **kwargs,
        )

    return fit


def held_out(data, images=None):
    """The training images, some of them as the test images."""
    if not hasattr(data, "x_train"):
        sys.exit("--data must be images in memory, as fashion_sample, fashion_mnist or cifar10")
    x, y = data.x_train[:images], data.y_train[:images]
    judges = np.arange(len(x)) % HELD_OUT == 0
    return dataclasses.replace(
        data, x_train=x[~judges], y_train=y[~judges], x_test=x[judges], y_test=y[judges]
    )


def part(files, rows):
    return dataclasses.replace(
        files, paths=[files.paths[i] for i in rows], labels=files.labels[rows]
    )
