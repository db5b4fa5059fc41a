"""SimCLRv2 from end to end: pretrain without labels, fine-tune on a few, distil into a smaller net.

    python examples/simclr_v2.py                                # bundled Fashion-MNIST, minutes
    python examples/simclr_v2.py --data cifar10 --seeds 3
    python examples/simclr_v2.py --data tfds:imagenet2012 --labelled tfds:imagenet2012_subset/10pct

The last takes the paper's recipes and networks, and accelerators for days. Beside the three steps
the same networks are trained on the few labels alone. Finished seeds are kept in OUTPUT/runs.json
and not run again, and a pretraining that was interrupted goes on; `--restart` begins anew.
"""

import argparse
import json
import re
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

import keras_resnets as kr
import trainers
from keras_resnets.analysis import FeatureExtractor, Table
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
ROWS = {
    "untrained neighbours": "nearest neighbours of untrained features",
    "neighbours": "nearest neighbours of pretrained features",
    "labels only": "teacher's network, labels only",
    "from features": "pretrained, fine-tuned from the features",
    "from layer 1": "pretrained, fine-tuned from the head's layer 1: the teacher",
    "student, labels only": "student, labels only",
    "student, labelled images": "student, distilled on the labelled images",
    "student, all images": "student, distilled on all images",
}


def main():
    args = parse()
    data = kr.datasets.load(args.data)
    output = Path(args.output)
    output.mkdir(parents=True, exist_ok=True)
    path = output / "runs.json"
    runs = json.loads(path.read_text()) if path.exists() and not args.restart else {}
    for seed in range(args.seed, args.seed + args.seeds):
        if str(seed) not in runs:
            print(f"\nSeed {seed}")
            runs[str(seed)] = run(args, data, seed, output)
            with write_whole(path) as place:
                place.write_text(json.dumps(runs, indent=1), encoding="utf-8")
    report(list(runs.values()), args, output)


def parse():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", default="fashion_sample", help="as keras_resnets.datasets.load")
    parser.add_argument("--labels", type=float, default=0.1, help="share of labels that are known")
    parser.add_argument("--labelled", help="the labelled images, where --data is no array")
    parser.add_argument("--epochs", type=int, help="of pretraining; default: the recipe's")
    parser.add_argument("--batch-size", type=int, help="of pretraining; the rate follows it")
    parser.add_argument("--teacher", help="DEPTHxWIDTH, as 8x16, or as the paper's 152x3+SK")
    parser.add_argument("--student", help="the same for the student")
    parser.add_argument("--seed", type=int, default=0, help="the first seed")
    parser.add_argument("--seeds", type=int, default=1, help="how many")
    parser.add_argument("--output", default="results/simclr_v2", help="folder of results")
    parser.add_argument("--restart", action="store_true", help="forget the runs in OUTPUT")
    parser.add_argument("--short", action="store_true", help="a minute or two, to try it out")
    args = parser.parse_args()
    if args.short:
        args.epochs = 1
    return args


def run(args, data, seed, output):
    """All steps with one seed: the test accuracy of each."""
    keras.utils.set_random_seed(seed)
    small = hasattr(data, "x_train")
    pretrain, fine_tune, distil = (r.replace(seed=seed) for r in (SMALL if small else IMAGENET))
    if args.batch_size:
        pretrain = pretrain.with_batch_size(args.batch_size)
    if args.epochs:
        pretrain = pretrain.shortened(args.epochs)
    if args.short:
        fine_tune, distil = fine_tune.shortened(2), distil.shortened(1)
    labelled = kr.datasets.load(args.labelled) if args.labelled else known(data, args.labels, seed)
    few = trainers.ImageBatches(labelled, fine_tune)
    every = trainers.ImageBatches(data, distil)
    build = small_network if small else imagenet_network
    teacher = args.teacher or ("8x16" if small else "50x1")
    student = args.student or ("8x8" if small else "50x1")

    def classifier(name):
        return build(name, few.image_shape, classes=few.classes)

    scores = {}
    backbone = build(teacher, every.image_shape)
    scores["untrained neighbours"] = neighbours(backbone, every)
    print("1. Pretraining without labels")
    simclr = contrast(pretrain, backbone, data, output / f"pretraining_{seed}.npz", args.restart)
    scores["neighbours"] = neighbours(backbone, every)
    state = backbone.get_weights()

    print(f"2. Fine-tuning on {few.examples} labelled images")
    plain = classifier(teacher)
    scores["labels only"] = fit(fine_tune, plain, few)
    tuned = fine_tune.replace(from_layer=0).build_trainer(simclr, few.classes)
    scores["from features"] = fit(fine_tune, tuned, few)
    backbone.set_weights(state)
    tuned = fine_tune.build_trainer(simclr, few.classes)
    scores["from layer 1"] = fit(fine_tune, tuned, few)

    print("3. Distillation")
    scores["student, labels only"] = fit(fine_tune, classifier(student), few)
    for name, batches in (("labelled images", few), ("all images", every)):
        smaller = classifier(student)
        scores[f"student, {name}"] = fit(
            distil, distil.build_trainer(smaller, tuned), batches, every.steps_per_epoch
        )
    served = export(smaller, every, data.class_names, output / "saved_models" / "student" / "1")
    return {
        "scores": scores,
        "served": served,
        "labels": few.examples,
        "parameters": [tuned.count_params(), smaller.count_params()],
    }


def known(data, share, seed):
    """The images whose labels are known."""
    labels = trainers.few_labels(data.y_train, share, seed)
    parts = {"x_train": data.x_train[labels >= 0], "y_train": data.y_train[labels >= 0]}
    return kr.datasets.ImageData(**{**vars(data), **parts})


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


def contrast(recipe, backbone, data, path, restart):
    """A `SimCLR` of the backbone, trained on all images without their labels."""
    if hasattr(data, "x_train"):
        grey = data.x_train.ndim == 3
        if grey:
            recipe = recipe.replace(color_strength=0.0, grayscale=0.0, size=data.x_train.shape[1])
        source = data.x_train[..., None] if grey else data.x_train
    else:
        source = data.train.map(lambda image, label: image)
    steps = len(source) // recipe.batch_size
    trainer = recipe.build_trainer(backbone)
    recipe.compile(trainer, steps)
    resume = trainers.Resume(path, every=100, restart=restart)
    views = kr.datasets.multi_crop_dataset(
        source,
        recipe.batch_size,
        views=recipe.views,
        seed=recipe.seed,
        epoch=resume.epoch,
        start_batch=resume.batch,
        repeat=True,
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


def fit(recipe, trainer, batches, steps=None):
    """Train a classifier or a student by its recipe: the test accuracy."""
    steps = steps or batches.steps_per_epoch
    recipe.compile(trainer, steps)
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
    steps = batches.steps_per_epoch
    bank = extract(batches.train(0).take(steps))
    return kr.metrics.knn_evaluate(*bank, *extract(batches.test()), k=20, temperature=0.1).top1


def export(model, batches, class_names, path):
    """A SavedModel that takes images of 0 to 255; the test accuracy of what it serves."""

    def classify(images):
        return {"probabilities": tf.nn.softmax(model(batches.normalize(images), training=False))}

    inputs = {"images": tf.TensorSpec([None, *batches.image_shape], tf.uint8)}
    signatures = {"serving_default": (classify, inputs)}
    kr.export.to_saved_model(model, path, signatures, overwrite=True)
    serve = tf.saved_model.load(str(path)).signatures["serving_default"]
    right = [
        np.argmax(serve(images=tf.cast(tf.round(x), tf.uint8))["probabilities"], 1) == y
        for x, y in batches.test(normalized=False)
    ]
    print(f"SavedModel: {path}, {len(class_names)} classes")
    return float(np.mean(np.concatenate(right)))


def report(runs, args, output):
    """The table over the seeds, and the plot."""
    scores = {key: 100 * np.array([run["scores"][key] for run in runs]) for key in ROWS}
    rows = [
        {"": ROWS[key], "test accuracy %": cell(found), "seeds": len(found)}
        for key, found in scores.items()
    ]
    table, (teacher, student) = Table(rows), runs[-1]["parameters"]
    setting = (
        f"{args.data}, {runs[-1]['labels']} labels; teacher of {teacher:,} parameters, student of "
        f"{student:,}, served with {100 * runs[-1]['served']:.1f} %"
    )
    print(f"\n{setting}\n{table}")
    with write_whole(output / "table.md") as place:
        place.write_text(f"{setting}\n\n{table.to_markdown()}\n", encoding="utf-8")
    plot(scores, setting, output / "accuracy.png")
    print(f"Table and plot: {output}")


def cell(scores):
    """Mean and, of several seeds, the standard deviation."""
    spread = f" ± {np.std(scores, ddof=1):.1f}" if len(scores) > 1 else ""
    return f"{np.mean(scores):.1f}{spread}"


def plot(scores, setting, path):
    """A bar for each step, a dot for each seed."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 4.5), layout="constrained")
    axes = figure.add_subplot()
    axes.barh([*scores], [np.mean(found) for found in scores.values()], color="tab:blue", alpha=0.5)
    for key, found in scores.items():
        axes.plot(found, [key] * len(found), "k.")
    axes.invert_yaxis()
    axes.set(xlabel="test accuracy (%)")
    axes.set_title(setting, fontsize="small")
    with write_whole(path) as place:
        figure.savefig(place, dpi=120)


if __name__ == "__main__":
    main()
