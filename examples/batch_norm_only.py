"""Training BatchNorm and only BatchNorm, beside the paper's controls, over depths and widths.

    python examples/batch_norm_only.py                               # bundled Fashion-MNIST
    python examples/batch_norm_only.py --data cifar10 --depths 14 32 56 --epochs 160

Finished runs are kept in OUTPUT/runs.json and not run again; `--restart` begins anew.
"""

import argparse
import itertools
import json
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

import keras_resnets as kr
from keras_resnets import analysis
from keras_resnets.files import write_whole
from trainers import PartialTrainer
from trainers.recipes import BATCH_NORM_ONLY_CIFAR10

VARIANTS = {
    "BN only": dict(trainable="batch_norm"),
    "2 random per channel": dict(random_mask={"per_channel": 2}),
    "output only": dict(trainable="output"),
    "BN + output": dict(trainable="batch_norm+output"),
    "all but BN": dict(trainable="all-batch_norm"),
    "all": dict(trainable="all"),
}
DEFAULT = [name for name in VARIANTS if name != "all but BN"]


def main():
    args = parse()
    data = prepare(kr.datasets.load(args.data), args.side, args.images)
    output = Path(args.output)
    output.mkdir(parents=True, exist_ok=True)
    path = output / "runs.json"
    runs = json.loads(path.read_text()) if path.exists() and not args.restart else {}
    seeds = range(args.seed, args.seed + args.seeds)
    wanted = {
        f"{args.data} {data['x_train'].shape} ResNet-{depth} W={width}, {variant}, "
        f"{args.epochs} epochs, batch {args.batch_size}, seed {seed}": (depth, width, variant, seed)
        for seed, depth, width, variant in itertools.product(
            seeds, args.depths, args.widths, args.variants
        )
    }
    missing = [key for key in wanted if key not in runs]
    bar = keras.utils.Progbar(len(missing) * args.epochs, unit_name="epoch")
    for key in missing:
        runs[key] = run(data, *wanted[key], args.epochs, args.batch_size, bar)
        with write_whole(path) as place:
            place.write_text(json.dumps(runs, indent=1), encoding="utf-8")
    report([run for key, run in runs.items() if key.startswith(f"{args.data} ")], output)


def parse():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", default="fashion_sample", help="as keras_resnets.datasets.load")
    parser.add_argument("--epochs", type=int, default=10, help="the paper: 160")
    parser.add_argument("--batch-size", type=int, default=BATCH_NORM_ONLY_CIFAR10.batch_size)
    parser.add_argument("--depths", type=int, nargs="+", default=[14])
    parser.add_argument("--widths", type=int, nargs="+", default=[16])
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=DEFAULT)
    parser.add_argument("--seed", type=int, default=0, help="the first seed")
    parser.add_argument("--seeds", type=int, default=3, help="how many")
    parser.add_argument("--images", type=int, help="train on so many images; default: all")
    parser.add_argument("--side", type=int, help="average the images down to about this side")
    parser.add_argument("--output", default="results/batch_norm_only", help="folder of results")
    parser.add_argument("--restart", action="store_true", help="forget the runs in OUTPUT")
    parser.add_argument("--short", action="store_true", help="a minute or two, to try it out")
    args = parser.parse_args()
    if args.short:
        args.epochs, args.seeds, args.images, args.side = 3, 1, 2000, 14
        args.widths = [8]
    return args


def prepare(data, side=None, images=None):
    """Standardised float images with channels, perhaps smaller and fewer."""

    def shrink(x):
        x = x.reshape(*x.shape[:3], -1).astype("float32")
        factor = x.shape[1] // side if side else 1
        rows, columns = (size // factor for size in x.shape[1:3])
        x = x[:, : rows * factor, : columns * factor]
        return x.reshape(len(x), rows, factor, columns, factor, -1).mean((2, 4))

    x_train, x_test = shrink(data.x_train[:images]), shrink(data.x_test)
    mean, deviation = x_train.mean((0, 1, 2)), x_train.std((0, 1, 2))
    return {
        "x_train": (x_train - mean) / deviation,
        "y_train": data.y_train[:images],
        "x_test": (x_test - mean) / deviation,
        "y_test": data.y_test,
        "classes": len(data.class_names),
    }


def network(shape, classes, depth, width):
    """The paper's: shortcuts with BatchNorm, Kaiming weights everywhere, gamma from U(0, 1)."""
    kaiming = keras.initializers.VarianceScaling(2.0, "fan_in", "untruncated_normal")
    model = kr.cifar_resnet(
        depth,
        width,
        input_shape=shape,
        classes=classes,
        classifier_activation=None,
        kernel_initializer=kaiming,
        gamma_initializer="uniform01",
    )
    kernel = model.get_layer("predictions").kernel
    kernel.assign(kaiming(kernel.shape))
    return model


def batches(x, y, batch_size, seed):
    """Training batches, padded by an eighth of the side and cropped, and flipped."""
    height, width, channels = x.shape[1:]
    pad = max(1, height // 8)

    def augment(image, label):
        image = tf.pad(image, [(pad, pad), (pad, pad), (0, 0)])
        image = tf.image.random_crop(image, (height, width, channels))
        return tf.image.random_flip_left_right(image), label

    dataset = tf.data.Dataset.from_tensor_slices((x, y)).shuffle(len(x), seed=seed)
    return dataset.map(augment).batch(batch_size, drop_remainder=True).prefetch(2)


def run(data, depth, width, variant, seed, epochs, batch_size, bar):
    """Train one network; what is to be known of it."""
    keras.utils.set_random_seed(seed)
    model = network(data["x_train"].shape[1:], data["classes"], depth, width)
    recipe = BATCH_NORM_ONLY_CIFAR10.replace(
        epochs=epochs,
        batch_size=batch_size,
        milestones=tuple(
            sorted({max(1, m * epochs // 160) for m in BATCH_NORM_ONLY_CIFAR10.milestones})
        ),
    )
    options = VARIANTS[variant]
    if "random_mask" in options:
        options = {"random_mask": {**options["random_mask"], "seed": seed}}
    trainer = PartialTrainer(model, **options, weight_decay=recipe.weight_decay)
    train = batches(data["x_train"], data["y_train"], batch_size, seed)
    trainer.compile(
        recipe.build_optimizer(len(train)),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
        jit_compile=False,
    )
    tick = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: bar.add(1, [("accuracy", logs["accuracy"])])
    )
    trainer.fit(train, epochs=epochs, verbose=0, callbacks=[tick])
    parameters = trainer.report.trainable
    if trainer.random_mask is not None:
        parameters = sum(
            int(trainer.random_mask.mask(v).sum()) for v in trainer.trainable_variables
        )
    test = (data["x_test"], data["y_test"])
    gammas = analysis.gamma_report(model)
    return {
        "depth": depth,
        "width": width,
        "variant": variant,
        "seed": seed,
        "epochs": epochs,
        "trained": parameters,
        "accuracy": float(trainer.evaluate(*test, verbose=0, return_dict=True)["accuracy"]),
        "disabled": analysis.disabled_activations(model, test[0]).disabled,
        "small gammas": gammas.small_gammas,
        "change when zeroed": analysis.zero_small_gamma(model, data=test).change,
        "gammas": {name: np.round(g, 4).tolist() for name, g in gammas.gammas.items()},
    }


def report(runs, output):
    """The table over the seeds, and the plots."""
    groups = {}
    for run in runs:
        groups.setdefault((run["depth"], run["width"], run["variant"]), []).append(run)
    rows = []
    for (depth, width, variant), group in sorted(groups.items(), key=lambda g: g[0][:2]):
        mean = {key: np.mean([r[key] for r in group]) for key in ("disabled", "small gammas")}
        accuracies = 100 * np.array([r["accuracy"] for r in group])
        spread = f" ± {accuracies.std(ddof=1):.1f}" if len(group) > 1 else ""
        rows.append(
            {
                "network": f"ResNet-{depth} W={width}",
                "trained": variant,
                "parameters": group[0]["trained"],
                "accuracy %": f"{accuracies.mean():.1f}{spread}",
                "seeds": len(group),
                "disabled features %": f"{100 * mean['disabled']:.1f}",
                "scales < 0.01 %": f"{100 * mean['small gammas']:.1f}",
            }
        )
    table = analysis.Table(rows)
    print(f"\n{table}")
    with write_whole(output / "table.md") as place:
        place.write_text(table.to_markdown() + "\n", encoding="utf-8")
    plot(groups, output / "accuracy.png")
    shown = {}
    for (depth, width, variant), group in groups.items():
        if variant in ("BN only", "all"):
            gammas = {name: np.array(g) for name, g in group[0]["gammas"].items()}
            name = f"{variant}, ResNet-{depth} W={width}"
            shown[name] = analysis.GammaReport(0.01, gammas, {})
    if shown:
        analysis.plot_gammas(shown, output / "gammas.png")
    print(f"Table and plots: {output}")


def plot(groups, path):
    """Accuracy by network and variant; whiskers are the standard deviation over the seeds."""
    from matplotlib.figure import Figure

    networks = sorted({key[:2] for key in groups})
    variants = [name for name in VARIANTS if any(key[2] == name for key in groups)]
    figure = Figure(figsize=(2.5 + 2.5 * len(networks), 4.5), layout="constrained")
    axes = figure.add_subplot()
    bar_width = 0.8 / len(variants)
    for i, variant in enumerate(variants):
        at = [n for n, network in enumerate(networks) if (*network, variant) in groups]
        scores = [[100 * r["accuracy"] for r in groups[(*networks[n], variant)]] for n in at]
        axes.bar(
            [n + (i - (len(variants) - 1) / 2) * bar_width for n in at],
            [np.mean(s) for s in scores],
            bar_width,
            yerr=[np.std(s, ddof=1) if len(s) > 1 else 0 for s in scores],
            capsize=3,
            label=variant,
        )
    axes.set_xticks(range(len(networks)), [f"ResNet-{d} W={w}" for d, w in networks])
    axes.set_ylabel("test accuracy (%)")
    axes.legend()
    with write_whole(path) as place:
        figure.savefig(place, dpi=120)


if __name__ == "__main__":
    main()
