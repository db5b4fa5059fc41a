"""Keras model factories, layers and the tools that train, measure and serve them."""

from keras_resnets import datasets, layers, metrics, models, optimizers, preprocessing, weights
from keras_resnets.models import (
    ecapa_tdnn,
    ecapa_tdnn_512,
    ecapa_tdnn_1024,
    load_ecapa,
    r_vector,
    x_vector,
)
from keras_resnets.version import __version__

__all__ = [
    "__version__",
    "datasets",
    "ecapa_tdnn",
    "ecapa_tdnn_512",
    "ecapa_tdnn_1024",
    "layers",
    "load_ecapa",
    "metrics",
    "models",
    "optimizers",
    "preprocessing",
    "r_vector",
    "weights",
    "x_vector",
]
