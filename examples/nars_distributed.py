"""Searches a system's network and recipe with a chief and any number of workers.

    python examples/nars_distributed.py --local-workers 2     # chief and workers on this computer

    # one chief and the workers on several computers that share the folder of --output
    COMMAND="python examples/nars_distributed.py --address 10.0.0.1:8000 --output /shared/run"
    $COMMAND --role chief
    $COMMAND --role worker --name a
    $COMMAND --role worker --name b

Any of them may be killed and started again by the same line: a dead worker's trial goes to another,
and a chief goes on where it was. What they say to one another is not encrypted: use a private
address. With `TF_CONFIG` set, workers of one `--name` are a cluster that trains trials together.
"""

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

import keras_tuner
import tensorflow as tf
from search_systems import SYSTEMS, free_ports, prepare, report_best

import tuners
from keras_resnets.files import write_whole


def main():
    args = parse()
    output = Path(args.output or f"results/nars_distributed/{args.system}")
    output.mkdir(parents=True, exist_ok=True)
    if args.local_workers:
        sys.exit(start_all(args, output))
    join(args)
    strategy = tf.distribute.MultiWorkerMirroredStrategy() if "TF_CONFIG" in os.environ else None
    system = prepare(args)
    tuner = tuners.NARS(
        tuners.recipe_hypermodel(system.factory, system.trainer, system.space, system.fit),
        system.space,
        keras_tuner.Objective(system.objective, "max"),
        args.trials,
        initial_trials=min(20, -(-args.trials // 2)),
        max_epochs=args.epochs,
        seed=args.seed,
        distribution_strategy=strategy,
        directory=output,
        project_name="search",
        overwrite=args.restart and args.role == "chief",
    )
    tuner.search(verbose=2 if args.role == "worker" else 1)
    if args.role == "chief":
        report(tuner, system, output)


def parse():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--role", choices=("chief", "worker"))
    parser.add_argument("--address", default="127.0.0.1:8000", help="the chief's HOST:PORT")
    parser.add_argument("--name", default="worker0", help="of this worker, unlike all others'")
    parser.add_argument("--local-workers", type=int, help="start a chief and so many workers here")
    parser.add_argument("--system", choices=SYSTEMS, default="resnet")
    parser.add_argument("--data", help="as keras_resnets.datasets.load; default: a bundled sample")
    parser.add_argument("--trials", type=int, default=30)
    parser.add_argument("--epochs", type=int, default=4, help="of a trial")
    parser.add_argument("--examples", type=int, help="use so many of the training examples")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", help="folder of results, which all processes share")
    parser.add_argument("--restart", action="store_true", help="forget an earlier search")
    parser.add_argument("--short", action="store_true", help="a minute or two, to try it out")
    args = parser.parse_args()
    if bool(args.local_workers) == bool(args.role):
        parser.error("give --local-workers N, or --role chief or worker")
    if args.role == "worker" and "chief" in args.name:
        parser.error("--name of a worker must not contain 'chief'")
    if args.short:
        args.trials, args.epochs, args.examples = 4, 1, 1000
    return args


def start_all(args, output):
    """A chief and workers as processes of this computer; returns the search's exit code."""
    address = f"127.0.0.1:{free_ports(1)[0]}"
    command = [sys.executable, __file__, "--address", address, "--output", str(output)]
    for option in ("system", "data", "trials", "epochs", "examples", "seed"):
        if (value := getattr(args, option)) is not None:
            command += [f"--{option}", str(value)]
    chief = subprocess.Popen(
        [*command, "--role", "chief", *(["--restart"] if args.restart else [])]
    )
    workers = []
    for index in range(args.local_workers):
        with open(output / f"worker{index}.log", "w", encoding="utf-8") as log:
            role = ["--role", "worker", "--name", f"worker{index}"]
            workers.append(subprocess.Popen([*command, *role], stdout=log, stderr=log))
    print(f"Chief at {address}; the workers write to {output}/worker*.log", flush=True)
    while chief.poll() is None and any(worker.poll() is None for worker in workers):
        time.sleep(0.5)
    try:
        code = chief.wait(timeout=60)
    except subprocess.TimeoutExpired:  # no worker is left to end the search
        chief.terminate()
        code = 1
    for worker in workers:
        if code:
            worker.terminate()
        worker.wait()
    return code


def join(args):
    """What KerasTuner reads of a process's part in a search."""
    host, _, port = args.address.rpartition(":")
    os.environ["KERASTUNER_TUNER_ID"] = "chief" if args.role == "chief" else args.name
    os.environ["KERASTUNER_ORACLE_IP"] = host
    os.environ["KERASTUNER_ORACLE_PORT"] = port


def report(tuner, system, output):
    """The best trials, as a table and a plot of when they were found."""
    report_best(tuner, system, output)
    scores = [trial.score for trial in tuner.oracle.trials.values()]
    plot([score for score in scores if score is not None], system, output)
    print(f"Table and plot: {output}")


def plot(scores, system, output):
    from matplotlib.figure import Figure

    best = [max(scores[: place + 1]) for place in range(len(scores))]
    figure = Figure(figsize=(8, 4), layout="constrained")
    axes = figure.add_subplot()
    axes.plot(scores, "o", alpha=0.5, label="trial")
    axes.step(range(len(best)), best, where="post", label="best so far")
    axes.set(xlabel="trial", ylabel=system.objective)
    axes.legend()
    with write_whole(output / "trials.png") as place:
        figure.savefig(place, dpi=120)


if __name__ == "__main__":
    main()
