"""Search over architectures and recipes; KerasTuner is imported only where it is used."""

import importlib

from tuners.constraint import Constraint
from tuners.core import NARSCore
from tuners.dimensions import Categorical, Integer, Ordinal, Real
from tuners.extra import import_keras_tuner
from tuners.fbnet_cost import fbnet_v3_statistics
from tuners.fbnet_hypermodel import fbnet_v3_hypermodel
from tuners.fbnet_v3 import (
    fbnet_v3_canonical,
    fbnet_v3_config,
    fbnet_v3_recipe_space,
    fbnet_v3_space,
)
from tuners.latency import LatencyTable, measure_latency_table
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
    "NARSOracle",
    "NARS",
    "NARSCore",
    "LatencyTable",
    "measure_latency_table",
]

ON_DEMAND = {"NARSOracle": "tuners.oracle", "NARS": "tuners.tuner"}  # they are KerasTuner's classes


def __getattr__(name):
    if name not in ON_DEMAND:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import_keras_tuner()
    return getattr(importlib.import_module(ON_DEMAND[name]), name)
