"""Every trainer on one device, on two replicas, and on two processes that share the work."""

import functools
import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

import trainers
from keras_resnets.layers import SpecAugment
from trainers.distribution import MultiWorkerMixin, enable_multi_worker, is_multi_worker

sys.path.insert(0, str(Path(__file__).parent))
import replicated

# Of each replica's own examples, by their definition.
LOCAL = {"contrastive_top1", "contrastive_top5", "entropy", "negative_cosine", "deviation"}
SMALLEST = [name for name in replicated.CASES if "," not in name]

one_device = functools.cache(replicated.train)


def assert_same(name, several):
    one = one_device(name)
    assert set(several) == set(one)
    weights = several.pop("weights")
    np.testing.assert_allclose(weights, one["weights"], atol=5e-4, err_msg=name)
    for key, values in several.items():
        if key.removeprefix("test_") not in LOCAL:
            close = dict(rtol=1e-4, atol=1e-6)
            np.testing.assert_allclose(values, one[key], **close, err_msg=f"{name}: {key}")


def run_workers(names, size=2, timeout=120):
    """What `size` processes, one strategy, make of the cases."""
    with socket.socket() as a, socket.socket() as b:
        for place in (a, b):
            place.bind(("127.0.0.1", 0))
        ports = [place.getsockname()[1] for place in (a, b)]
    cluster = {"worker": [f"127.0.0.1:{port}" for port in ports]}
    workers = []
    for index in range(size):
        task = {"cluster": cluster, "task": {"type": "worker", "index": index}}
        env = {**os.environ, "TF_CONFIG": json.dumps(task), "CUDA_VISIBLE_DEVICES": "-1"}
        env["PYTHONPATH"] = str(Path(__file__).parents[2])
        command = [sys.executable, replicated.__file__, *names]
        pipes = dict(stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        workers.append(subprocess.Popen(command, env=env, **pipes))
    results = []
    try:
        for worker in workers:
            out, err = worker.communicate(timeout=timeout)
            assert worker.returncode == 0, err[-3000:]
            results.append(json.loads(out.splitlines()[-1]))
    finally:
        for worker in workers:
            worker.kill()
    return results


def test_every_trainer_has_a_case():
    ours = {
        name
        for name in trainers.__all__
        if isinstance(kind := getattr(trainers, name), type) and issubclass(kind, keras.Model)
    }
    assert ours == set(SMALLEST)
    assert all(issubclass(getattr(trainers, name), MultiWorkerMixin) for name in ours)


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=() if name in SMALLEST else pytest.mark.slow)
        for name in replicated.CASES
    ],
)
def test_two_replicas_train_as_one_device_does(name, two_replicas):
    assert_same(name, replicated.train(name, two_replicas))


@pytest.mark.slow
def test_augmentation_on_replicas(two_replicas):
    """Each draws its own random numbers, so only that it trains."""
    with two_replicas.scope():
        trainer, data = replicated.speaker(augment=SpecAugment(seed=0), sync_batch_norm=True)
    assert np.isfinite(trainer.fit(data, verbose=0).history["loss"]).all()


def test_two_processes_train_as_one_device_does():
    for result in run_workers(["MEALV2"]):
        assert_same("MEALV2", result["MEALV2"])


@pytest.fixture(scope="module")
def workers():
    """Starting takes longer than training, so one pair of processes trains everything."""
    return run_workers(replicated.CASES, timeout=600)


@pytest.mark.slow
@pytest.mark.parametrize("name", replicated.CASES)
def test_every_trainer_on_two_processes(name, workers):
    for result in workers:
        assert_same(name, result[name])


@pytest.mark.parametrize("kind", ("sequential", "functional"))
def test_enabling_leaves_one_device_alone(kind):
    x = np.random.rand(8, 4)
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    if kind == "functional":
        model = keras.Model(model.inputs, model.outputs)
    assert enable_multi_worker(model) is model
    model.compile("sgd", "mse")
    history = model.fit(x, x[:, :1], validation_data=(x, x[:, :1]), verbose=0).history
    assert set(history) == {"loss", "val_loss"}
    trainer = trainers.PartialTrainer(model, "all")
    assert enable_multi_worker(trainer) is trainer
    assert not is_multi_worker(None) and not is_multi_worker(tf.distribute.get_strategy())


def test_parameter_servers_are_refused(monkeypatch):
    """Such a strategy needs a cluster of its own to be made."""
    strategy = object.__new__(tf.distribute.ParameterServerStrategy)
    model = trainers.PartialTrainer(replicated.network(0), "all")
    monkeypatch.setattr(model, "_distribute_strategy", strategy)
    with pytest.raises(ValueError, match=r"MultiWorkerMirroredStrategy.*ParameterServerStrategy"):
        model.compile("sgd", "mse")
    with pytest.raises(ValueError, match="Received: ParameterServerStrategy"):
        enable_multi_worker(model)
