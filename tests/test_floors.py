"""The floors of docs/architecture.md: a room imports only from floors below its own."""

import ast
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = "keras_resnets"

FLOORS = [
    # the ground: any room may stand on it
    [
        "keras_resnets.collectives",
        "keras_resnets.files",
        "keras_resnets.initializers",
        "keras_resnets.kernels",
        "keras_resnets.vectors",
        "keras_resnets.version",
        "keras_resnets.weights",
    ],
    # 0: parts
    [
        "keras_resnets.layers",
        "keras_resnets.losses",
        "keras_resnets.metrics",
        "keras_resnets.optimizers",
        "keras_resnets.preprocessing",
        "keras_resnets.datasets",
        "keras_resnets.export",
    ],
    # 1: factories, and tools over any model
    [
        "keras_resnets.models",
        "keras_resnets.inference",
        "keras_resnets.attacks",
        "keras_resnets.certify",
        "keras_resnets.explain",
        "keras_resnets.analysis",
    ],
    # the package's own names
    ["keras_resnets"],
    # 2, 3, 4
    ["trainers"],
    ["tuners"],
    ["examples", "benchmarks"],
]
FLOOR = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}

# On one floor, and still allowed: reading an audio file may mean resampling it.
SIBLINGS = {("keras_resnets.datasets", "keras_resnets.preprocessing")}

KERAS_ONLY = ["keras_resnets.layers", "keras_resnets.losses", "keras_resnets.models"]
OPTIONAL = {
    "av",
    "huggingface_hub",
    "keras_tuner",
    "matplotlib",
    "pandas",
    "PIL",
    "safetensors",
    "scipy",
    "soundfile",
    "tensorflow_datasets",
    "tensorflow_io",
    "torch",
}
# Subclasses of KerasTuner's own classes, and their helpers; `tuners` loads them when they are used.
ON_DEMAND = {"tuners.chief", "tuners.client", "tuners.lock", "tuners.oracle", "tuners.tuner"}


def files():
    tops = {room.partition(".")[0] for room in FLOOR}
    return sorted(path for top in tops for path in (ROOT / top).rglob("*.py"))


def dotted(path):
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def room_of(module):
    """The room a module lives in: `keras_resnets.layers` for `keras_resnets.layers.pooling`."""
    parts = module.split(".")
    if parts[0] != PACKAGE:
        return parts[0]
    room = ".".join(parts[:2])
    return room if room in FLOOR or is_module(room) else PACKAGE


def is_module(module):
    path = ROOT.joinpath(*module.split("."))
    return path.is_dir() or path.with_suffix(".py").is_file()


@cache
def imports(path):
    """`(module, at_top)` of every import in the file, relative ones resolved."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    at_top = {id(node) for node in tree.body}
    package = dotted(path).split(".")
    if path.name != "__init__.py":
        package = package[:-1]
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [(alias.name, id(node) in at_top) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *(node.module or "").split(".")]).strip(".")
            # `from keras_resnets import layers` imports the room, not the package's names.
            found += [
                (
                    full if is_module(full := f"{module}.{alias.name}") else module,
                    id(node) in at_top,
                )
                for alias in node.names
            ]
    return found


def test_every_file_stands_on_a_floor():
    assert files(), "no source file found"
    homeless = [str(p.relative_to(ROOT)) for p in files() if room_of(dotted(p)) not in FLOOR]
    assert not homeless


def test_rooms_import_downwards():
    wrong = [
        f"{path.relative_to(ROOT)} imports {module}"
        for path in files()
        for module, _ in imports(path)
        if (other := room_of(module)) in FLOOR
        and other != (room := room_of(dotted(path)))
        and FLOOR[other] >= FLOOR[room]
        and (room, other) not in SIBLINGS
    ]
    assert not wrong


def test_no_circles_among_rooms():
    graph = {room_of(dotted(path)): set() for path in files()}
    for path in files():
        room = room_of(dotted(path))
        graph[room] |= {room_of(module) for module, _ in imports(path)} & graph.keys() - {room}
    TopologicalSorter(graph).prepare()  # raises CycleError, which names the circle


def test_no_circles_among_files():
    """Within a room too, for what a file imports when it is loaded."""
    known = {dotted(path) for path in files()}
    graph = {
        dotted(path): {
            module
            for module, at_top in imports(path)
            if at_top and module in known and module != dotted(path)
        }
        for path in files()
    }
    TopologicalSorter(graph).prepare()


@pytest.mark.parametrize("room", KERAS_ONLY)
def test_layers_losses_and_models_are_keras_only(room):
    wrong = [
        f"{path.relative_to(ROOT)} imports {module}"
        for path in files()
        if room_of(dotted(path)) == room
        for module, _ in imports(path)
        if module.partition(".")[0] in {"tensorflow", "torch", "jax"}
    ]
    assert not wrong


def test_optional_packages_are_imported_where_used():
    wrong = [
        f"{path.relative_to(ROOT)} imports {module} when it is loaded"
        for path in files()
        if path.relative_to(ROOT).parts[0] not in {"examples", "benchmarks"}
        and dotted(path) not in ON_DEMAND
        for module, at_top in imports(path)
        if at_top and module.partition(".")[0] in OPTIONAL
    ]
    assert not wrong
