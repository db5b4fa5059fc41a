"""Public checkpoints (safetensors, torch, TensorFlow, npz, the hub) into our models."""

from keras_resnets.weights.applications import from_keras_applications
from keras_resnets.weights.checkpoint import read_checkpoint
from keras_resnets.weights.convert import from_simclr_checkpoint, from_torch, to_torch
from keras_resnets.weights.load import load_weights

__all__ = [
    "from_keras_applications",
    "from_simclr_checkpoint",
    "from_torch",
    "load_weights",
    "read_checkpoint",
    "to_torch",
]
