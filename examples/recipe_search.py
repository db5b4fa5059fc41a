"""Searches the recipe of any system of this package, and its network, with any tuner.

    python examples/recipe_search.py --system resnet                       # bundled Fashion-MNIST
    python examples/recipe_search.py --system ecapa_tdnn --trials 20       # bundled speech
    python examples/recipe_search.py --system simclr --tuner random --data cifar10
    python examples/recipe_search.py --system resnet --strategy mirrored
    python examples/recipe_search.py --system resnet --strategy multi_worker

A search that was interrupted goes on; `--restart` begins anew. `--strategy multi_worker` trains
every trial on a cluster of two processes beside a chief, all on this computer; on several, start
this script once for each, with what `start_cluster` sets.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import keras_tuner
import tensorflow as tf
from search_systems import free_ports, parse, prepare, report_best

import tuners


def main():
    args = parse(__doc__, add_options)
    if args.strategy == "multi_worker" and "KERASTUNER_TUNER_ID" not in os.environ:
        sys.exit(start_cluster(args))
    is_worker = args.strategy == "multi_worker" and "TF_CONFIG" in os.environ  # of a chief
    strategy = make_strategy(args.strategy)
    system = prepare(args)
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
        overwrite=args.restart and not is_worker,
    )
    tuner.search(verbose=2)
    if not is_worker:
        report_best(tuner, system, output)
        print(f"Table: {output / 'table.md'}")


def add_options(parser):
    parser.add_argument("--tuner", choices=TUNERS, default="nars")
    parser.add_argument("--strategy", choices=STRATEGIES, default="none")
    parser.add_argument("--output", help="folder of results; default: results/recipe_search/SYSTEM")
    parser.add_argument("--restart", action="store_true", help="forget an earlier search")


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
    if name == "multi_worker" and "TF_CONFIG" in os.environ:
        return tf.distribute.MultiWorkerMirroredStrategy()
    if name != "mirrored":  # a chief trains nothing
        return None
    if not tf.config.list_physical_devices("GPU"):
        processor = tf.config.list_physical_devices("CPU")[0]
        halves = [tf.config.LogicalDeviceConfiguration()] * 2
        tf.config.set_logical_device_configuration(processor, halves)
        return tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    return tf.distribute.MirroredStrategy()


def start_cluster(args):
    """A chief and a cluster of two processes that asks it for trials; the chief's exit code."""
    if args.tuner != "nars":
        sys.exit("--strategy multi_worker needs --tuner nars: KerasTuner's own have no clusters")
    chief, *cluster = free_ports(3)
    search = {**os.environ, "KERASTUNER_ORACLE_IP": "127.0.0.1", "KERASTUNER_ORACLE_PORT": chief}
    workers = {"worker": [f"127.0.0.1:{port}" for port in cluster]}
    processes = [
        subprocess.Popen([sys.executable, *sys.argv], env=environment)
        for environment in (
            {**search, "KERASTUNER_TUNER_ID": "chief"},
            *(
                {
                    **search,
                    "KERASTUNER_TUNER_ID": "cluster0",
                    "TF_CONFIG": json.dumps(
                        {"cluster": workers, "task": {"type": "worker", "index": index}}
                    ),
                }
                for index in range(len(cluster))
            ),
        )
    ]
    return max(process.wait() for process in processes)


if __name__ == "__main__":
    main()
