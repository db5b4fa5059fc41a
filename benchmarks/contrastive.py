"""Training without labels beside lightly: pipelines, losses, steps.

python benchmarks/contrastive.py [--rounds N] [pipelines losses steps]

The pipelines need `KERAS_RESNETS_DATA`, whose photographs they decode and cut.
"""

import argparse
import tempfile
from functools import partial

from contrastive_sides import (
    lightly_nt_xent,
    lightly_pipeline,
    lightly_simclr,
    lightly_sinkhorn,
    our_nt_xent,
    our_pipeline,
    our_simclr,
    our_sinkhorn,
    our_swav,
    photographs,
)
from paired import ROUNDS, compare, conditions, table


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("kinds", nargs="*", metavar="KIND", help=f"of {[*KINDS]}; default: all")
    args = parser.parse_args()
    if unknown := set(args.kinds) - KINDS.keys():
        parser.error(f"KIND must be of {[*KINDS]}. Received: {sorted(unknown)}")
    rows = [row for kind in args.kinds or KINDS for row in KINDS[kind](args.rounds)]
    print(f"\n{conditions('tensorflow', 'keras', 'torch', 'lightly')}\n\n{table(rows)}")


def pipelines(rounds):
    """JPEG files of 448x448 pixels, decoding included; an example is a file."""
    with tempfile.TemporaryDirectory() as folder:
        paths = photographs(folder)
        count = {"examples": len(paths), "rounds": rounds}
        for name, ours, theirs, target in (
            ("multi-crop 2x224 + 6x96, lightly's SwaVTransform", "multi_crop", None, 1 / 2.5),
            ("multi-crop 2x224 + 6x96, plain tf.data", "multi_crop", "plain", 1 / 1.15),
            ("two views of 224 without blur, lightly's SimCLRTransform", "simclr", None, None),
        ):
            side = partial(our_pipeline, paths, theirs) if theirs else None
            side = side or partial(lightly_pipeline, paths, ours)
            yield compare(name, partial(our_pipeline, paths, ours), side, target, **count)


def losses(rounds):
    for rows in (512, 4096):
        yield compare(
            f"NT-Xent, {rows} images, forward and backward",
            partial(our_nt_xent, rows), partial(lightly_nt_xent, rows),
            tolerance=1e-5, rounds=rounds,
        )  # fmt: skip
    yield compare(
        "Sinkhorn-Knopp, 4096 x 3000, 3 iterations",
        partial(our_sinkhorn, 4096, 3000), partial(lightly_sinkhorn, 4096, 3000),
        target=2.0, tolerance=1e-5, rounds=rounds,
    )  # fmt: skip


def steps(rounds):
    yield compare(
        "SimCLR step, ResNet-50, 8 images at 128, lightly and timm",
        partial(our_simclr, 8, 128), partial(lightly_simclr, 8, 128),
        examples=8, rounds=rounds,
    )  # fmt: skip
    yield compare(
        "SwAV step, 4 images, 2x224 + 6x96 over 2x224",
        partial(our_swav, 4, True), partial(our_swav, 4, False),
        target=1.7, examples=4, rounds=rounds,
    )  # fmt: skip


KINDS = {"pipelines": pipelines, "losses": losses, "steps": steps}

if __name__ == "__main__":
    main()
