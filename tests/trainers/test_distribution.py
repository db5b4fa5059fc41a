"""Every trainer on one device, on two replicas, and on two processes that share the work."""

import functools
import json
import sys
import time
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
# How far weights may be apart where rounding grows from step to step; elsewhere 1e-5.
WEIGHTS = {"SimCLR": 5e-4, "SwAV": 5e-4, "MEALV2": 1e-6}
SMALLEST = [name for name in replicated.CASES if "," not in name]

one_device = functools.cache(replicated.train)


def assert_same(name, several, rtol=1e-4):
    one = one_device(name)
    assert set(several) == set(one)
    weights = several.pop("weights")
    atol = WEIGHTS.get(name.split(",")[0], 1e-5)
    np.testing.assert_allclose(weights, one["weights"], rtol=1e-4, atol=atol, err_msg=name)
    for key, values in several.items():
        if (figure := key.removeprefix("test_")) not in LOCAL:
            close = dict(rtol=rtol, atol=1e-5 if figure == "positive_cosine" else 1e-6)
            np.testing.assert_allclose(values, one[key], **close, err_msg=f"{name}: {key}")


@pytest.fixture(scope="module")
def start_workers(processes, free_ports, tmp_path_factory):
    """`start_workers(names)`: two processes, one strategy, that train cases one by one.

    It returns a function of a case, which gives what each of them made of it.
    """
    begun = []

    def start_workers(names):
        folder = tmp_path_factory.mktemp("workers")
        cluster = [f"127.0.0.1:{port}" for port in free_ports(2)]
        workers = [
            processes.Process(target=replicated.work, args=(cluster, index, [*names], folder))
            for index in range(2)
        ]
        begun.extend(workers)
        for worker in workers:
            worker.start()

        def results(name, seconds=120):
            files = [folder / f"{name}.{index}.json" for index in range(2)]
            end = time.monotonic() + seconds
            while not all(file.exists() for file in files):
                assert all(worker.exitcode in (None, 0) for worker in workers), name
                assert time.monotonic() < end, f"{name}: not within {seconds} s"
                time.sleep(0.1)
            return [json.loads(file.read_text()) for file in files]

        return results

    yield start_workers
    for worker in begun:
        worker.kill()


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
    assert_same(name, replicated.train(name, two_replicas), rtol=1e-5)


@pytest.mark.slow
def test_augmentation_on_replicas(two_replicas):
    """Each draws its own random numbers, so only that it trains."""
    with two_replicas.scope():
        trainer, data = replicated.speaker(augment=SpecAugment(seed=0), sync_batch_norm=True)
    assert np.isfinite(trainer.fit(data, verbose=0).history["loss"]).all()


def test_two_processes_train_as_one_device_does(start_workers):
    for result in start_workers(["MEALV2"])("MEALV2"):
        assert_same("MEALV2", result)


@pytest.fixture(scope="module")
def workers(start_workers, request):
    """Starting takes longer than training, so one pair of processes trains all that is asked."""
    tests = [item for item in request.session.items if "workers" in item.fixturenames]
    return start_workers([item.callspec.params["name"] for item in tests])


@pytest.mark.slow
@pytest.mark.parametrize("name", replicated.CASES)
def test_every_trainer_on_two_processes(name, workers):
    for result in workers(name):
        assert_same(name, result)


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
