"""The peers' code, for the tests with the mark `peers`."""

import importlib.util
import os
import runpy

import pytest


@pytest.fixture(scope="session")
def peers(root):
    """The module `speaker_models.py` beside this file."""
    pytest.importorskip("torch", reason="torch is not installed")
    path = root / "tests" / "peers" / "speaker_models.py"
    spec = importlib.util.spec_from_file_location("speaker_models", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def checkouts():
    """The folder with the checkouts `wespeaker`, `ECAPA-TDNN` and `pytorch_resnet_cifar10`."""
    folder = os.environ.get("KERAS_RESNETS_PEERS")
    if not folder:
        pytest.skip("KERAS_RESNETS_PEERS is not set")
    return folder


@pytest.fixture(scope="session")
def states(root):
    """The functions of `tests/data/states.py`."""
    return runpy.run_path(root / "tests" / "data" / "states.py")
