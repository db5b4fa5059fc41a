"""Search over architectures and recipes; KerasTuner is imported only where it is used."""

from tuners.dimensions import Categorical, Integer, Ordinal, Real
from tuners.recipe import recipe_hypermodel, recipe_space
from tuners.search_space import SearchSpace

__all__ = [
    "SearchSpace",
    "Categorical",
    "Ordinal",
    "Integer",
    "Real",
    "recipe_space",
    "recipe_hypermodel",
]
