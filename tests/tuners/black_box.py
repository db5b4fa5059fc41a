"""A search whose trials only take time: one process of several, which a test may kill."""

import json
import os
import signal
import sys
import time
from pathlib import Path

import keras
import keras_tuner
import numpy as np
import tensorflow as tf

import tuners
import tuners.core
import tuners.tuner

SPACE = tuners.SearchSpace(
    [
        tuners.Integer("width", 1, 40, part="architecture"),
        tuners.Real("rate", 1e-4, 1e-1, log=True),
        tuners.Categorical("bias", [True, False]),
    ]
)
OBJECTIVE = keras_tuner.Objective("value", "max")
SETTINGS = dict(initial_trials=4, refit_every=2, pool_size=64, pool_only=True, pretrain=False)


def value(config):
    return -((config["width"] - 30) ** 2) - abs(np.log10(config["rate"]) + 2) - config["bias"]


class Nearest:
    """In the predictor's place: a configuration is as good as its nearest neighbour."""

    measured = ()

    def __init__(self, space, *args, **kwargs):
        self.space = space

    def fit_results(self, configs, values, measured):
        self.known, self.values = self.space.encode(configs), np.nan_to_num(values, nan=-1e9)

    def evaluate_rank(self, configs, values, folds):
        assert len(configs) == len(values) and np.argmax(values) == 0
        return 0.25

    def score(self, configs, *args, **kwargs):
        return self.score_vectors(self.space.encode(configs))

    def score_vectors(self, vectors, *args):
        distance = np.square(vectors[:, None] - self.known[None]).sum(-1)
        return self.values[distance.argmin(1)]


class BlackBox(tuners.NARS):
    """Every trial leaves a line of `runs.txt` where it begins, and one where it ends."""

    def run_trial(self, trial, seconds, error=None):
        self.note("begin", trial)
        time.sleep(seconds)
        if error is not None:
            raise ArithmeticError(error)
        self.note("end", trial)
        return float(value(SPACE.from_hyperparameters(trial.hyperparameters)))

    def note(self, what, trial):
        with open(Path(self.directory) / "runs.txt", "a") as file:
            print(what, trial.trial_id, self.tuner_id, time.time(), file=file)


def join(folder, role, port):
    """Send what is printed to a file, and be the chief or a worker, if a port is given."""
    tuners.core.ArchitectureRecipePredictor = Nearest
    log = os.open(Path(folder) / f"{role}.log", os.O_CREAT | os.O_APPEND | os.O_WRONLY)
    os.dup2(log, 1)
    os.dup2(log, 2)
    signal.alarm(120)  # whatever happens, no process outlives its test
    sys.stdout, sys.stderr = os.fdopen(1, "w", 1), os.fdopen(2, "w", 1)
    if port is not None:
        os.environ["KERASTUNER_TUNER_ID"] = role
        os.environ["KERASTUNER_ORACLE_IP"] = "127.0.0.1"
        os.environ["KERASTUNER_ORACLE_PORT"] = str(port)


def search(folder, role="tuner0", port=None, seconds=0.2, error=None, **options):
    join(folder, role, port)
    tuner = BlackBox(
        None, SPACE, OBJECTIVE, directory=folder, project_name="search", **SETTINGS | options
    )
    tuner.search(seconds=seconds, error=error)


def build(hp):
    config = SPACE.from_hyperparameters(hp)
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [keras.Input((4,)), keras.layers.Dense(config["width"]), keras.layers.Dense(1)]
    )
    alone = tf.distribute.get_strategy().num_replicas_in_sync == 1  # eager steps start sooner
    model.compile(keras.optimizers.SGD(config["rate"]), "mse", run_eagerly=alone)
    return model


def train(folder, role, port, cluster=None, index=0, failing=None, **options):
    """A search that trains networks, perhaps as one process of a cluster.

    Args:
        failing: Number of the process of the cluster in which the second trial raises.
    """
    join(folder, role, port)
    strategy = None
    if cluster is not None:
        task = {"cluster": {"worker": cluster}, "task": {"type": "worker", "index": index}}
        os.environ["TF_CONFIG"] = json.dumps(task)
        strategy = tf.distribute.MultiWorkerMirroredStrategy()
        tuners.tuner.BARRIER_S = 5

    class Fails(keras.callbacks.Callback):
        trials = 0

        def on_train_begin(self, logs=None):
            Fails.trials += 1
            if failing == index and Fails.trials == 2:
                raise ArithmeticError("one process fails alone")

        def __deepcopy__(self, memo):
            return self

    tuner = tuners.NARS(
        build, SPACE, keras_tuner.Objective("val_loss", "min"), distribution_strategy=strategy,
        directory=folder, project_name="search", **SETTINGS | options,
    )  # fmt: skip
    x = np.random.default_rng(0).normal(size=(16, 4)).astype("float32")
    data = tf.data.Dataset.from_tensor_slices((x, x[:, :1])).batch(8)
    tuner.search(data, validation_data=data, verbose=0, callbacks=[Fails()])
