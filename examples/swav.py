"""SwAV: train without labels, predicting a crop's cluster from another crop, and see its worth.

    python examples/swav.py                                     # bundled Fashion-MNIST, minutes
    python examples/swav.py --data cifar10 --seeds 3
    python examples/swav.py --jit --data tfds:imagenet2012 --recipe r50_200ep_small_batch \\
        --labelled tfds:imagenet2012_subset/10pct

The last takes the paper's recipe and network, and accelerators for days. The features are scored by
their nearest neighbours, by a linear classifier on all labels, and by fine-tuning on a few; beside
them, the same network untrained, and trained on two large crops alone. Finished seeds are kept in
OUTPUT/runs.json and not run again, and a training that was interrupted goes on; `--restart` begins
anew.
"""

import argparse
from pathlib import Path

import keras
import numpy as np
from simclr_v2 import at_most, fit, imagenet_network, known, neighbours, small_network

import keras_resnets as kr
import trainers
from keras_resnets.analysis import Runs, Table, plot_spread, representation_health, spread
from keras_resnets.files import write_whole
from trainers import recipes

RECIPES = {
    "small": recipes.SWAV_SMALL,
    "r50_100ep": recipes.SWAV_R50_100EP,
    "r50_200ep": recipes.SWAV_R50_200EP,
    "r50_400ep": recipes.SWAV_R50_400EP,
    "r50_800ep": recipes.SWAV_R50_800EP,
    "r50_200ep_small_batch": recipes.SWAV_R50_200EP_SMALL_BATCH,
    "r50_400ep_small_batch": recipes.SWAV_R50_400EP_SMALL_BATCH,
    "r50w2_400ep": recipes.SWAV_R50W2_400EP,
    "r50w4_400ep": recipes.SWAV_R50W4_400EP,
}
NETWORKS = ("untrained", "two crops", "multi-crop")
MEASURES = ("neighbours", "linear, all labels", "fine-tuned, few labels")


def main():
    args = parse()
    data = kr.datasets.load(args.data)
    if args.images:
        data = data.subset(slice(args.images))
    output = Path(args.output)
    output.mkdir(parents=True, exist_ok=True)
    runs = Runs(output / "runs.json", setting(args), args.restart)
    for seed in range(args.seed, args.seed + args.seeds):
        for network in args.networks:
            if not runs.has(seed, network):
                print(f"\nSeed {seed}, {network}")
                runs.put(seed, network, run(args, data, network, seed, output))
    report(runs, output)


def parse():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", default="fashion_sample", help="as keras_resnets.datasets.load")
    parser.add_argument("--recipe", choices=RECIPES, default="small")
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=[*NETWORKS])
    parser.add_argument("--labels", type=float, default=0.1, help="share of labels to fine-tune on")
    parser.add_argument("--labelled", help="the labelled images, where --data is no array")
    parser.add_argument("--epochs", type=int, help="of the training without labels")
    parser.add_argument("--batch-size", type=int, help="of it; the learning rate follows")
    parser.add_argument("--images", type=int, help="train on so many images; default: all")
    parser.add_argument("--side", type=int, help="scale the images to this side")
    parser.add_argument("--jit", action="store_true", help="compile the training steps with XLA")
    parser.add_argument("--prototypes", type=int, help="default: the recipe's")
    parser.add_argument("--queue", type=int, help="embeddings of earlier batches in the assignment")
    parser.add_argument("--seed", type=int, default=0, help="the first seed")
    parser.add_argument("--seeds", type=int, default=1, help="how many")
    parser.add_argument("--output", default="results/swav", help="folder of results")
    parser.add_argument("--restart", action="store_true", help="forget the runs in OUTPUT")
    parser.add_argument("--short", action="store_true", help="a minute or two, to try it out")
    args = parser.parse_args()
    if args.short:
        args.epochs, args.networks, args.side = 1, ["untrained", "multi-crop"], 14
    return args


def setting(args):
    """What the runs in a folder have in common."""
    names = (
        "data",
        "images",
        "side",
        "recipe",
        "labelled",
        "labels",
        "epochs",
        "batch_size",
        "prototypes",
        "queue",
    )
    return ", ".join(
        f"{name.replace('_', ' ')} {getattr(args, name)}" for name in names if getattr(args, name)
    )


def run(args, data, network, seed, output):
    """One network, trained or not: its test accuracies."""
    keras.utils.set_random_seed(seed)
    small = hasattr(data, "x_train")
    recipe = prepare(args, data, seed, multi=network != "two crops")
    fine_tune = recipes.SWAV_FINETUNE_SMALL if small else recipes.SWAV_FINETUNE_10PCT
    linear = recipes.LINEAR_SMALL if small else recipes.LINEAR_SWAV
    labelled = kr.datasets.load(args.labelled) if args.labelled else known(data, args.labels, seed)
    fine_tune = at_most(fine_tune, labelled).replace(seed=seed)
    if args.side:
        fine_tune = fine_tune.replace(size=args.side)
    if args.short:
        fine_tune, linear = fine_tune.shortened(2), linear.shortened(5)
    few, every = (trainers.ImageBatches(images, fine_tune) for images in (labelled, data))
    build, name = (small_network, "8x16") if small else (imagenet_network, "50x1")
    backbone = build(name, (None, None, every.image_shape[-1]))
    path = output / f"{network.replace(' ', '_')}_{seed}.npz"
    steps = 0 if network == "untrained" else None
    swav = train(args, recipe, backbone, source(data), path, steps)

    train_images = every.train(seed).take(every.steps_per_epoch)
    scores = {
        "neighbours": neighbours(backbone, every),
        "linear, all labels": trainers.LinearProbe(backbone, linear, every.classes)
        .fit(train_images, every.test(), verbose=0)
        .top1,
    }
    embed = keras.Sequential([swav.backbone, swav.projection_head])
    print(representation_health(embed, every.test(), swav.prototypes))
    tuned = fine_tune.build_trainer(swav, every.classes)
    scores["fine-tuned, few labels"] = fit(args, fine_tune, tuned, few)
    served = trainers.export_classifier(tuned, every, output / "saved_models" / "swav" / "1")
    print(f"SavedModel: {output / 'saved_models' / 'swav' / '1'}, right on {100 * served:.2f} %")
    return scores


def prepare(args, data, seed, multi):
    """The recipe as asked for; images of one channel have no colours to change."""
    recipe = RECIPES[args.recipe].replace(seed=seed)
    if args.batch_size:
        recipe = recipe.with_batch_size(args.batch_size)
    if args.epochs:
        recipe = recipe.shortened(args.epochs)
    if args.prototypes:
        recipe = recipe.replace(num_prototypes=args.prototypes)
    if args.queue:
        recipe = recipe.replace(queue_length=args.queue)
    if hasattr(data, "x_train"):
        side = args.side or data.x_train.shape[1]
        sizes = (round(side * size / recipe.sizes[0]) for size in recipe.sizes)
        recipe = recipe.replace(sizes=(*sizes,))
        if data.x_train.ndim == 3:
            recipe = recipe.replace(color_strength=0.0, grayscale=0.0)
    if not multi:
        groups = {name: getattr(recipe, name)[:1] for name in ("sizes", "counts", "areas")}
        recipe = recipe.replace(**groups)
    return recipe


def source(data):
    """The images without their labels, with an axis of channels."""
    if not hasattr(data, "x_train"):
        return data.train.map(lambda image, label: image)
    return data.x_train[..., None] if data.x_train.ndim == 3 else data.x_train


def train(args, recipe, backbone, images, path, steps=None):
    """A `SwAV` of the backbone, trained on images without labels; not at all for 0 steps."""
    steps_per_epoch = len(images) // recipe.batch_size
    trainer = recipe.build_trainer(backbone, steps_per_epoch)
    recipe.compile(trainer, steps_per_epoch, jit_compile=args.jit)
    if steps == 0:
        return trainer
    resume = trainers.Resume(path, every=100, restart=args.restart)
    crops = kr.datasets.multi_crop_dataset(
        images,
        recipe.batch_size,
        views=recipe.views,
        seed=recipe.seed,
        epoch=resume.epoch,
        start_batch=resume.batch,
        repeat=True,
        batched=hasattr(images, "shape"),  # they are of one size
    )
    trainer.fit(
        crops,
        steps_per_epoch=steps_per_epoch,
        initial_epoch=resume.epoch,
        epochs=recipe.epochs,
        callbacks=[resume, trainers.callbacks.CollapseMonitor()],
        shuffle=False,
    )
    return trainer


def report(runs, output):
    """The table over the seeds, and the plot."""
    rows, scores = [], {}
    for network in NETWORKS:
        results = runs.of(network)
        if not results:
            continue
        for measure in MEASURES:
            scores[f"{network}: {measure}"] = 100 * np.array([r[measure] for r in results])
        cells = {m: spread(scores[f"{network}: {m}"]) for m in MEASURES}
        rows.append({"network": network, **cells, "seeds": len(results)})
    table = Table(rows)
    print(f"\n{runs.setting}: test accuracy %\n{table}")
    with write_whole(output / "table.md") as place:
        text = f"{runs.setting}: test accuracy %\n\n{table.to_markdown()}\n"
        place.write_text(text, encoding="utf-8")
    plot_spread(scores, output / "accuracy.png", "test accuracy (%)", runs.setting)
    print(f"Table and plot: {output}")


if __name__ == "__main__":
    main()
