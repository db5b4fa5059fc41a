"""Optimizers and learning-rate schedules."""

from keras_resnets.optimizers.cyclical import CyclicalLearningRate
from keras_resnets.optimizers.lars import LARS
from keras_resnets.optimizers.piecewise import PiecewiseEpochs
from keras_resnets.optimizers.warmup_cosine import WarmupCosine

__all__ = ["LARS", "CyclicalLearningRate", "PiecewiseEpochs", "WarmupCosine"]
