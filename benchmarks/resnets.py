"""ResNets beside timm's and keras.applications': forward, training step, EvoNorm, BatchNorm only.

python benchmarks/resnets.py [--rounds N] [--size 224] [forward train resnext evonorm ...]
"""

import argparse
import tempfile
from functools import partial

import resnet_sides as sides
from paired import ROUNDS, apart, compare, conditions, table

PACKAGES = ("tensorflow", "keras", "torch", "timm")
LAYOUTS = {"NCHW": False, "channels_last": True}


def forward(task, compare):
    """Logits of a ResNet-50, from images."""
    ours = partial(sides.keras_forward, task, "resnet50")
    for layout, channels_last in LAYOUTS.items():
        yield compare(
            f"ResNet-50 forward to timm, {layout}",
            ours,
            partial(sides.timm_forward, task, "resnet50", channels_last),
            target=1 / 1.2,
            tolerance=1e-4,
        )
    yield compare(
        "ResNet-50 forward to keras.applications",
        ours,
        partial(sides.application_forward, task),
    )


def train(task, compare):
    """A training step of a ResNet-50: SGD with momentum."""
    ours = partial(sides.keras_train, task, "resnet50")
    for layout, channels_last in LAYOUTS.items():
        yield compare(
            f"ResNet-50 training step to timm, {layout}",
            ours,
            partial(sides.timm_train, task, "resnet50", channels_last),
            target=1 / 1.05,
            tolerance=1e-2,
        )
    yield compare(
        "ResNet-50 training step to keras.applications",
        ours,
        partial(sides.application_train, task),
    )
    yield compare(
        "ResNet-50 training step to itself with Keras' BatchNormalization",
        ours,
        partial(sides.keras_train, task, "resnet50", norm_act=sides.keras_batch_norm),
        target=1 / 1.1,
        tolerance=1e-2,
    )


def resnext(task, compare):
    """A training step with grouped convolutions."""
    for layout, channels_last in LAYOUTS.items():
        yield compare(
            f"ResNeXt-50 32x4d training step to timm, {layout}",
            partial(sides.keras_train, task, "resnext50_32x4d"),
            partial(sides.timm_train, task, "resnext50_32x4d", channels_last),
            target=1 / 1.05,
            tolerance=1e-2,
        )


def evonorm(task, compare):
    """What EvoNorm costs in a whole training step."""
    for name, target in {"s0": 1.30, "b0": 1.42}.items():
        yield compare(
            f"ResNet-50 v2 with EvoNorm-{name.upper()} to BatchNorm, ReLU",
            partial(sides.keras_train, task, "resnet50v2", norm_act=f"evonorm_{name}"),
            partial(sides.keras_train, task, "resnet50v2"),
            target=target,
        )
    yield compare(
        "ResNet-50-D v2 with EvoNorm-S0, training step to timm, NCHW",
        partial(sides.keras_train, task, "resnet50_evos"),
        partial(sides.timm_train, task, "resnet50_evos", False),
        tolerance=1e-2,
    )


def batch_norm_only(task, compare):
    """A step that trains BatchNorm alone, beside one that trains everything."""
    cifar = sides.Task(128, 32, task.folder)
    for name, each in {"resnet50": task, "cifar_resnet": cifar}.items():
        yield compare(
            f"{name}, BatchNorm-only step to a full step",
            partial(sides.partial_train, each, name, "batch_norm"),
            partial(sides.partial_train, each, name, "all"),
            target=0.8,
            examples=each.batch,
        )


def cost(task, compare):
    """CPU seconds of the cost report."""
    for name in ("resnet50", "resnext50_32x4d", "mobilenet_v1"):
        seconds, _ = apart(partial(sides.cost_seconds, task, name))
        print(f"  analysis.cost of {name}: {seconds:.2f} s, after building it", flush=True)
    return ()


PARTS = {part.__name__: part for part in (forward, train, resnext, evonorm, batch_norm_only, cost)}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {[*PARTS]}; default: all")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="turns of each side")
    parser.add_argument("--size", type=int, default=224, help="side of the images")
    parser.add_argument("--batch-size", type=int, default=8)
    arguments = parser.parse_args()
    if unknown := set(arguments.parts) - PARTS.keys():
        parser.error(f"PART must be of {[*PARTS]}. Received: {sorted(unknown)}")

    print(conditions(*PACKAGES))
    with tempfile.TemporaryDirectory() as folder:
        task = sides.Task(arguments.batch_size, arguments.size, folder)

        def timer(*names_and_sides, examples=task.batch, **options):
            return compare(*names_and_sides, examples=examples, rounds=arguments.rounds, **options)

        for name in ("resnet50", "resnext50_32x4d", "resnet50_evos"):
            apart(partial(sides.write_state, task, name))
        parts = [PARTS[name] for name in arguments.parts or PARTS]
        rows = [row for part in parts for row in part(task, timer)]
    if rows:
        print(f"{task.batch} images of {task.size}x{task.size} a step\n\n{table(rows)}")


if __name__ == "__main__":
    main()
