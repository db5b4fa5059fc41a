"""A search around a published recipe."""

import dataclasses

from tuners.dimensions import Categorical, Dimension, Integer, Ordinal, Real
from tuners.extra import import_keras_tuner
from tuners.search_space import SearchSpace


def recipe_space(recipe, **ranges):
    """The space around a recipe: the named fields vary, every other keeps the recipe's figure.

    Args:
        recipe: A frozen dataclass, such as those of `trainers.recipes`.
        ranges: For each field to search, one of
            - `(low, high)` or `(low, high, step)`: whole numbers if the field is one, else reals
              (which have no step);
            - `(low, high, "log")`: the same, evenly in the logarithm;
            - a list of choices: an order is kept where they are increasing numbers;
            - a dimension of that name.

    Returns:
        A `SearchSpace` that knows the recipe.

    Example:

    >>> import dataclasses
    >>> @dataclasses.dataclass(frozen=True)
    ... class Recipe:
    ...     learning_rate: float = 1e-3
    ...     batch_size: int = 128
    >>> space = tuners.recipe_space(
    ...     Recipe(), learning_rate=(1e-4, 1e-2, "log"), batch_size=[64, 128]
    ... )
    >>> [type(dimension).__name__ for dimension in space.dimensions]
    ['Real', 'Ordinal']
    """
    if not dataclasses.is_dataclass(recipe) or isinstance(recipe, type):
        raise ValueError(f"`recipe` must be an instance of a dataclass. Received: {recipe!r}")
    fields = [field.name for field in dataclasses.fields(recipe) if field.init]
    if unknown := sorted(set(ranges) - set(fields)):
        raise ValueError(f"`ranges` must name fields of the recipe: {fields}. Received: {unknown}")
    dimensions = [_dimension(name, getattr(recipe, name), span) for name, span in ranges.items()]
    return SearchSpace(dimensions, recipe)


def recipe_hypermodel(factory, trainer, space, fit=None):
    """A hypermodel: what a KerasTuner tuner calls to build and train each trial's model.

    Dimensions of part `"architecture"` go to the factory as keyword arguments, those of part
    `"recipe"` replace fields of the space's recipe.

    Args:
        factory: Builds the network, `factory(**architecture)`, as `kr.ecapa_tdnn` does.
        trainer: Makes it ready to train: `trainer(network, recipe)` returns a compiled model.
        space: A `SearchSpace` with a recipe, as `recipe_space` makes it.
        fit: Trains it, where the recipe decides the data too, as by its batch size:
            `fit(model, recipe, *args, **kwargs)` gets what `tuner.search` was given and the tuner's
            callbacks, and returns what `model.fit` does. Default: `model.fit(*args, **kwargs)`.

    Returns:
        A `keras_tuner.HyperModel`, whose `build` can be called by the model's own name too.

    Raises:
        ValueError: a space without a recipe.
        ImportError: KerasTuner is not installed.

    Example:

    ```python
    space = tuners.recipe_space(recipe, learning_rate=(1e-4, 1e-2, "log"))
    hypermodel = tuners.recipe_hypermodel(factory, trainer, space)
    tuner = keras_tuner.RandomSearch(hypermodel, objective="val_loss", max_trials=20)
    tuner.search(x, y, validation_data=(x_val, y_val), epochs=5)
    ```
    """
    if space.recipe is None:
        raise ValueError("`space` must have a recipe, as `recipe_space` gives it. Received: none")
    keras_tuner = import_keras_tuner()

    def parts(hp):
        config = space.from_hyperparameters(hp)
        recipe = dataclasses.replace(space.recipe, **space.part(config, "recipe"))
        return space.part(config, "architecture"), recipe

    class RecipeHyperModel(keras_tuner.HyperModel):
        def build(self, hp):
            architecture, recipe = parts(hp)
            return trainer(factory(**architecture), recipe)

        __call__ = build

        def fit(self, hp, model, *args, **kwargs):
            if fit is None:
                return model.fit(*args, **kwargs)
            return fit(model, parts(hp)[1], *args, **kwargs)

    return RecipeHyperModel(name=getattr(space.recipe, "name", None))


def _dimension(name, value, span):
    if isinstance(span, Dimension):
        if span.name != name:
            raise ValueError(f"The dimension of {name!r} must have its name. Received: {span}")
        return span
    if isinstance(span, list):
        kinds = {type(choice) for choice in span}
        ordered = kinds in ({int}, {float}) and span == sorted(span)
        return (Ordinal if ordered else Categorical)(name, span)
    if not isinstance(span, tuple) or len(span) not in (2, 3):
        raise ValueError(
            f"The range of {name!r} must be (low, high), (low, high, step), (low, high, 'log'), "
            f"a list of choices or a dimension. Received: {span!r}"
        )
    low, high, *rest = span
    if rest == ["log"]:
        options = {"log": True}
    else:
        options = {"step": rest[0]} if rest else {}
    if type(value) is int:
        return Integer(name, low, high, **options)
    if "step" in options:
        raise ValueError(
            f"A step is for whole numbers, and {name!r} is {value!r}. Received: {span!r}"
        )
    return Real(name, low, high, **options)
