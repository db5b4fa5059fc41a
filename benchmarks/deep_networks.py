"""Very deep CIFAR networks: blocks as a loop beside blocks one by one, a process each.

python benchmarks/deep_networks.py [DEPTH ...]

Seconds of CPU of this process, one thread, batch 8; the peak is that of the process.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time

DEPTHS = (218, 434, 866, 1202)
COLUMNS = ("build", "first step", "step", "save", "load", "peak GiB")


def measure(depth, scan, rule):
    """One row, as floats in the order of `COLUMNS`."""
    import keras
    import numpy as np

    import keras_resnets as kr
    import trainers

    row = []

    def timed(function, repeats=1):
        start = time.process_time()
        for _ in range(repeats):
            result = function()
        row.append((time.process_time() - start) / repeats)
        return result

    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((8, 32, 32, 3)).astype("float32"), np.arange(8)
    model = timed(lambda: kr.cifar_resnet(depth, classifier_activation=None, scan_blocks=scan))
    trainers.train_only(model, rule)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(1e-6, momentum=0.9), loss)
    timed(lambda: model.train_on_batch(x, y))
    timed(lambda: model.train_on_batch(x, y), repeats=5)
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/model.keras"
        timed(lambda: model.save(path))
        timed(lambda: keras.models.load_model(path))
    row.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20)
    return row


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("depths", nargs="*", type=int, default=DEPTHS)
    parser.add_argument("--rule", default="all", help="what is trained, as `trainers.train_only`")
    parser.add_argument("--one", choices=("scan", "plain"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        row = measure(arguments.depths[0], arguments.one == "scan", arguments.rule)
        print(" | ".join(f"{value:.2f}" for value in row))
        return
    threads = {f"TF_NUM_{kind}_THREADS": "1" for kind in ("INTRAOP", "INTEROP")}
    environment = {**os.environ, **threads, "OMP_NUM_THREADS": "1", "TF_CPP_MIN_LOG_LEVEL": "3"}
    print("| depth | blocks |", " | ".join(COLUMNS), "|")
    print("|---:|---|" + "---:|" * len(COLUMNS))
    for depth in arguments.depths:
        for form in ("scan", "plain"):
            command = [sys.executable, __file__, str(depth), "--one", form]
            command += ["--rule", arguments.rule]
            result = subprocess.run(
                command, env=environment, check=True, text=True, stdout=subprocess.PIPE
            )
            print(f"| {depth} | {form} | {result.stdout.strip()} |", flush=True)


if __name__ == "__main__":
    main()
