import itertools
import json
import math
from collections import Counter

import numpy as np
import pytest

from tuners import (
    Categorical,
    Integer,
    Ordinal,
    Real,
    SearchSpace,
    fbnet_v3_recipe_space,
    fbnet_v3_space,
)

ALL = [
    Categorical("pooling", ["asp", None, 3], part="architecture"),
    Categorical("augment", [True, False]),
    Ordinal("channels", [256, 512, 1024], part="architecture"),
    Integer("batch_size", 32, 128, step=32),
    Integer("epochs", 1, 100, log=True),
    Real("dropout", 0, 0.5),
    Real("learning_rate", 1e-5, 1e-2, log=True),
]


def test_size_is_exact():
    # The recipe table of FBNetV3's search: 18,905,040 points.
    lengths = [11, 2, 2, 31, 22, 42, 15]
    space = SearchSpace([Integer(f"d{i}", 0, n - 1) for i, n in enumerate(lengths)])
    assert space.size() == 18_905_040
    huge = SearchSpace([Integer(f"d{i}", 1, 1000) for i in range(20)])
    assert huge.size() == 10**60
    assert SearchSpace(ALL).size() == math.inf
    assert [d.size() for d in ALL] == [3, 2, 3, 4, 100, math.inf, math.inf]


def test_samples_lie_in_the_space_and_follow_the_seed():
    space = SearchSpace(ALL)
    configs = space.sample(200, seed=1)
    assert all(config in space for config in configs)
    assert configs == space.sample(200, seed=1)
    assert configs != space.sample(200, seed=2)


@pytest.mark.parametrize("dimension", ALL[:4])
def test_every_value_is_equally_likely(dimension):
    rng = np.random.default_rng(0)
    counts = Counter(dimension.sample(rng) for _ in range(4096))
    assert len(counts) == dimension.size()
    expected = 4096 / dimension.size()
    assert all(abs(count - expected) < 5 * math.sqrt(expected) for count in counts.values())


def test_log_sampling_is_even_in_the_logarithm():
    rng = np.random.default_rng(0)
    rates = [ALL[6].sample(rng) for _ in range(3000)]
    decades = Counter(math.floor(math.log10(rate)) for rate in rates)
    assert set(decades) == {-5, -4, -3}
    assert all(900 < count < 1100 for count in decades.values())
    epochs = Counter(ALL[4].sample(rng) for _ in range(20_000))
    assert min(epochs) == 1 and max(epochs) == 100
    # A whole number n owns log((n + 0.5) / (n - 0.5)) of log(100.5 / 0.5).
    assert epochs[1] / 20_000 == pytest.approx(math.log(3) / math.log(201), rel=0.05)


@pytest.mark.parametrize(
    ("dimension", "value"),
    [
        (ALL[0], "stats"),
        (ALL[1], 1),
        (ALL[2], 300),
        (ALL[3], 48),
        (ALL[3], 160),
        (ALL[3], 64.5),
        (ALL[4], True),
        (ALL[5], -0.1),
        (ALL[5], math.nan),
        (ALL[6], "1e-3"),
    ],
)
def test_values_outside_are_refused(dimension, value):
    assert value not in dimension
    with pytest.raises(ValueError, match=f"'{dimension.name}' must lie in"):
        SearchSpace([dimension]).validate({dimension.name: value})


def test_validate_names_missing_and_unknown():
    space = SearchSpace(ALL[:2])
    with pytest.raises(ValueError, match=r"Missing: \['pooling'\], unknown: \['poling'\]"):
        space.validate({"poling": "asp", "augment": True})


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Categorical("a", []), "at least one"),
        (lambda: Categorical("a", ["x", "x"]), "must be different"),
        (lambda: Categorical("a", [1, "1"]), "must be different"),
        (lambda: Categorical("a", [1, True]), "must be different"),
        (lambda: Real("a", 0, 1, active_if="b"), "`active_if` of 'a' must be"),
        (lambda: Real("a", 0, 1, active_if=("b", [])), "`active_if` of 'a' must be"),
        (lambda: SearchSpace([Real("a", 0, 1, active_if=("b", [1]))]), "an earlier dimension"),
        (lambda: SearchSpace([ALL[5], Real("a", 0, 1, active_if=("dropout", [0.1]))]), "no `Real`"),
        (lambda: SearchSpace([ALL[2], Real("a", 0, 1, active_if=("channels", [3]))]), r"\[3\]"),
        (lambda: Categorical("a", [[1]]), "strings, booleans, numbers or None"),
        (lambda: Categorical("a", "asp"), "strings, booleans, numbers or None"),
        (lambda: Categorical("a b", [1]), "Python identifier"),
        (lambda: Categorical("a", [1], part="data"), "`part` of 'a'"),
        (lambda: Ordinal("a", [2, 1]), "increasing"),
        (lambda: Ordinal("a", [1, 2.0]), "one type"),
        (lambda: Integer("a", 1, 4, step=2), "whole steps"),
        (lambda: Integer("a", 4, 1), "whole steps"),
        (lambda: Integer("a", 1.0, 4), "whole numbers"),
        (lambda: Integer("a", 0, 4, log=True), "`low` > 0"),
        (lambda: Real("a", 1, 1), "`low` < `high`"),
        (lambda: Real("a", 0, 1, log=True), "`low` > 0"),
        (lambda: Real("a", 0, math.inf), "finite"),
        (lambda: SearchSpace([]), "at least one"),
        (lambda: SearchSpace([ALL[0], ALL[0]]), r"twice: \['pooling'\]"),
        (lambda: SearchSpace(["pooling"]), "must be of"),
    ],
)
def test_bad_dimensions_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_config_survives_json():
    space = SearchSpace(ALL)
    again = SearchSpace.from_config(json.loads(json.dumps(space.get_config())))
    assert again.dimensions == space.dimensions
    assert again.sample(5, seed=3) == space.sample(5, seed=3)


def test_spaces_add():
    both = SearchSpace(ALL[:1]) + SearchSpace(ALL[1:])
    assert both.dimensions == tuple(ALL)
    config = both.sample(seed=0)[0]
    architecture, recipe = both.part(config, "architecture"), both.part(config, "recipe")
    assert set(architecture) == {"pooling", "channels"}
    assert architecture | recipe == config


def test_keras_tuner_knows_every_dimension():
    keras_tuner = pytest.importorskip("keras_tuner")
    space = SearchSpace(ALL)
    hp = space.to_hyperparameters()
    assert {h.name for h in hp.space} == {d.name for d in ALL}
    assert space.from_hyperparameters(hp) in space
    # What a tuner sets is what is read, also after a trip through its own JSON.
    hp.values |= {"pooling": "None", "augment": "False", "channels": 1024, "batch_size": 96}
    hp = keras_tuner.HyperParameters.from_config(json.loads(json.dumps(hp.get_config())))
    config = space.from_hyperparameters(hp)
    assert config in space
    assert config["pooling"] is None and config["augment"] is False
    assert (config["channels"], config["batch_size"]) == (1024, 96)


# An optimiser, its momentum, and a second momentum of one kind of momentum.
CONDITIONAL = SearchSpace(
    [
        Categorical("optimizer", ["adam", "sgd", None]),
        Ordinal("momentum", [0.8, 0.9], active_if=("optimizer", ["sgd", None])),
        Integer("nesterov", 0, 2, active_if=("momentum", [0.9])),
        Ordinal("width", [1, 2, 4], part="architecture"),
    ]
)


def test_conditions_decide_what_a_configuration_has():
    # adam; for each other optimiser, 0.8 or 0.9 with three values
    assert CONDITIONAL.size() == (1 + 2 * (1 + 3)) * 3
    with pytest.warns(UserWarning, match="27 different"):
        every = CONDITIONAL.sample(60)
    assert len(every) == 27 and all(config in CONDITIONAL for config in every)
    assert {"optimizer": "adam", "width": 1} in CONDITIONAL
    assert {"optimizer": "adam", "momentum": 0.8, "width": 1} not in CONDITIONAL
    with pytest.raises(ValueError, match=r"Missing: \['nesterov'\]"):
        CONDITIONAL.validate({"optimizer": None, "momentum": 0.9, "width": 1})
    again = SearchSpace.from_config(json.loads(json.dumps(CONDITIONAL.get_config())))
    assert again.dimensions == CONDITIONAL.dimensions


def test_conditions_in_keras_tuner():
    keras_tuner = pytest.importorskip("keras_tuner")
    hp = CONDITIONAL.to_hyperparameters()
    assert {h.name for h in hp.space} == {d.name for d in CONDITIONAL.dimensions}
    assert [len(h.conditions) for h in hp.space] == [0, 1, 2, 0]
    for config in CONDITIONAL.sample(27):
        hp = CONDITIONAL.to_hyperparameters(config)
        assert CONDITIONAL.from_hyperparameters(hp) == config
        assert set(hp.values) == set(config)
        hp = keras_tuner.HyperParameters.from_config(json.loads(json.dumps(hp.get_config())))
        assert CONDITIONAL.from_hyperparameters(hp) == config


def wide(name):
    """The columns of an ordered dimension of more than twelve values."""
    return name, *(f"{name} near {place}" for place in range(8))


def test_layout():
    space = SearchSpace([*ALL, Real("late", 0, 1, active_if=("augment", [True]))])
    assert space.layout == [
        *("pooling=asp", "pooling=None", "pooling=3"),
        *("channels", "channels=256", "channels=512", "channels=1024"),
        "augment",
        *("batch_size", "batch_size=32", "batch_size=64", "batch_size=96", "batch_size=128"),
        *(*wide("epochs"), *wide("dropout"), *wide("learning_rate"), *wide("late")),
        "late is active",
    ]
    assert space.architecture_width == 7
    config = {"pooling": None, "augment": True, "channels": 512, "batch_size": 128, "epochs": 10}
    config |= {"dropout": 0.1, "learning_rate": 1e-3, "late": 0.25}
    found = dict(zip(space.layout, space.encode([config])[0]))
    plain = [value for name, value in found.items() if " near " not in name]
    np.testing.assert_allclose(
        plain, [0, 1, 0, 0.5, 0, 1, 0, 0, 1, 0, 0, 0, 1, 0.5, 0.2, 2 / 3, 0.25, 1]
    )
    # 0.2 of the way is 1.4 of the seven steps from the first column to the eighth
    np.testing.assert_allclose(
        [found[f"dropout near {place}"] for place in range(8)], [0, 0.6, 0.4, 0, 0, 0, 0, 0]
    )
    # no value of an inactive dimension is told from another
    del config["late"]
    np.testing.assert_allclose(space.encode([{**config, "augment": False}])[0, -10:], np.zeros(10))


def test_vectors_decode_to_what_was_encoded():
    spaces = (fbnet_v3_space() + fbnet_v3_recipe_space(), CONDITIONAL)
    for space, count in zip(spaces, (1000, 27)):
        configs = space.sample(count, seed=2)
        vectors = space.encode(configs)
        assert vectors.shape == (count, len(space.layout))
        assert vectors.min() >= 0 and vectors.max() <= 1
        assert space.decode(vectors) == configs
    space = SearchSpace(ALL)
    configs = space.sample(1000, seed=3)
    again = space.decode(space.encode(configs))
    for name in ("dropout", "learning_rate"):
        assert [c.pop(name) for c in again] == pytest.approx([c.pop(name) for c in configs])
    assert again == configs
    with pytest.raises(ValueError, match="must have 40 columns"):
        space.decode(np.zeros((1, 3)))


def test_cells():
    """Fifths of a `Real` and of many whole numbers; of few values each is one."""
    space = SearchSpace([Integer("width", 1, 64), Real("rate", 0, 1), Ordinal("depth", [1, 2])])

    def cells(**changes):
        return space.cells([{"width": 10, "rate": 0.5, "depth": 1} | changes])

    assert cells() == cells(width=12) == cells(rate=0.41) == cells(rate=0.59)
    for changes in ({"width": 14}, {"rate": 0.39}, {"rate": 0.61}, {"depth": 2}):
        assert cells() != cells(**changes)
    assert cells(rate=1.0) == cells(rate=0.81)


def test_neighbours():
    space = SearchSpace(ALL[:5])
    config = {"pooling": None, "augment": True, "channels": 256, "batch_size": 64, "epochs": 100}
    found = [
        {name: value for name, value in other.items() if value != config[name]}
        for other in space.neighbours(config)
    ]
    assert found == [
        *({"pooling": "asp"}, {"pooling": 3}, {"augment": False}, {"channels": 512}),
        *({"batch_size": 32}, {"batch_size": 96}, {"epochs": 99}),
    ]
    real = SearchSpace(ALL[5:6]).neighbours({"dropout": 0.0})
    assert real == [{"dropout": pytest.approx(0.05)}]
    for config in CONDITIONAL.sample(27):
        assert all(other in CONDITIONAL for other in CONDITIONAL.neighbours(config))


def test_mutation_and_crossover():
    space = SearchSpace([Ordinal(f"d{i}", list(range(9))) for i in range(2000)])
    rng = np.random.default_rng(0)
    config = {d.name: 4 for d in space.dimensions}
    assert space.mutate(config, rng, 0.0) == config
    moves = Counter(abs(value - 4) for value in space.mutate(config, rng, 0.5).values())
    assert moves[0] == pytest.approx(1000 + 300 / 9 / 2, abs=100)
    assert moves[1] == pytest.approx(700 + 300 * 2 / 9 / 2 * 2, abs=150)
    a, b = ({d.name: value for d in space.dimensions} for value in (1, 2))
    child = Counter(space.crossover(a, b, rng).values())
    assert set(child) == {1, 2} and child[1] == pytest.approx(1000, abs=150)
    configs = CONDITIONAL.sample(27)
    for a, b in itertools.pairwise(configs):
        assert CONDITIONAL.mutate(a, rng, 0.5) in CONDITIONAL
        assert CONDITIONAL.crossover(a, b, rng) in CONDITIONAL
