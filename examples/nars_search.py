"""Searches a network and its recipe together under a budget of multiply-adds, by real training.

    python examples/nars_search.py                                  # bundled Fashion-MNIST, minutes
    python examples/nars_search.py --data cifar10 --side 16 --trials 40 --seeds 3
    python examples/nars_search.py --macs 3e5

The space has residual networks of three stages, each with a depth and a width, and the fields of
their recipe. The winner of NARS, that of random search under the same budget and the network that
one would take unsearched are then trained on all training images and tested. A search that was
interrupted goes on; `--restart` begins anew.
"""

import argparse
import shutil
import sys
from pathlib import Path

import keras
import keras_tuner
import numpy as np
from search_systems import architecture, held_out, image_fit

import keras_resnets as kr
import trainers
import tuners
from keras_resnets.analysis import Runs, Table, plot_spread, spread
from keras_resnets.files import write_whole
from trainers import recipes

STAGES = (1, 2, 3)
NETWORKS = architecture(
    **{f"depth{i}": [1, 2] for i in STAGES},
    **{f"width{i}": [2**i * w for w in (2, 3, 4, 6, 8)] for i in STAGES},
)
DEFAULT = {f"depth{i}": 1 for i in STAGES} | {f"width{i}": 2**i * 4 for i in STAGES}
ROWS = ("default", "random search", "NARS")


def main():
    args = parse()
    data = kr.datasets.load(args.data)
    if not hasattr(data, "x_train") or data.x_test is None:
        sys.exit("--data must be images in memory with a test set, as fashion_sample or cifar10")
    if args.examples:
        data = data.subset(slice(args.examples))
    output = Path(args.output)
    if args.restart:
        shutil.rmtree(output, ignore_errors=True)
    output.mkdir(parents=True, exist_ok=True)
    runs = Runs(output / "runs.json", setting(args))
    for seed in range(args.seed, args.seed + args.seeds):
        if not runs.has(seed, ROWS[-1]):
            print(f"\nSeed {seed}")
            run(args, data, seed, output / f"seed{seed}", runs)
    report(runs, output)


def parse():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", default="fashion_sample", help="as keras_resnets.datasets.load")
    parser.add_argument("--macs", type=float, help="budget; default: what the default network has")
    parser.add_argument("--trials", type=int, default=30, help="of each search")
    parser.add_argument("--epochs", type=int, default=6, help="of a trial, and of the final nets")
    parser.add_argument("--examples", type=int, help="use so many of the training images")
    parser.add_argument("--side", type=int, help="scale the images to this side")
    parser.add_argument("--seed", type=int, default=0, help="the first seed")
    parser.add_argument("--seeds", type=int, default=1, help="how many")
    parser.add_argument("--output", default="results/nars_search", help="folder of results")
    parser.add_argument("--restart", action="store_true", help="forget what is in OUTPUT")
    parser.add_argument("--short", action="store_true", help="a minute or two, to try it out")
    args = parser.parse_args()
    if args.short:
        args.trials, args.epochs, args.examples, args.side = 4, 1, 1000, 14
    return args


def setting(args):
    """What the runs in a folder have in common."""
    return (
        f"{args.data}, {args.examples or 'all'} images, side {args.side or 'as it is'}, "
        f"at most {args.macs or 'the default network'} MACs, {args.trials} trials of at most "
        f"{args.epochs} epochs"
    )


def run(args, data, seed, folder, runs):
    """Both searches with one seed, and what becomes of their winners."""
    keras.utils.set_random_seed(seed)
    recipe = recipes.RESNET_SMALL.shortened(args.epochs).replace(size=args.side, seed=seed)
    batches = trainers.ImageBatches(data, recipe)
    space = NETWORKS + tuners.recipe_space(
        recipe,
        learning_rate=(0.01, 1.0, "log"),
        weight_decay=(1e-5, 1e-2, "log"),
        batch_size=[32, 64, 128],
        flip=[True, False],
        pad=(0, 4),
    )
    statistics = counter(batches)
    limit = args.macs or statistics(DEFAULT)["macs"]
    judged = held_out(data)
    hypermodel = tuners.recipe_hypermodel(
        lambda **sizes: network(sizes, batches), trainer(judged), space, image_fit(judged)
    )

    def search(name, trials, initial):
        tuner = tuners.NARS(
            hypermodel,
            space,
            keras_tuner.Objective("val_accuracy", "max"),
            trials,
            statistics,
            [tuners.Constraint("macs", max=limit)],
            initial_trials=initial,
            refit_every=1,  # less than a second, of trials that take many
            max_epochs=args.epochs,
            seed=seed,
            directory=folder,
            project_name=name.replace(" ", "_"),
        )
        print(f"{name}: {trials} trials")
        tuner.search(verbose=0)
        return tuner

    found = {"NARS": search("NARS", args.trials, max(4, args.trials // 3))}
    # As many epochs as NARS took; points that fill the space evenly are random search at its best.
    trials = round(epochs(found["NARS"]) / args.epochs)
    found["random search"] = search("random search", trials, trials)
    plot_pareto(found, statistics, folder / "pareto.png", f"{setting(args)}, seed {seed}")

    winners = {"default": ({}, DEFAULT, recipe)}
    for name, tuner in found.items():
        config = space.from_hyperparameters(tuner.get_best_hyperparameters()[0])
        better = recipe.replace(**space.part(config, "recipe"))
        winners[name] = (config, space.part(config, "architecture"), better)
    for name in ROWS:
        config, sizes, chosen = winners[name]
        score = test(name, sizes, chosen, data, folder)
        spent = epochs(found[name]) if name in found else 0
        result = {"accuracy": score, "epochs": spent, "config": config, **statistics(sizes)}
        runs.put(seed, name, result)


def network(sizes, batches):
    """The residual network of these depths and widths."""
    depths, widths = ([sizes[f"{kind}{i}"] for i in STAGES] for kind in ("depth", "width"))
    return kr.resnet(
        input_shape=batches.image_shape,
        classes=batches.classes,
        classifier_activation=None,
        depths=depths,
        filters=widths,
        block="basic",
        stem="cifar",
        stem_width=widths[0],
        minimum_size=8,
    )


def counter(batches):
    """What a point of the space costs, from closed forms: no network is built."""
    height, width, channels = batches.image_shape

    def statistics(config):
        macs = params = 0

        def conv(x, out, positions, window=9):
            nonlocal macs, params
            macs += window * x * out * positions
            params += window * x * out + 2 * out  # the normalisation's scale and offset

        side = (height, width)
        x = config["width1"]
        conv(channels, x, height * width)
        for i in STAGES:
            out = config[f"width{i}"]
            if i > 1:
                side = tuple(-(-n // 2) for n in side)
            for block in range(config[f"depth{i}"]):
                conv(x, out, np.prod(side))
                conv(out, out, np.prod(side))
                if block == 0 and x != out:
                    conv(x, out, np.prod(side), window=1)
                x = out
        macs += x * batches.classes
        params += (x + 1) * batches.classes
        return {"macs": int(macs), "params": int(params)}

    return statistics


def trainer(data):
    def build(network, recipe):
        trainer = trainers.PartialTrainer(network, "all")
        steps = len(data.x_train) // recipe.batch_size
        recipe.compile(trainer, steps, jit_compile=False)
        return trainer

    return build


def epochs(tuner):
    """How many epochs the trials took together."""
    return sum(
        max(o.step for o in trial.metrics.get_history("val_accuracy")) + 1
        for trial in tuner.oracle.trials.values()
        if trial.metrics.exists("val_accuracy")
    )


def test(name, sizes, recipe, data, folder):
    """Train on all training images, export, and measure: the test accuracy."""
    keras.utils.set_random_seed(recipe.seed)
    batches = trainers.ImageBatches(data, recipe)
    model = trainer(data)(network(sizes, batches), recipe)
    model.fit(
        batches.train(),
        steps_per_epoch=batches.steps_per_epoch,
        epochs=recipe.epochs,
        shuffle=False,
        verbose=2,
    )
    path = folder / "saved_models" / name.replace(" ", "_").lower() / "1"
    return trainers.export_classifier(model.model, batches, path)


def plot_pareto(found, statistics, path, title):
    """What every trial reached at its cost, and the line of those that none beats at less."""
    from matplotlib.figure import Figure

    def macs(config):
        return statistics(config)["macs"]

    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.add_subplot()
    for name, tuner in found.items():
        points = sorted(
            (
                statistics(tuner.space.from_hyperparameters(trial.hyperparameters))["macs"],
                trial.score,
            )
            for trial in tuner.oracle.get_best_trials(len(tuner.oracle.trials))
        )
        spent, accuracy = np.array(points).T
        best = np.maximum.accumulate(accuracy)
        (dots,) = axes.plot(spent, 100 * accuracy, "o", alpha=0.5, label=f"{name}, every trial")
        axes.step(spent, 100 * best, where="post", color=dots.get_color(), label=f"{name}, best")
    axes.set(xlabel="multiply-adds", ylabel="accuracy on held-out images (%)", xscale="log")
    axes.set_title(title, fontsize="small", wrap=True)
    axes.legend()
    with write_whole(path) as place:
        figure.savefig(place, dpi=120)


def report(runs, output):
    """The table over the seeds, the last seed's winners, and the plot."""
    rows, scores = [], {}
    for name in ROWS:
        results = runs.of(name)
        scores[name] = [100 * result["accuracy"] for result in results]
        means = {
            key: round(np.mean([result[key] for result in results]))
            for key in ("macs", "params", "epochs")
        }
        row = {"": name, "test accuracy %": spread(scores[name]), "MACs": means["macs"]}
        row |= {"parameters": means["params"], "epochs searched": means["epochs"]}
        rows.append({**row, "seeds": len(results)})
    table = Table(rows)
    print(f"\n{runs.setting}\n{table}")
    for name in ROWS[1:]:
        print(f"{name}: {runs.of(name)[-1]['config']}")
    with write_whole(output / "table.md") as place:
        place.write_text(f"{runs.setting}\n\n{table.to_markdown()}\n", encoding="utf-8")
    plot_spread(scores, output / "accuracy.png", "test accuracy (%)", runs.setting)
    print(f"Table and plots: {output}")


if __name__ == "__main__":
    main()
