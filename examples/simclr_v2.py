"""SimCLRv2 from end to end: pretrain without labels, fine-tune on a few, distil into a smaller net.

    python examples/simclr_v2.py                                # bundled Fashion-MNIST, minutes
    python examples/simclr_v2.py --data cifar10 --seeds 3
    python examples/simclr_v2.py --jit --data tfds:imagenet2012 \\
        --labelled tfds:imagenet2012_subset/10pct

The last takes the paper's recipes and networks, and accelerators for days. Beside the three steps
the same networks are trained on the few labels alone. Finished seeds are kept in OUTPUT/runs.json
and not run again, and a pretraining that was interrupted goes on; `--restart` begins anew.
"""

import argparse
import re
from pathlib import Path

import keras
import numpy as np

import keras_resnets as kr
import trainers
from keras_resnets.analysis import FeatureExtractor, Runs, Table, plot_spread, spread
from keras_resnets.files import write_whole
from trainers import recipes

SMALL = (
    recipes.SIMCLR_SMALL,
    recipes.SIMCLR_V2_FINETUNE_SMALL,
    recipes.SIMCLR_V2_DISTILL_SMALL,
)
IMAGENET = (
    recipes.SIMCLR_V2_R50,
    recipes.SIMCLR_V2_FINETUNE_10PCT,
    recipes.SIMCLR_V2_DISTILL,
)
UNTRAINED = "nearest neighbours of untrained features"
NEIGHBOURS = "nearest neighbours of pretrained features"
LABELS = "teacher's network, labels only"
FEATURES = "pretrained, fine-tuned from the features"
MIDDLE = "pretrained, fine-tuned from layer 1: the teacher"
STUDENT_LABELS = "student, labels only"
STUDENT_FEW = "student, distilled on the labelled images"
STUDENT = "student, distilled on all images"
ROWS = (UNTRAINED, NEIGHBOURS, LABELS, FEATURES, MIDDLE, STUDENT_LABELS, STUDENT_FEW, STUDENT)


def main():
    args = parse()
    data = kr.datasets.load(args.data)
    if args.images:
        data = data.subset(slice(args.images))
    output = Path(args.output)
    output.mkdir(parents=True, exist_ok=True)
    runs = Runs(output / "runs.json", setting(args), args.restart)
    for seed in range(args.seed, args.seed + args.seeds):
        if not runs.has(seed, STUDENT):
            print(f"\nSeed {seed}")
            run(args, data, seed, output, runs)
    report(runs, output)


def parse():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", default="fashion_sample", help="as keras_resnets.datasets.load")
    parser.add_argument("--labels", type=float, default=0.1, help="share of labels that are known")
    parser.add_argument("--labelled", help="the labelled images, where --data is no array")
    parser.add_argument("--epochs", type=int, help="of pretraining; default: the recipe's")
    parser.add_argument("--batch-size", type=int, help="of pretraining; the rate follows it")
    parser.add_argument("--images", type=int, help="train on so many images; default: all")
    parser.add_argument("--side", type=int, help="scale the images to this side")
    parser.add_argument("--jit", action="store_true", help="compile the training steps with XLA")
    parser.add_argument("--teacher", help="DEPTHxWIDTH, as 8x16, or as the paper's 152x3+SK")
    parser.add_argument("--student", help="the same for the student")
    parser.add_argument("--seed", type=int, default=0, help="the first seed")
    parser.add_argument("--seeds", type=int, default=1, help="how many")
    parser.add_argument("--output", default="results/simclr_v2", help="folder of results")
    parser.add_argument("--restart", action="store_true", help="forget the runs in OUTPUT")
    parser.add_argument("--short", action="store_true", help="a minute or two, to try it out")
    args = parser.parse_args()
    if args.short:
        args.epochs, args.side = 1, 14
    return args


def setting(args):
    """What the runs in a folder have in common."""
    return ", ".join(
        f"{name.replace('_', ' ')} {getattr(args, name)}"
        for name in (
            "data",
            "images",
            "side",
            "labelled",
            "labels",
            "teacher",
            "student",
            "epochs",
            "batch_size",
        )
        if getattr(args, name)
    )


def run(args, data, seed, output, runs):
    """All steps with one seed; the test accuracy of each goes into `runs`."""
    keras.utils.set_random_seed(seed)
    small = hasattr(data, "x_train")
    pretrain, fine_tune, distil = (r.replace(seed=seed) for r in (SMALL if small else IMAGENET))
    if args.batch_size:
        pretrain = pretrain.with_batch_size(args.batch_size)
    if args.epochs:
        pretrain = pretrain.shortened(args.epochs)
    if args.side:
        pretrain, fine_tune, distil = (
            r.replace(size=args.side) for r in (pretrain, fine_tune, distil)
        )
    if args.short:
        fine_tune, distil = fine_tune.shortened(2), distil.shortened(1)
    labelled = kr.datasets.load(args.labelled) if args.labelled else known(data, args.labels, seed)
    fine_tune = at_most(fine_tune, labelled)
    few = trainers.ImageBatches(labelled, fine_tune)
    every = trainers.ImageBatches(data, distil)
    build = small_network if small else imagenet_network
    teacher = args.teacher or ("8x16" if small else "50x1")
    student = args.student or ("8x8" if small else "50x1")

    def classifier(name):
        return build(name, few.image_shape, few.classes)

    backbone = build(teacher, every.image_shape)
    runs.put(seed, UNTRAINED, neighbours(backbone, every))
    print("1. Pretraining without labels")
    pretrain = pretrain.replace(size=every.image_shape[0])
    simclr = contrast(args, pretrain, backbone, data, output / f"pretraining_{seed}.npz")
    runs.put(seed, NEIGHBOURS, neighbours(backbone, every))
    pretrained = backbone.get_weights()

    print(f"2. Fine-tuning on {few.examples} labelled images")
    runs.put(seed, LABELS, fit(args, fine_tune, classifier(teacher), few))
    features = fine_tune.replace(from_layer=0).build_trainer(simclr, few.classes)
    runs.put(seed, FEATURES, fit(args, fine_tune, features, few))
    backbone.set_weights(pretrained)
    tuned = fine_tune.build_trainer(simclr, few.classes)
    runs.put(seed, MIDDLE, fit(args, fine_tune, tuned, few))

    print("3. Distillation")
    runs.put(seed, STUDENT_LABELS, fit(args, fine_tune, classifier(student), few))
    labelled = trainers.ImageBatches(labelled, at_most(distil, labelled))
    for name, batches in ((STUDENT_FEW, labelled), (STUDENT, every)):
        smaller = classifier(student)
        distiller = distil.build_trainer(smaller, tuned)
        runs.put(seed, name, fit(args, distil, distiller, batches, every.steps_per_epoch))
    path = output / "saved_models" / "student" / "1"
    served = trainers.export_classifier(smaller, every, path)
    print(
        f"Teacher of {tuned.count_params():,} parameters, student of {smaller.count_params():,}.\n"
        f"SavedModel: {path}, which answers {100 * served:.2f} % of the test images rightly"
    )


def known(data, share, seed):
    """The images whose labels are known."""
    labels = trainers.few_labels(data.y_train, share, seed)
    return data.subset(labels >= 0)


def at_most(recipe, data):
    """The recipe with batches no larger than the data."""
    images = len(data.train)
    return recipe.with_batch_size(images) if images < recipe.batch_size else recipe


def small_network(name, shape, classes=None):
    """`cifar_resnet` of a depth and a width in channels; of features without `classes`."""
    depth, width = map(int, name.split("x"))
    return kr.cifar_resnet(depth, width, input_shape=shape, **top(classes))


def imagenet_network(name, shape, classes=None):
    """`simclr_resnet` as the paper names them."""
    match = re.fullmatch(r"(\d+)x(\d+)(\+SK)?", name)
    if not match:
        raise ValueError(f"A network must be DEPTHxWIDTH or DEPTHxWIDTH+SK. Received: {name}")
    depth, width, selective = match.groups()
    ratio = 0.0625 if selective else 0.0
    return kr.simclr_resnet(int(depth), int(width), ratio, input_shape=shape, **top(classes))


def top(classes):
    if classes is None:
        return {"include_top": False, "pooling": "avg"}
    return {"classes": classes, "classifier_activation": None}


def contrast(args, recipe, backbone, data, path):
    """A `SimCLR` of the backbone, trained on all images without their labels."""
    if hasattr(data, "x_train"):
        grey = data.x_train.ndim == 3
        if grey:
            recipe = recipe.replace(color_strength=0.0, grayscale=0.0)
        source = data.x_train[..., None] if grey else data.x_train
    else:
        source = data.train.map(lambda image, label: image)
    steps = len(source) // recipe.batch_size
    trainer = recipe.build_trainer(backbone)
    recipe.compile(trainer, steps, jit_compile=args.jit)
    resume = trainers.Resume(path, every=100, restart=args.restart)
    views = kr.datasets.multi_crop_dataset(
        source,
        recipe.batch_size,
        views=recipe.views,
        seed=recipe.seed,
        epoch=resume.epoch,
        start_batch=resume.batch,
        repeat=True,
        batched=hasattr(data, "x_train"),  # they are of one size
    )
    trainer.fit(
        views,
        steps_per_epoch=steps,
        initial_epoch=resume.epoch,
        epochs=recipe.epochs,
        callbacks=[resume, trainers.callbacks.CollapseMonitor()],
        shuffle=False,
    )
    return trainer


def fit(args, recipe, trainer, batches, steps=None):
    """Train a classifier or a student by its recipe: the test accuracy."""
    steps = steps or batches.steps_per_epoch
    recipe.compile(trainer, steps, jit_compile=args.jit)
    trainer.fit(
        batches.train(recipe.seed),
        steps_per_epoch=steps,
        epochs=recipe.epochs,
        shuffle=False,
        verbose=2 if recipe.epochs > 10 else 1,
    )
    return trainer.evaluate(batches.test(), verbose=0, return_dict=True)["accuracy"]


def neighbours(backbone, batches):
    """Accuracy of 20 nearest neighbours among the training images, by their labels."""
    extract = FeatureExtractor(backbone)
    plain = trainers.ImageBatches(
        batches.data, batches.recipe.replace(flip=False, **whole(batches))
    )
    bank = extract(plain.train().take(plain.steps_per_epoch))
    return kr.metrics.knn_evaluate(*bank, *extract(batches.test()), k=20, temperature=0.1).top1


def whole(batches):
    """Images in memory are not cropped; others must be, to be of one size."""
    return {"crop": None} if batches.arrays else {}


def report(runs, output):
    """The table over the seeds, and the plot."""
    scores = {row: 100 * np.array(runs.of(row)) for row in ROWS if runs.of(row)}
    rows = [
        {"": row, "test accuracy %": spread(found), "seeds": len(found)}
        for row, found in scores.items()
    ]
    table = Table(rows)
    print(f"\n{runs.setting}\n{table}")
    with write_whole(output / "table.md") as place:
        place.write_text(f"{runs.setting}\n\n{table.to_markdown()}\n", encoding="utf-8")
    plot_spread(scores, output / "accuracy.png", "test accuracy (%)", runs.setting)
    print(f"Table and plot: {output}")


if __name__ == "__main__":
    main()
