"""MEAL V2: a trained student learns the averaged answers of teachers, without labels.

    python examples/meal_v2.py                                  # bundled Fashion-MNIST, minutes
    python examples/meal_v2.py --data cifar10 --seeds 3
    python examples/meal_v2.py --recipe r50 --data tfds:imagenet2012 --variants "MEAL V2" \\
        --student resnet50=FILE --teachers senet154=FILE resnet152s=FILE

The last takes the paper's recipe and published weights, and accelerators for days. Networks without
a FILE are trained on the labels first, the teachers once for all seeds. Beside MEAL V2 the same
student is trained further on labels for as many steps, and on the teachers without the
discriminator. Finished networks are kept in OUTPUT and not trained again, and a training that was
interrupted goes on; `--restart` begins anew.
"""

import argparse
import shutil
import sys
from pathlib import Path

import keras
import numpy as np
from train_resnet import network

import keras_resnets as kr
import trainers
from keras_resnets.analysis import Runs, Table, plot_spread, spread
from keras_resnets.files import write_whole
from trainers import recipes

RECIPES = {
    "small": recipes.MEAL_SMALL,
    "r50": recipes.MEAL_V2_R50,
    "r50_380": recipes.MEAL_V2_R50_380,
    "r50_cutmix": recipes.MEAL_V2_R50_CUTMIX,
}
LABELS = "student, further on labels"
MEAL = "student, MEAL V2 without labels"
WITHOUT = "student, MEAL V2 without discriminator"
VARIANTS = {"labels": LABELS, "MEAL V2": MEAL, "without discriminator": WITHOUT}


def main():
    args = parse()
    data = kr.datasets.load(args.data)
    if getattr(data, "test", None) is None:
        sys.exit("--data must have a test split, as a folder with train/ and test/ has")
    output = Path(args.output)
    if args.restart:
        shutil.rmtree(output, ignore_errors=True)
    output.mkdir(parents=True, exist_ok=True)
    if args.images:
        data = data.subset(slice(args.images))
    runs = Runs(output / "runs.json", setting(args))
    teachers = train_teachers(args, data, output / "teachers", runs)
    for seed in range(args.seed, args.seed + args.seeds):
        run(args, data, teachers, seed, output / f"seed{seed}", runs)
    report(runs, output)


def parse():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", default="fashion_sample", help="as keras_resnets.datasets.load")
    parser.add_argument("--recipe", choices=RECIPES, default="small")
    parser.add_argument("--student", help="NAME, or NAME=FILE of weights; default: the recipe's")
    parser.add_argument("--teachers", nargs="+", help="the same, one or several")
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=[*VARIANTS])
    parser.add_argument("--epochs", type=int, help="of each variant; default: the recipe's")
    parser.add_argument("--student-epochs", type=int, default=8, help="on labels, before")
    parser.add_argument("--teacher-epochs", type=int, default=12, help="on labels")
    parser.add_argument("--learning-rate", type=float, help="of each variant")
    parser.add_argument("--batch-size", type=int, help="of each variant; the rate follows it")
    parser.add_argument("--images", type=int, help="train on so many images; default: all")
    parser.add_argument("--side", type=int, help="scale the images to this side")
    parser.add_argument("--seed", type=int, default=0, help="the first seed")
    parser.add_argument("--seeds", type=int, default=1, help="how many")
    parser.add_argument("--output", default="results/meal_v2", help="folder of results")
    parser.add_argument("--restart", action="store_true", help="forget what is in OUTPUT")
    parser.add_argument("--short", action="store_true", help="a minute or two, to try it out")
    args = parser.parse_args()
    recipe = RECIPES[args.recipe]
    args.student = args.student or recipe.student
    args.teachers = args.teachers or [*recipe.teachers]
    if args.short:
        args.epochs, args.student_epochs, args.teacher_epochs = 2, 1, 3
        args.images, args.side = 1500, 14
    if args.epochs:
        recipe = recipe.shortened(args.epochs)
    if args.learning_rate:
        recipe = recipe.replace(learning_rate=args.learning_rate)
    if args.batch_size:
        recipe = recipe.with_batch_size(args.batch_size)
    args.recipe = recipe.replace(size=args.side or recipe.size)
    return args


def setting(args):
    """What the runs in a folder have in common."""
    recipe = args.recipe
    names = [model.partition("=")[0] for model in (args.student, *args.teachers)]
    return (
        f"{args.data}, {args.images or 'all'} images, side {recipe.size or 'as it is'}; student "
        f"{names[0]}, {args.student_epochs} epochs; teachers {' '.join(names[1:])}, "
        f"{args.teacher_epochs} epochs; then {recipe.name}, {recipe.epochs} epochs of batches of "
        f"{recipe.batch_size}, rate {recipe.learning_rate}"
    )


def train_teachers(args, data, folder, runs):
    """The teachers, which all seeds share as they share published ones."""
    folder.mkdir(exist_ok=True)
    batches = trainers.ImageBatches(data, args.recipe)
    teachers = []
    for i, name in enumerate(args.teachers, 1):
        teacher = obtain(name, f"teacher {i}", args.teacher_epochs, i, batches, folder)
        runs.put("teachers", f"teacher {i}", accuracy(teacher, batches))
        teachers.append(teacher)
    runs.put("teachers", "teachers together", accuracy(together(teachers), batches))
    return teachers


def run(args, data, teachers, seed, folder, runs):
    """The student of one seed, and what becomes of it."""
    folder.mkdir(exist_ok=True)
    recipe = args.recipe.replace(seed=seed)
    batches = trainers.ImageBatches(data, recipe)
    student = obtain(args.student, "student", args.student_epochs, 100 * seed, batches, folder)
    runs.put(seed, "student", accuracy(student, batches))
    for variant in args.variants:
        keras.utils.set_random_seed(100 * seed)
        further = network(args.student.partition("=")[0], batches)
        further.set_weights(student.get_weights())
        trainer = make_trainer(variant, further, teachers, recipe, batches.steps_per_epoch)
        fit(trainer, further, variant, recipe, batches, folder)
        runs.put(seed, VARIANTS[variant], accuracy(further, batches))
        if variant == "MEAL V2":
            path = folder / "saved_models" / "student" / "1"
            served = trainers.export_classifier(further, batches, path)
            print(f"SavedModel: {path}, right on {100 * served:.2f} % of the test images")


def obtain(name, role, epochs, seed, batches, folder):
    """A network of logits: with published weights (NAME=FILE), or trained on the labels."""
    name, _, weights = name.partition("=")
    keras.utils.set_random_seed(seed)
    model = network(name, batches, weights=weights or None, name=role.replace(" ", "_"))
    if not weights:
        same = {key: getattr(batches.recipe, key) for key in ("size", "crop", "normalization")}
        recipe = recipes.RESNET_SMALL.shortened(epochs).replace(**same, seed=seed)
        batches = trainers.ImageBatches(batches.data, recipe)
        trainer = trainers.PartialTrainer(model, "all")
        recipe.compile(trainer, batches.steps_per_epoch, jit_compile=False)
        fit(trainer, model, role, recipe, batches, folder)
    return model


def together(teachers):
    """One model of the teachers' mean probabilities."""
    inputs = keras.Input(teachers[0].input_shape[1:])
    outputs = [keras.layers.Softmax()(teacher(inputs)) for teacher in teachers]
    return keras.Model(inputs, sum(outputs) / len(outputs))


def make_trainer(variant, student, teachers, recipe, steps):
    """What trains the student further: on labels, or on the teachers' answers."""
    if variant == "labels":
        student.compile(recipe.build_optimizer(steps), **MEASURED)
        return student
    if variant == "without discriminator":
        recipe = recipe.replace(discriminator=None)
    trainer = recipe.build_trainer(student, teachers)
    recipe.compile(trainer, steps, jit_compile=False)
    return trainer


def fit(trainer, model, role, recipe, batches, folder):
    """Train and save, or load what an earlier run saved; go on where one was interrupted."""
    path = folder / f"{role}.weights.h5".replace(" ", "_")
    if path.exists():
        model.load_weights(path)
        return
    resume = trainers.Resume(folder / f"{role}.npz".replace(" ", "_"), every=200)
    print(f"\n{folder.name}, {role}")
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


MEASURED = {
    "loss": keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    "metrics": ["accuracy"],
    "jit_compile": False,
}


def accuracy(model, batches):
    """Of the test images, 0 to 1."""
    model.compile(**MEASURED)
    return model.evaluate(batches.test(), verbose=0, return_dict=True)["accuracy"]


def report(runs, output):
    """The table over the seeds, and the plot."""
    names = [*dict.fromkeys(name for results in runs.results.values() for name in results)]
    scores = {name: 100 * np.array(runs.of(name)) for name in names}
    rows = [
        {"": name, "test accuracy %": spread(found), "seeds": len(found)}
        for name, found in scores.items()
    ]
    both = [r for r in runs.results.values() if MEAL in r and LABELS in r]
    if both:
        gain = [100 * (results[MEAL] - results[LABELS]) for results in both]
        row = {"": "gain of MEAL V2 over labels", "test accuracy %": spread(gain)}
        rows.append({**row, "seeds": len(gain)})
    table = Table(rows)
    print(f"\n{runs.setting}\n{table}")
    with write_whole(output / "table.md") as place:
        place.write_text(f"{runs.setting}\n\n{table.to_markdown()}\n", encoding="utf-8")
    plot_spread(scores, output / "accuracy.png", "test accuracy (%)", runs.setting)
    print(f"Table and plot: {output}")


if __name__ == "__main__":
    main()
