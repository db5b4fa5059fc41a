"""Search over architectures and recipes; KerasTuner is imported only where it is used."""

from tuners.constraint import Constraint
from tuners.core import NARSCore
from tuners.dimensions import Categorical, Integer, Ordinal, Real
from tuners.fbnet_cost import fbnet_v3_statistics
from tuners.fbnet_hypermodel import fbnet_v3_hypermodel
from tuners.fbnet_v3 import (
    fbnet_v3_canonical,
    fbnet_v3_config,
    fbnet_v3_recipe_space,
    fbnet_v3_space,
)
from tuners.predictor import ArchitectureRecipePredictor
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
    "fbnet_v3_space",
    "fbnet_v3_recipe_space",
    "fbnet_v3_config",
    "fbnet_v3_canonical",
    "fbnet_v3_statistics",
    "fbnet_v3_hypermodel",
    "ArchitectureRecipePredictor",
    "Constraint",
    "NARSCore",
]
