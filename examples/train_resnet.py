"""Trains an image classifier of any factory by a published recipe, measures it and exports it.

    python examples/train_resnet.py                                # bundled Fashion-MNIST, minutes
    python examples/train_resnet.py --model mobilenet_v1 --norm-act evonorm_b0
    python examples/train_resnet.py --model cifar_resnet56 --data cifar10
    python examples/train_resnet.py --model resnet50 --data folder:DIR  # or tfds:NAME

A run that was interrupted goes on where it stopped; `--restart` begins anew.
"""

import argparse
import csv
import inspect
import re
import sys
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

import keras_resnets as kr
import trainers
from keras_resnets.analysis import Table, cost
from trainers.recipes import RESNET_CIFAR10, RESNET_IMAGENET, RESNET_SMALL

RECIPES = {"small": RESNET_SMALL, "cifar10": RESNET_CIFAR10, "imagenet": RESNET_IMAGENET}
NAMED = {"fashion_sample": "small", "fashion_mnist": "cifar10", "cifar10": "cifar10"}


def main():
    args = parse()
    keras.utils.set_random_seed(args.seed)
    data = kr.datasets.load(args.data)
    if getattr(data, "test", None) is None:
        sys.exit("--data must have a test split, as a folder with train/ and test/ has")
    recipe, batches = prepare(args, data)
    options = {"norm_act": args.norm_act} if args.norm_act else {}
    model = network(args.model, batches, **options)
    output = Path(args.output or f"results/{args.model}")
    output.mkdir(parents=True, exist_ok=True)
    shape = "x".join(map(str, batches.image_shape))
    print(
        f"{args.model} on {batches.examples} images of {batches.classes} classes, {shape}; "
        f"recipe {recipe.name}, {recipe.epochs} epochs of batches of {recipe.batch_size}"
    )

    trainer = train(args, recipe, batches, model, output)
    model.save(output / "model.keras")
    tested = trainer.evaluate(batches.test(), verbose=0, return_dict=True)
    macs = cost(model, batches.image_shape).macs
    table = Table(
        [
            {
                "model": args.model,
                "data": args.data,
                "epochs": recipe.epochs,
                "test accuracy %": f"{100 * tested['accuracy']:.2f}",
                "test loss": tested["loss"],
                "parameters": model.count_params(),
                "MACs": macs,
            }
        ]
    )
    print(f"\n{table}")
    (output / "table.md").write_text(table.to_markdown() + "\n", encoding="utf-8")
    plot(output / "epochs.csv", output / "curves.png", args)
    print(f"Curves: {output / 'curves.png'}")
    export(args.model, batches, model, data.class_names, output)


def parse():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--model", default="cifar_resnet20", help="a factory, as resnet18")
    parser.add_argument("--norm-act", help="the factory's option, as evonorm_s0, group_norm+relu")
    parser.add_argument("--data", default="fashion_sample", help="as keras_resnets.datasets.load")
    parser.add_argument("--recipe", choices=RECIPES, help="default: small, cifar10 or imagenet")
    parser.add_argument("--epochs", type=int, help="default: the recipe's; others scale its plan")
    parser.add_argument("--batch-size", type=int, help="the learning rate follows it")
    parser.add_argument("--size", type=int, help="side of the images; default: the recipe's")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", help="folder for what is made; default: results/MODEL")
    parser.add_argument("--restart", action="store_true", help="forget an earlier run's state")
    parser.add_argument("--short", action="store_true", help="a minute's training, to try it out")
    parser.add_argument("--jit", action="store_true", help="compile the training step with XLA")
    return parser.parse_args()


def prepare(args, data):
    """The recipe as asked for, and the batches that it makes of the data."""
    recipe = RECIPES[args.recipe or NAMED.get(args.data, "imagenet")]
    if args.short or args.epochs:
        recipe = recipe.shortened(1 if args.short else args.epochs)
    if args.batch_size:
        recipe = recipe.with_batch_size(args.batch_size)
    least = 8 if args.model.startswith(("cifar_resnet", "wide_resnet")) else 32
    size = args.size or recipe.size
    if size is None and hasattr(data, "x_train") and min(data.x_train.shape[1:3]) < least:
        size = least
    recipe = recipe.replace(size=size, seed=args.seed)
    return recipe, trainers.ImageBatches(data, recipe)


def network(model, batches, **options):
    """The network of logits: a factory by its name, or `cifar_resnet56`, `wide_resnet16_4`."""
    small = re.fullmatch(r"(cifar_resnet|wide_resnet)(\d+)(?:_(\d+))?", model)
    if model in factories():
        factory = getattr(kr, model)
    elif small:
        name, *numbers = small.groups()
        factory = getattr(kr, name)
        options |= dict(
            zip([*inspect.signature(factory).parameters], map(int, filter(None, numbers)))
        )
    else:
        sys.exit(
            f"A network must be cifar_resnetDEPTH, wide_resnetDEPTH_K or one of "
            f"{', '.join(factories())}. Received: {model}"
        )
    return factory(
        input_shape=batches.image_shape,
        classes=batches.classes,
        classifier_activation=None,
        **options,
    )


def factories():
    """Names of the image classifiers with fixed sizes."""
    wanted = {"input_shape", "classes", "weights", "include_top"}
    found = {name: getattr(kr, name) for name in kr.__all__}
    return [
        name
        for name, factory in found.items()
        if inspect.isfunction(factory) and wanted <= inspect.signature(factory).parameters.keys()
    ]


def train(args, recipe, batches, model, output):
    resume = trainers.Resume(output / "resume.npz", every=100, restart=args.restart)
    log = output / "epochs.csv"
    if not resume.epoch:
        log.unlink(missing_ok=True)
    steps = min(batches.steps_per_epoch, 40) if args.short else batches.steps_per_epoch
    trainer = trainers.PartialTrainer(model, "all")
    recipe.compile(trainer, steps, jit_compile=args.jit)
    trainer.fit(
        batches.train(args.seed, resume.epoch, resume.batch),
        steps_per_epoch=steps,
        initial_epoch=resume.epoch,
        epochs=recipe.epochs,
        validation_data=batches.test(),
        callbacks=[resume, keras.callbacks.CSVLogger(log, append=True)],
        shuffle=False,
    )
    return trainer


def plot(log, path, args):
    """Loss and accuracy by epoch."""
    from matplotlib.figure import Figure

    with open(log, newline="") as file:
        epochs = list(csv.DictReader(file))
    figure = Figure(figsize=(10, 4), layout="constrained")
    for axes, name in zip(figure.subplots(1, 2), ("loss", "accuracy")):
        for label, key in (("training", name), ("test", f"val_{name}")):
            axes.plot(
                [int(row["epoch"]) + 1 for row in epochs],
                [float(row[key]) for row in epochs],
                "o-" if len(epochs) < 20 else "-",
                label=label,
            )
        axes.set(xlabel="epoch", ylabel=name)
        axes.legend()
    figure.suptitle(f"{args.model} on {args.data}")
    figure.savefig(path, dpi=120)


def export(name, batches, model, class_names, output):
    """A SavedModel that takes images of 0 to 255; what it answers to a few of the test images."""
    path = output / "saved_models" / name / "1"

    def classify(images):
        return {"probabilities": tf.nn.softmax(model(batches.normalize(images), training=False))}

    inputs = {"images": tf.TensorSpec([None, *batches.image_shape], tf.uint8)}
    signatures = {"serving_default": (classify, inputs)}
    kr.export.to_saved_model(model, path, signatures, overwrite=True)
    print(f"SavedModel: {path}")

    serve = tf.saved_model.load(str(path)).signatures["serving_default"]
    images, labels = next(iter(batches.test(batch_size=5, normalized=False)))
    probabilities = serve(images=tf.cast(tf.round(images), tf.uint8))["probabilities"].numpy()
    for label, p in zip(labels.numpy(), probabilities):
        best = int(np.argmax(p))
        print(f"{class_names[label]:12} served as {class_names[best]:12} ({p[best]:.0%})")


if __name__ == "__main__":
    main()
