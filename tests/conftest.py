"""Sets up TensorFlow before any test imports it, and holds what several rooms' tests share."""

import os

# Two workers on two cores: one thread each, or they fight.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")
os.environ.setdefault("TF_NUM_INTEROP_THREADS", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("MPLBACKEND", "Agg")

import multiprocessing
import socket
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

# `MirroredStrategy` is tested on two logical devices, which are fixed once TensorFlow has started.
tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 2
)

ROOT = Path(__file__).parents[1]


@pytest.fixture(autouse=True)
def keras_seed_and_policy():
    """Every test starts from the same random numbers and leaves no dtype policy behind."""
    keras.utils.set_random_seed(0)
    yield
    keras.config.set_dtype_policy("float32")


@pytest.fixture(scope="session")
def root():
    """The repository's root."""
    return ROOT


@pytest.fixture(scope="session")
def data_dir():
    """The folder of larger real data; tests that use it carry the mark `data`."""
    folder = os.environ.get("KERAS_RESNETS_DATA")
    if not folder:
        pytest.skip("KERAS_RESNETS_DATA is not set")
    if not Path(folder).is_dir():
        pytest.fail(f"KERAS_RESNETS_DATA must be a folder. Received: {folder}")
    return Path(folder).resolve()


@pytest.fixture(scope="session")
def two_replicas():
    """The strategy of two replicas: one for all tests, as two would mix up their messages."""
    return tf.distribute.MirroredStrategy(
        [device.name for device in tf.config.list_logical_devices("CPU")]
    )


@pytest.fixture(scope="session")
def processes():
    """A `multiprocessing` context: forks of a process that has imported all that takes long."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["trainers", "tuners", "keras_tuner"])
    return context


@pytest.fixture(scope="session")
def free_ports():
    """`free_ports(n)`: numbers of TCP ports that nobody listens on."""

    def free_ports(n):
        places = [socket.socket() for _ in range(n)]
        for place in places:
            place.bind(("127.0.0.1", 0))
        ports = [place.getsockname()[1] for place in places]
        for place in places:
            place.close()
        return ports

    return free_ports


@pytest.fixture(scope="session")
def speech_sample():
    """The bundled speech: `train`, `test` and `trials`."""
    from keras_resnets import datasets

    return datasets.load("speech_sample")


@pytest.fixture(scope="session")
def randomize():
    """`randomize(layer)`: every weight random, the normalisation's too, or mistakes would hide."""

    def randomize(layer, seed=0):
        rng = np.random.default_rng(seed)
        for weight in layer.weights:
            if weight.name in ("gamma", "moving_variance"):
                weight.assign(rng.uniform(0.5, 1.5, weight.shape))
            elif weight.name != "kernel":
                weight.assign(rng.normal(0, 0.3, weight.shape))
        return layer

    return randomize
