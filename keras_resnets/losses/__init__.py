"""Losses of self-supervision and distillation, on `keras.ops`."""

from keras_resnets.losses.nt_xent import MultiCropNTXent, NTXent
from keras_resnets.losses.sinkhorn import sinkhorn_knopp
from keras_resnets.losses.soft_cross_entropy import soft_cross_entropy
from keras_resnets.losses.swav import SwAVLoss

__all__ = ["MultiCropNTXent", "NTXent", "SwAVLoss", "sinkhorn_knopp", "soft_cross_entropy"]
