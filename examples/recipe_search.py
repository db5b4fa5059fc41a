"""Searches the recipe of any system of this package, and its network, with any tuner.

    python examples/recipe_search.py --system resnet                       # bundled Fashion-MNIST
    python examples/recipe_search.py --system ecapa_tdnn --trials 20       # bundled speech
    python examples/recipe_search.py --system simclr --tuner random --data cifar10
    python examples/recipe_search.py --system resnet --strategy mirrored

A search that was interrupted goes on; `--restart` begins anew. `--strategy multi_worker` wants this
script started once a worker, each with its own `TF_CONFIG`.
"""

import argparse
from pathlib import Path

import keras
import keras_tuner
import tensorflow as tf
from search_systems import SYSTEMS

import keras_resnets as kr
import tuners
from keras_resnets.analysis import Table
from keras_resnets.files import write_whole


def main():
    args = parse()
    keras.utils.set_random_seed(args.seed)
    strategy = make_strategy(args.strategy)
    sample = "speech_sample" if args.system == "ecapa_tdnn" else "fashion_sample"
    data = kr.datasets.load(args.data or sample)
    system = SYSTEMS[args.system](args, data)
    output = Path(args.output or f"results/recipe_search/{args.system}")
    hypermodel = tuners.recipe_hypermodel(system.factory, system.trainer, system.space, system.fit)
    tuner = TUNERS[args.tuner](
        hypermodel,
        system,
        args.trials,
        args.epochs,
        objective=keras_tuner.Objective(system.objective, "max"),
        seed=args.seed,
        distribution_strategy=strategy,
        directory=output,
        project_name=args.tuner,
        overwrite=args.restart,
    )
    tuner.search(verbose=2)
    report(tuner, system, output)


def parse():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--system", choices=SYSTEMS, default="resnet")
    parser.add_argument("--tuner", choices=TUNERS, default="nars")
    parser.add_argument("--strategy", choices=STRATEGIES, default="none")
    parser.add_argument("--data", help="as keras_resnets.datasets.load; default: a bundled sample")
    parser.add_argument("--trials", type=int, default=30)
    parser.add_argument("--epochs", type=int, default=4, help="of a trial")
    parser.add_argument("--examples", type=int, help="use so many of the training examples")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", help="folder of results; default: results/recipe_search/SYSTEM")
    parser.add_argument("--restart", action="store_true", help="forget an earlier search")
    parser.add_argument("--short", action="store_true", help="a minute or two, to try it out")
    args = parser.parse_args()
    if args.short:
        args.trials, args.epochs, args.examples = 3, 1, 1000
    return args


def nars(hypermodel, system, trials, epochs, **settings):
    return tuners.NARS(
        hypermodel,
        space=system.space,
        max_trials=trials,
        max_epochs=epochs,
        initial_trials=min(20, -(-trials // 2)),
        **settings,
    )


def random(hypermodel, system, trials, epochs, **settings):
    return keras_tuner.RandomSearch(hypermodel, max_trials=trials, **settings)


def bayesian(hypermodel, system, trials, epochs, **settings):
    return keras_tuner.BayesianOptimization(hypermodel, max_trials=trials, **settings)


def hyperband(hypermodel, system, trials, epochs, **settings):
    return keras_tuner.Hyperband(hypermodel, max_epochs=epochs, **settings)


TUNERS = {tuner.__name__: tuner for tuner in (nars, random, bayesian, hyperband)}
STRATEGIES = ("none", "mirrored", "multi_worker")


def make_strategy(name):
    """The strategy; on a computer without accelerators its processor is taken for two devices."""
    if name == "multi_worker":
        return tf.distribute.MultiWorkerMirroredStrategy()
    if name == "none":
        return None
    if not tf.config.list_physical_devices("GPU"):
        processor = tf.config.list_physical_devices("CPU")[0]
        halves = [tf.config.LogicalDeviceConfiguration()] * 2
        tf.config.set_logical_device_configuration(processor, halves)
        return tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    return tf.distribute.MirroredStrategy()


def report(tuner, system, output):
    """The best trials as a table."""
    rows = []
    for trial in tuner.oracle.get_best_trials(5):
        config = system.space.from_hyperparameters(trial.hyperparameters)
        shown = {k: f"{v:.3g}" if isinstance(v, float) else v for k, v in config.items()}
        rows.append({system.objective: f"{trial.score:.4f}", **shown})
    table = Table(rows)
    print(f"\n{table}")
    with write_whole(output / "table.md") as place:
        place.write_text(table.to_markdown() + "\n", encoding="utf-8")
    print(f"Table: {output / 'table.md'}")


if __name__ == "__main__":
    main()
