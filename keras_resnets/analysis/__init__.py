"""Study of any `keras.Model`: what it costs, and what it has learned."""

from keras_resnets.analysis.cost import cost
from keras_resnets.analysis.cost_rules import register_cost
from keras_resnets.analysis.energy import DeviceProfile, device_profile
from keras_resnets.analysis.features import FeatureExtractor
from keras_resnets.analysis.gamma import (
    DisabledActivations,
    GammaReport,
    ZeroedGammas,
    disabled_activations,
    gamma_report,
    zero_small_gamma,
)
from keras_resnets.analysis.gamma_plot import plot_gammas
from keras_resnets.analysis.group_size import (
    arithmetic_intensity,
    choose_group_size,
    group_size_objective,
    optimum_group_size,
    sweep_group_sizes,
    traffic_coefficients,
)
from keras_resnets.analysis.measure import Measurement, measure
from keras_resnets.analysis.meters import find_meter
from keras_resnets.analysis.prune import prune_zero_features
from keras_resnets.analysis.report import CostReport, LayerCost
from keras_resnets.analysis.representation import RepresentationHealth, representation_health
from keras_resnets.analysis.study import Runs, plot_spread, spread
from keras_resnets.analysis.table import Table
from keras_resnets.analysis.work import ConvSpec, Work

__all__ = [
    "ConvSpec",
    "CostReport",
    "DeviceProfile",
    "FeatureExtractor",
    "LayerCost",
    "Measurement",
    "RepresentationHealth",
    "Runs",
    "Table",
    "Work",
    "arithmetic_intensity",
    "choose_group_size",
    "cost",
    "device_profile",
    "find_meter",
    "group_size_objective",
    "measure",
    "optimum_group_size",
    "plot_spread",
    "register_cost",
    "representation_health",
    "spread",
    "sweep_group_sizes",
    "traffic_coefficients",
    "DisabledActivations",
    "GammaReport",
    "ZeroedGammas",
    "disabled_activations",
    "gamma_report",
    "plot_gammas",
    "zero_small_gamma",
    "prune_zero_features",
]
