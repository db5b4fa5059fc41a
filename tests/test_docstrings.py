"""Every public name has a home, a docstring that says how to use it, and an example that runs."""

import dataclasses
import doctest
import importlib
import inspect
import pkgutil
import re

import keras
import numpy as np
import pytest

import keras_resnets
import trainers
import tuners

PACKAGES = (keras_resnets, trainers, tuners)
# The names that a reader of the documentation takes as given.
GLOBALS = {
    "np": np,
    "keras": keras,
    "kr": keras_resnets,
    "trainers": trainers,
    "tuners": tuners,
}


def modules():
    for package in PACKAGES:
        yield package
        for info in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
            yield importlib.import_module(info.name)


MODULES = list(modules())
# Rooms export what is theirs; the package's own `__all__` only repeats it.
ROOMS = [m for m in MODULES if hasattr(m, "__all__") and m is not keras_resnets]


def public_objects():
    """`{"module.name": object}` of functions and classes, under the module that defines each."""
    found = {}
    for room in ROOMS:
        for name in room.__all__:
            value = getattr(room, name)
            if inspect.isfunction(value) or inspect.isclass(value):
                found[f"{value.__module__}.{value.__qualname__}"] = value
    return found


PUBLIC = public_objects()


def record_fields(value):
    """The public fields of a dataclass or a named tuple."""
    if dataclasses.is_dataclass(value):
        return [f.name for f in dataclasses.fields(value) if not f.name.startswith("_")]
    return getattr(value, "_fields", ())


def examples():
    finder = doctest.DocTestFinder(exclude_empty=True)
    tests = [test for module in MODULES for test in finder.find(module, module.__name__)]
    return [test for test in tests if test.examples]


@pytest.mark.parametrize("test", examples(), ids=lambda test: test.name)
def test_example_runs(test):
    test.globs.update(GLOBALS)
    runner = doctest.DocTestRunner(
        optionflags=doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS, verbose=False
    )
    report = []
    runner.run(test, out=report.append)
    assert runner.failures == 0, "".join(report)


@pytest.mark.parametrize("name", sorted(PUBLIC))
def test_public_name_is_documented(name):
    documentation = PUBLIC[name].__doc__ or ""
    assert documentation.strip(), f"{name} has no docstring"
    if fields := record_fields(PUBLIC[name]):
        unnamed = [field for field in fields if not re.search(rf"\b{field}\b", documentation)]
        assert not unnamed, f"{name} says nothing of {unnamed}"
    else:
        sections = ("Args:", "Returns:", "Example:", "Examples:")
        assert any(section in documentation for section in sections), f"{name} lacks {sections}"


def test_each_public_name_has_one_home():
    homes = {}
    for room in ROOMS:
        for name in room.__all__:
            value = getattr(room, name)
            if not inspect.ismodule(value):
                homes.setdefault(name, set()).add(id(value))
    twice = sorted(name for name, objects in homes.items() if len(objects) > 1)
    assert not twice
    for module in [*ROOMS, keras_resnets]:
        assert len(set(module.__all__)) == len(module.__all__), module.__name__
