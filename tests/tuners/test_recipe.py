from dataclasses import dataclass, replace

import keras
import numpy as np
import pytest

from tuners import Integer, Ordinal, Real, SearchSpace, recipe_hypermodel, recipe_space


@dataclass(frozen=True)
class SmallRecipe:
    learning_rate: float = 1e-3
    batch_size: int = 128
    optimizer: str = "adam"


RECIPE = SmallRecipe(batch_size=64)


def test_ranges_become_dimensions():
    space = recipe_space(
        RECIPE,
        learning_rate=(1e-4, 1e-2, "log"),
        batch_size=(32, 96, 32),
        optimizer=["sgd", "adam"],
    )
    rate, batch, optimizer = space.dimensions
    assert rate == Real("learning_rate", 1e-4, 1e-2, log=True)
    assert batch == Integer("batch_size", 32, 96, step=32)
    assert optimizer.values == ("sgd", "adam") and not isinstance(optimizer, Ordinal)
    assert {d.part for d in space.dimensions} == {"recipe"}
    assert space.recipe is RECIPE
    given = recipe_space(RECIPE, batch_size=Ordinal("batch_size", [16, 512]))
    assert given.dimensions == recipe_space(RECIPE, batch_size=[16, 512]).dimensions


@pytest.mark.parametrize(
    ("ranges", "message"),
    [
        ({"momentum": (0.0, 1.0)}, r"Received: \['momentum'\]"),
        ({"learning_rate": (1e-4, 1e-2, 1e-3)}, "step is for whole numbers"),
        ({"learning_rate": 1e-3}, "must be \\(low, high\\)"),
        ({"batch_size": Integer("batch", 1, 2)}, "must have its name"),
        ({}, "at least one"),
    ],
)
def test_bad_ranges_are_refused(ranges, message):
    with pytest.raises(ValueError, match=message):
        recipe_space(RECIPE, **ranges)


def test_recipe_must_be_an_instance():
    with pytest.raises(ValueError, match="instance of a dataclass"):
        recipe_space(SmallRecipe, batch_size=(1, 2))


def factory(width=4):
    return keras.Sequential([keras.Input((3,)), keras.layers.Dense(width), keras.layers.Dense(1)])


def trainer(network, recipe):
    network.compile(keras.optimizers.SGD(recipe.learning_rate), loss="mse")
    return network


SPACE = SearchSpace([Ordinal("width", [2, 8], part="architecture")]) + recipe_space(
    RECIPE, learning_rate=(0.01, 0.1)
)


def test_hypermodel_needs_a_recipe():
    with pytest.raises(ValueError, match="must have a recipe"):
        recipe_hypermodel(factory, trainer, SearchSpace([Integer("width", 1, 2)]))


def test_a_recipe_decides_how_it_is_fitted(tmp_path):
    keras_tuner = pytest.importorskip("keras_tuner")
    sizes = []

    def fit(model, recipe, x, y, callbacks=(), **kwargs):
        sizes.append(recipe.batch_size)
        return model.fit(x, y, batch_size=recipe.batch_size, callbacks=callbacks, **kwargs)

    space = recipe_space(RECIPE, batch_size=[8, 16])
    tuner = keras_tuner.GridSearch(
        recipe_hypermodel(factory, trainer, space, fit), objective="loss", directory=tmp_path
    )
    x = np.zeros((16, 3), "float32")
    tuner.search(x, x[:, :1], epochs=1, verbose=0)
    assert sorted(sizes) == [8, 16]


def test_random_search_runs_on_the_space(tmp_path):
    keras_tuner = pytest.importorskip("keras_tuner")
    recipes = []

    def recording(network, recipe):
        recipes.append((network.layers[0].units, recipe))
        return trainer(network, recipe)

    tuner = keras_tuner.RandomSearch(
        recipe_hypermodel(factory, recording, SPACE),
        objective="val_loss",
        max_trials=3,
        seed=0,
        directory=tmp_path,
    )
    x = np.random.default_rng(0).normal(size=(32, 3)).astype("float32")
    y = x.sum(axis=1, keepdims=True)
    tuner.search(x, y, validation_data=(x, y), epochs=2, verbose=0)
    best = SPACE.from_hyperparameters(tuner.get_best_hyperparameters()[0])
    assert best in SPACE
    tried = {
        trial.hyperparameters.values["learning_rate"] for trial in tuner.oracle.trials.values()
    }
    assert len(tried) == 3
    assert tried <= {recipe.learning_rate for _, recipe in recipes}
    for width, recipe in recipes:
        assert width in (2, 8) and 0.01 <= recipe.learning_rate <= 0.1
        # Every figure that is not searched is the recipe's own.
        assert replace(recipe, learning_rate=RECIPE.learning_rate) == RECIPE
