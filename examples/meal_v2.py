"""MEAL V2: a trained student learns the averaged answers of teachers, without labels, beside the
same student trained further on labels for as many steps.

    python examples/meal_v2.py                                  # bundled Fashion-MNIST, minutes
    python examples/meal_v2.py --data cifar10 --seeds 3
    python examples/meal_v2.py --recipe r50 --data tfds:imagenet2012 --variants "MEAL V2" \\
        --student resnet50=FILE --teachers senet154=FILE resnet152s=FILE    # published weights

Networks without a FILE are trained on the labels first. Finished networks are kept in OUTPUT and
not trained again, and a training that was cut off goes on; `--restart` begins anew.
"""

import argparse
import json
import shutil
import sys
from pathlib import Path

import keras
import numpy as np
from train_resnet import export, network

import keras_resnets as kr
import trainers
from keras_resnets.analysis import Table
from keras_resnets.files import write_whole
from trainers.recipes import (
    MEAL_SMALL,
    MEAL_V2_R50,
    MEAL_V2_R50_380,
    MEAL_V2_R50_CUTMIX,
    RESNET_SMALL,
)

RECIPES = {
    "small": MEAL_SMALL,
    "r50": MEAL_V2_R50,
    "r50_380": MEAL_V2_R50_380,
    "r50_cutmix": MEAL_V2_R50_CUTMIX,
}
VARIANTS = ("labels", "MEAL V2", "MEAL V2 without discriminator")


def main():
    args = parse()
    data = kr.datasets.load(args.data)
    if getattr(data, "test", None) is None:
        sys.exit("--data must have a test split, as a folder with train/ and test/ has")
    output = Path(args.output)
    if args.restart:
        shutil.rmtree(output, ignore_errors=True)
    output.mkdir(parents=True, exist_ok=True)
    runs = Runs(output / "runs.json", setting(args))
    for seed in range(args.seed, args.seed + args.seeds):
        train(args, data, output / f"seed{seed}", seed, runs)
    report(runs, output)
    save(args, data, output, runs)


def parse():
    parser = argparse.ArgumentParser(
        description=__doc__.split(":")[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--data", default="fashion_sample", help="as keras_resnets.datasets.load")
    parser.add_argument("--recipe", choices=RECIPES, default="small")
    parser.add_argument("--student", help="NAME or NAME=FILE of weights; default: the recipe's")
    parser.add_argument("--teachers", nargs="+", help="the same, one or several")
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=[*VARIANTS])
    parser.add_argument("--epochs", type=int, help="of each variant; default: the recipe's")
    parser.add_argument("--student-epochs", type=int, default=8, help="on labels, before")
    parser.add_argument("--teacher-epochs", type=int, default=12, help="on labels")
    parser.add_argument("--images", type=int, help="train on so many images; default: all")
    parser.add_argument("--side", type=int, help="scale the images to this side")
    parser.add_argument("--batch-size", type=int, help="of the recipe; the rate follows it")
    parser.add_argument("--seed", type=int, default=0, help="the first seed")
    parser.add_argument("--seeds", type=int, default=1, help="how many")
    parser.add_argument("--output", default="results/meal_v2", help="folder of results")
    parser.add_argument("--restart", action="store_true", help="forget the runs in OUTPUT")
    parser.add_argument("--short", action="store_true", help="a minute or two, to try it out")
    args = parser.parse_args()
    recipe = RECIPES[args.recipe]
    if args.short:
        args.epochs, args.student_epochs, args.teacher_epochs, args.images = 2, 1, 2, 1500
        args.student, args.teachers = "cifar_resnet8_8", ["cifar_resnet8_16", "cifar_resnet8_24"]
    args.student = args.student or recipe.student
    args.teachers = args.teachers or [*recipe.teachers]
    if args.epochs:
        recipe = recipe.shortened(args.epochs)
    if args.batch_size:
        recipe = recipe.with_batch_size(args.batch_size)
    args.recipe = recipe.replace(size=args.side or recipe.size)
    return args


def setting(args):
    """What the runs in a folder have in common."""
    recipe = args.recipe
    return (
        f"{args.data}, {args.images or 'all'} images, side {recipe.size or 'as is'}; "
        f"student {args.student}, {args.student_epochs} epochs; teachers "
        f"{' '.join(args.teachers)}, {args.teacher_epochs} epochs; then {recipe.name}, "
        f"{recipe.epochs} epochs of batches of {recipe.batch_size}, rate {recipe.learning_rate}"
    )


class Runs:
    """The scores so far, in a file, by seed and name."""

    def __init__(self, path, setting):
        self.path, self.setting, self.scores = path, setting, {}
        if path.exists():
            state = json.loads(path.read_text())
            self.scores = state["scores"]
            if state["setting"] != setting:
                sys.exit(
                    f"{path} is of another setting: {state['setting']}.\n"
                    "Choose another --output, or --restart."
                )

    def set(self, seed, name, accuracy):
        self.scores.setdefault(str(seed), {})[name] = accuracy
        with write_whole(self.path) as place:
            state = {"setting": self.setting, "scores": self.scores}
            place.write_text(json.dumps(state, indent=1), encoding="utf-8")

    def of(self, name):
        """Accuracies in %, one a seed."""
        return [100 * scores[name] for scores in self.scores.values() if name in scores]

    def gain(self, name, other):
        """Differences in %, one a seed that has both."""
        both = [s for s in self.scores.values() if name in s and other in s]
        return [100 * (scores[name] - scores[other]) for scores in both]


def train(args, data, folder, seed, runs):
    """All networks of one seed: teachers, the student, and what becomes of it."""
    folder.mkdir(exist_ok=True)
    recipe = args.recipe.replace(seed=seed)
    on_labels = RESNET_SMALL.replace(
        size=recipe.size, pad=recipe.pad, crop=recipe.crop, normalization=recipe.normalization
    )
    batches = trainers.ImageBatches(first(data, args.images), recipe)
    teachers = []
    for i, name in enumerate(args.teachers, 1):
        number = 100 * seed + i
        label_recipe = on_labels.shortened(args.teacher_epochs).replace(seed=number)
        teachers.append(obtain(name, f"teacher {i}", label_recipe, batches, folder))
        runs.set(seed, f"teacher {i}", accuracy(teachers[-1], batches))
    runs.set(seed, "teachers together", accuracy(average(teachers, batches), batches))
    label_recipe = on_labels.shortened(args.student_epochs).replace(seed=100 * seed)
    student = obtain(args.student, "student", label_recipe, batches, folder)
    runs.set(seed, "student", accuracy(student, batches))
    for variant in args.variants:
        keras.utils.set_random_seed(100 * seed)
        further = network(args.student.partition("=")[0], batches)
        further.set_weights(student.get_weights())
        trainer = make_trainer(variant, further, teachers, recipe, batches.steps_per_epoch)
        fit(trainer, further, variant, recipe, batches, folder)
        runs.set(seed, variant, accuracy(further, batches))


def first(data, images):
    """The first so many training images."""
    if images is None:
        return data
    parts = {"x_train": data.x_train[:images], "y_train": data.y_train[:images]}
    return kr.datasets.ImageData(**{**vars(data), **parts})


def obtain(name, role, recipe, batches, folder):
    """A network of logits: with published weights (NAME=FILE), or trained on the labels."""
    name, _, weights = name.partition("=")
    keras.utils.set_random_seed(recipe.seed)
    model = network(name, batches, weights=weights or None, name=role.replace(" ", "_"))
    if weights:
        return model
    trainer = trainers.PartialTrainer(model, "all")
    batches = trainers.ImageBatches(batches.data, recipe)
    recipe.compile(trainer, batches.steps_per_epoch, jit_compile=False)
    fit(trainer, model, role, recipe, batches, folder)
    return model


def average(teachers, batches):
    """One model of the teachers' mean probabilities."""
    inputs = keras.Input(batches.image_shape)
    outputs = [keras.layers.Softmax()(teacher(inputs)) for teacher in teachers]
    mean = keras.layers.Average()(outputs) if len(outputs) > 1 else outputs[0]
    return keras.Model(inputs, mean)


def make_trainer(variant, student, teachers, recipe, steps):
    """The student's further training: on labels, or on the teachers' answers."""
    if variant == "labels":
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        student.compile(
            recipe.build_optimizer(steps), loss, metrics=["accuracy"], jit_compile=False
        )
        return student
    if "without" in variant:
        recipe = recipe.replace(discriminator=None)
    trainer = recipe.build_trainer(student, teachers)
    recipe.compile(trainer, steps, jit_compile=False)
    return trainer


def fit(trainer, model, role, recipe, batches, folder):
    """Train and save, or load what an earlier call saved; go on where one was cut off."""
    path = folder / f"{role}.weights.h5".replace(" ", "_")
    if path.exists():
        model.load_weights(path)
        return
    resume = trainers.Resume(folder / f"{role}.npz".replace(" ", "_"), every=200)
    print(f"{folder.name}, {role}")
    bar = keras.utils.Progbar(recipe.epochs, unit_name="epoch")
    bar.update(resume.epoch)
    tick = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: bar.update(epoch + 1, [*logs.items()])
    )
    trainer.fit(
        batches.train(recipe.seed, resume.epoch, resume.batch),
        steps_per_epoch=batches.steps_per_epoch,
        initial_epoch=resume.epoch,
        epochs=recipe.epochs,
        callbacks=[resume, tick],
        shuffle=False,
        verbose=0,
    )
    with write_whole(path) as place:
        model.save_weights(place)
    resume.path.unlink()


def accuracy(model, batches):
    """Of the test images, 0 to 1."""
    model.compile(
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
        jit_compile=False,
    )
    return model.evaluate(batches.test(), verbose=0, return_dict=True)["accuracy"]


def save(args, data, output, runs):
    """The SavedModel of the first seed's distilled student, and its score."""
    variant = next((name for name in args.variants if name.startswith("MEAL")), None)
    if variant is None:
        return
    batches = trainers.ImageBatches(data, args.recipe)
    name = args.student.partition("=")[0]
    student = network(name, batches)
    student.load_weights(output / f"seed{args.seed}" / f"{variant}.weights.h5".replace(" ", "_"))
    export(name, batches, student, data.class_names, output)
    print(f"Its test accuracy: {100 * runs.scores[str(args.seed)][variant]:.1f} % ({variant})")


def report(runs, output):
    """The table over the seeds, and the plot."""
    names = [*dict.fromkeys(name for scores in runs.scores.values() for name in scores)]
    rows = [
        {"network": name, "test accuracy %": cell(runs.of(name)), "seeds": len(runs.of(name))}
        for name in names
    ]
    gain = runs.gain("MEAL V2", "labels")
    if gain:
        rows.append(
            {"network": "MEAL V2 less labels", "test accuracy %": cell(gain), "seeds": len(gain)}
        )
    table = Table(rows)
    print(f"\n{runs.setting}\n{table}")
    with write_whole(output / "table.md") as place:
        place.write_text(f"{runs.setting}\n\n{table.to_markdown()}\n", encoding="utf-8")
    plot(runs, names, output / "accuracy.png")
    print(f"Table and plot: {output}")


def cell(accuracies):
    """Mean and, of several seeds, the standard deviation."""
    spread = f" ± {np.std(accuracies, ddof=1):.1f}" if len(accuracies) > 1 else ""
    return f"{np.mean(accuracies):.1f}{spread}"


def plot(runs, names, path):
    """Accuracy by network: each seed a point, their mean a bar."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4), layout="constrained")
    axes = figure.add_subplot()
    for i, name in enumerate(names):
        scores = runs.of(name)
        axes.barh(i, np.mean(scores), color="C1" if name.startswith("MEAL") else "C0", alpha=0.6)
        axes.plot(scores, [i] * len(scores), "k.")
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    every = [score for name in names for score in runs.of(name)]
    axes.set(xlabel="test accuracy (%)", xlim=(min(every) - 5, max(every) + 2))
    with write_whole(path) as place:
        figure.savefig(place, dpi=120)


if __name__ == "__main__":
    main()
