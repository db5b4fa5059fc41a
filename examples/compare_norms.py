"""EvoNorm beside BatchNorm and GroupNorm with ReLU, over batch sizes: the fewer images a step, the
worse a batch's statistics stand for the data's, while EvoNorm-S0 and GroupNorm need none.

    python examples/compare_norms.py                      # bundled Fashion-MNIST at 14x14, minutes
    python examples/compare_norms.py --data cifar10 --side 16 --batches 1 2 4 8 16 32 64 128

One pre-activation network, in which only normalisation and activation are exchanged; every run sees
the same number of images, and the learning rate is in proportion to the batch size. Finished runs
are kept in OUTPUT/runs.json and not run again; `--restart` begins anew.
"""

import argparse
import itertools
import json
from pathlib import Path

import keras
import numpy as np

import keras_resnets as kr
import trainers
from keras_resnets.analysis import Table
from keras_resnets.files import write_whole
from trainers.recipes import RESNET_SMALL

GROUPS = 8  # of 16 to 64 channels; the layers' own 32 are for the widths of ImageNet's networks


def group_norm(channels, apply_act, name, zero_init):
    layers = [keras.layers.GroupNormalization(GROUPS, epsilon=1e-5)]
    return keras.Sequential([*layers, keras.layers.ReLU()] if apply_act else layers, name=name)


def evonorm_s0(channels, apply_act, name, zero_init):
    return kr.layers.EvoNormS0(groups=GROUPS, apply_act=apply_act, name=name)


NORMS = {
    "BatchNorm + ReLU": "batch_norm+relu",
    "GroupNorm + ReLU": group_norm,
    "EvoNorm-B0": "evonorm_b0",
    "EvoNorm-S0": evonorm_s0,
}


def main():
    args = parse()
    data = kr.datasets.load(args.data)
    if args.images:
        data = data.subset(slice(args.images))
    output = Path(args.output)
    output.mkdir(parents=True, exist_ok=True)
    path = output / "runs.json"
    runs = json.loads(path.read_text()) if path.exists() and not args.restart else {}
    setting = (
        f"{args.data}, side {args.side}, ResNet-{args.depth} W={args.width}, "
        f"{args.epochs} epochs of {args.images or 'all'} images, rate {args.learning_rate} at 128"
    )
    seeds = range(args.seed, args.seed + args.seeds)
    wanted = {
        f"{setting}; {norm}, batch {batch}, seed {seed}": (norm, batch, seed)
        for seed, batch, norm in itertools.product(seeds, args.batches, args.norms)
    }
    missing = [key for key in wanted if key not in runs]
    bar = keras.utils.Progbar(len(missing), unit_name="run")
    for key in missing:
        runs[key] = run(data, args, *wanted[key])
        with write_whole(path) as place:
            place.write_text(json.dumps(runs, indent=1), encoding="utf-8")
        bar.add(1, [("accuracy", runs[key]["accuracy"])])
    report([run for key, run in runs.items() if key.startswith(f"{setting};")], setting, output)


def parse():
    parser = argparse.ArgumentParser(description=__doc__.split(":")[0])
    parser.add_argument("--data", default="fashion_sample", help="as keras_resnets.datasets.load")
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 4, 16, 128])
    parser.add_argument("--norms", nargs="+", choices=NORMS, default=[*NORMS])
    parser.add_argument("--depth", type=int, default=8)
    parser.add_argument("--width", type=int, default=16)
    parser.add_argument("--side", type=int, default=14, help="scale the images to this side")
    parser.add_argument("--images", type=int, help="train on so many images; default: all")
    parser.add_argument("--learning-rate", type=float, default=0.1, help="at a batch size of 128")
    parser.add_argument("--seed", type=int, default=0, help="the first seed")
    parser.add_argument("--seeds", type=int, default=1, help="how many")
    parser.add_argument("--output", default="results/compare_norms", help="folder of results")
    parser.add_argument("--restart", action="store_true", help="forget the runs in OUTPUT")
    parser.add_argument("--short", action="store_true", help="a minute or two, to try it out")
    args = parser.parse_args()
    if args.short:
        args.epochs, args.images, args.batches = 1, 1000, [2, 32]
    return args


def run(data, args, norm, batch, seed):
    """Train one network; its test accuracy and last training loss."""
    keras.utils.set_random_seed(seed)
    recipe = RESNET_SMALL.shortened(args.epochs).replace(
        size=args.side, pad=max(1, args.side // 8), batch_size=128, learning_rate=args.learning_rate
    )
    recipe = recipe.with_batch_size(batch)
    batches = trainers.ImageBatches(data, recipe)
    model = kr.cifar_resnet(
        args.depth,
        args.width,
        preactivation=True,
        norm_act=NORMS[norm],
        input_shape=batches.image_shape,
        classes=batches.classes,
        classifier_activation=None,
    )
    trainer = trainers.PartialTrainer(model, "all")
    steps = batches.steps_per_epoch
    recipe.compile(
        trainer, steps, jit_compile=False, steps_per_execution=min(steps, max(1, 64 // batch))
    )
    history = trainer.fit(
        batches.train(seed), steps_per_epoch=steps, epochs=args.epochs, verbose=0, shuffle=False
    )
    return {
        "norm": norm,
        "batch size": batch,
        "seed": seed,
        "accuracy": float(
            trainer.evaluate(batches.test(), verbose=0, return_dict=True)["accuracy"]
        ),
        "training loss": float(history.history["loss"][-1]),
    }


def report(runs, setting, output):
    """The table over the seeds, and the plot."""
    accuracies = {}
    for r in runs:
        accuracies.setdefault((r["norm"], r["batch size"]), []).append(100 * r["accuracy"])
    norms = [norm for norm in NORMS if any(norm == n for n, _ in accuracies)]
    batches = sorted({batch for _, batch in accuracies})
    rows = []
    for batch in batches:
        of_norm = {norm: accuracies.get((norm, batch)) for norm in norms}
        counts = sorted({len(found) for found in of_norm.values() if found})
        rows.append(
            {
                "batch size": batch,
                **{norm: cell(found) for norm, found in of_norm.items()},
                "seeds": " or ".join(map(str, counts)),
            }
        )
    table = Table(rows)
    print(f"\n{setting}: test accuracy %\n{table}")
    with write_whole(output / "table.md") as place:
        text = f"{setting}: test accuracy %\n\n{table.to_markdown()}\n"
        place.write_text(text, encoding="utf-8")
    plot(accuracies, norms, batches, setting, output / "accuracy.png")
    print(f"Table and plot: {output}")


def cell(accuracies):
    """Mean and, of several seeds, the standard deviation."""
    if accuracies is None:
        return "-"
    spread = f" ± {np.std(accuracies, ddof=1):.1f}" if len(accuracies) > 1 else ""
    return f"{np.mean(accuracies):.1f}{spread}"


def plot(accuracies, norms, batches, setting, path):
    """Accuracy by batch size; whiskers are the standard deviation over the seeds."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.add_subplot()
    for norm in norms:
        at = [batch for batch in batches if (norm, batch) in accuracies]
        scores = [accuracies[norm, batch] for batch in at]
        axes.errorbar(
            at,
            [np.mean(s) for s in scores],
            [np.std(s, ddof=1) if len(s) > 1 else 0 for s in scores],
            marker="o",
            capsize=3,
            label=norm,
        )
    axes.set_xscale("log", base=2)
    axes.set_xticks(batches, map(str, batches))
    axes.set(xlabel="images a step", ylabel="test accuracy (%)")
    axes.set_title(setting, fontsize="small")
    axes.legend()
    with write_whole(path) as place:
        figure.savefig(place, dpi=120)


if __name__ == "__main__":
    main()
