"""Model factories."""

from keras_resnets.models.ecapa_tdnn import (
    ecapa_tdnn,
    ecapa_tdnn_512,
    ecapa_tdnn_1024,
    load_ecapa,
)
from keras_resnets.models.r_vector import r_vector
from keras_resnets.models.variable_length import VariableLengthModel
from keras_resnets.models.x_vector import x_vector

__all__ = [
    "VariableLengthModel",
    "ecapa_tdnn",
    "ecapa_tdnn_512",
    "ecapa_tdnn_1024",
    "load_ecapa",
    "r_vector",
    "x_vector",
]
