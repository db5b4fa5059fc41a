"""Where a network's operations, memory traffic and energy go, and what the group size changes.

    python examples/energy_profile.py                     # ResNeXt-50 and MobileNetV1 at 224
    python examples/energy_profile.py --size 160 --device host
    python examples/energy_profile.py --data cifar10 --epochs 10     # trains MobileNetV1 too

Energies are measured where the machine has a meter (NVML, RAPL), otherwise estimated, and the
table says which.
"""

import argparse
from pathlib import Path

import keras
import numpy as np

import keras_resnets as kr
from keras_resnets.analysis import Table, choose_group_size, cost, sweep_group_sizes
from trainers.callbacks import EnergyLogger

GROUP_SIZES = (1, 2, 4, 8, 16, 32)


def main():
    args = parse()
    keras.utils.set_random_seed(args.seed)
    output = Path(args.output)
    output.mkdir(parents=True, exist_ok=True)
    group_sizes = (1, 8, 32) if args.short else GROUP_SIZES
    shape = (args.size, args.size, 3)

    report = cost(kr.resnext50_32x4d(), shape, args.batch_size, args.device)
    print(report.summary())
    report.plot(output / "resnext50_cost.png")
    report.to_json(output / "resnext50_cost.json")

    rows = []
    for name, factory in networks().items():
        factory = with_progress(name, factory, group_sizes)
        table = sweep_group_sizes(
            factory, group_sizes, shape, args.batch_size, args.device, measured=True
        )
        rows += [{"network": name, **row} for row in table]
    table = Table(rows)
    table.to_json(output / "group_sizes.json")
    plot(table, output / "group_sizes.png", args)
    if args.epochs:
        print(train(args, group_sizes))
    print(table)
    for name, factory in networks().items():
        if name.endswith("constant G"):
            chosen = choose_group_size(factory(group_size=4), input_shape=shape)
            print(f"{name}: the balanced objective chooses a group size of {chosen}")
    if any(row["is_estimate"] for row in rows):
        print("No meter on this machine: all energies are estimates, the latencies are measured.")
    print(f"Plots: {output / 'resnext50_cost.png'}, {output / 'group_sizes.png'}")


def parse():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", default="fashion_sample", help="as keras_resnets.datasets.load")
    parser.add_argument("--epochs", type=int, default=0, help="of training MobileNetV1; default 0")
    parser.add_argument("--size", type=int, default=224, help="side of the images profiled")
    parser.add_argument("--batch-size", type=int, default=1, help="of the images profiled")
    parser.add_argument("--device", default="p100", help="estimated: p100, quadro_p4000 or host")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", default="results/energy_profile", help="folder of results")
    parser.add_argument("--short", action="store_true", help="fewer group sizes, smaller images")
    args = parser.parse_args()
    if args.short:
        args.size = min(args.size, 96)
    return args


def networks():
    """Constant group size (E2GC), and groups of `256 / G`: a constant number of them (FgGC)."""

    def mobilenet_of_groups(group_size):
        return kr.mobilenet_v1(groups=256 // group_size)

    def resnext_of_groups(group_size):
        groups = min(256 // group_size, 128)  # the first stage has 128 channels
        return kr.resnext50_32x4d(groups=groups, base_width=128 // groups)

    return {
        "MobileNetV1, constant G": kr.mobilenet_v1,
        "MobileNetV1, constant g": mobilenet_of_groups,
        "ResNeXt-50, constant G": kr.resnext50_e2gc,
        "ResNeXt-50, constant g": resnext_of_groups,
    }


def with_progress(name, factory, group_sizes):
    bar = keras.utils.Progbar(len(group_sizes), unit_name="network")

    def build(group_size):
        if group_size == group_sizes[0]:
            print(name)
        model = factory(group_size=group_size)
        bar.add(1)
        return model

    return build


def train(args, group_sizes):
    """MobileNetV1 on small images, by group size: accuracy and energy."""
    data = kr.datasets.load(args.data)
    count = 512 if args.short else None
    x_train, y_train = as_rgb(data.x_train[:count]), data.y_train[:count]
    x_test = as_rgb(data.x_test)
    rows = []
    for group_size in group_sizes:
        model = kr.mobilenet_v1(
            group_size, input_shape=x_train.shape[1:], classes=len(data.class_names)
        )
        model.compile(
            keras.optimizers.Adam(1e-3), "sparse_categorical_crossentropy", metrics=["accuracy"]
        )
        logger = EnergyLogger(batch_size=64)
        history = model.fit(
            x_train, y_train, batch_size=64, epochs=args.epochs, callbacks=[logger]
        ).history
        _, accuracy = model.evaluate(x_test, data.y_test, batch_size=256, verbose=0)
        joules = next(key for key in history if key.endswith("energy_j"))
        rows.append(
            {
                "group size": group_size,
                "params": model.count_params(),
                "test accuracy": accuracy,
                f"{joules} of training": sum(history[joules]),
            }
        )
    return Table(rows)


def as_rgb(images, side=32):
    """Images of any size and number of channels as floats in [-1, 1], RGB, at least 32 wide."""
    x = images.astype("float32") / 127.5 - 1
    x = x[..., None] if x.ndim == 3 else x
    x = np.repeat(x, 3, axis=-1) if x.shape[-1] == 1 else x
    return keras.ops.convert_to_numpy(keras.ops.image.resize(x, (side, side)))


def plot(table, path, args):
    from matplotlib.figure import Figure

    figure = Figure(figsize=(13, 8), layout="constrained")
    axes = figure.subplots(2, 2)
    columns = ("MACs", "grouped MACs/word", "energy J (estimate)", "latency ms")
    for axis, column in zip(axes.flat, columns):
        for name in dict.fromkeys(table.column("network")):
            rows = [row for row in table if row["network"] == name]
            axis.plot(
                [row["group size"] for row in rows],
                [row[column] for row in rows],
                "o-" if name.endswith("G") else "s--",
                label=name,
            )
        axis.set(xscale="log", yscale="log", xlabel="G, or 256 / groups", ylabel=column)
    axes[0, 0].legend()
    title = f"{args.size}x{args.size}, batch of {args.batch_size}; estimates: {args.device}"
    figure.suptitle(title)
    figure.savefig(path, dpi=120)


if __name__ == "__main__":
    main()
