"""`import keras_resnets` is light: Keras, this package, and nothing that an extra brings."""

import json
import subprocess
import sys

import pytest

SCRIPT = """
import json, sys
import keras
before = set(sys.modules)
import {package}
print(json.dumps(sorted(set(sys.modules) - before)))
"""


def modules_added_to_keras(package):
    run = subprocess.run(
        [sys.executable, "-c", SCRIPT.format(package=package)],
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(run.stdout.splitlines()[-1])


@pytest.mark.parametrize("package", ["keras_resnets", "trainers", "tuners"])
def test_import_brings_nothing_but_our_own(package):
    added = modules_added_to_keras(package)
    assert package in added
    ours = {"keras_resnets", "trainers", "tuners"}
    foreign = {module.partition(".")[0] for module in added} - ours - set(sys.stdlib_module_names)
    assert not foreign


def test_package_knows_nothing_of_training_or_search():
    added = {module.partition(".")[0] for module in modules_added_to_keras("keras_resnets")}
    assert not added & {"trainers", "tuners"}
