"""Layers for speech and images, on `keras.ops`."""

from keras_resnets.layers.cepstral_mean import CepstralMeanNormalization
from keras_resnets.layers.filterbank import MFCC, KaldiFbank, LogMelSpectrogram, front_end
from keras_resnets.layers.frame_mask import FrameMask
from keras_resnets.layers.margin import AdditiveAngularMargin, AdditiveMargin
from keras_resnets.layers.masked_batch_norm import MaskedBatchNormalization
from keras_resnets.layers.masked_conv import MaskedConv1D, MaskedConv2D
from keras_resnets.layers.pooling import AttentiveStatisticsPooling, StatisticsPooling
from keras_resnets.layers.res2net import Res2Conv1D, SERes2Block1D
from keras_resnets.layers.spec_augment import SpecAugment
from keras_resnets.layers.squeeze_excite import SqueezeExcite1D
from keras_resnets.layers.zero_empty import ZeroEmptyRows

__all__ = [
    "MFCC",
    "AdditiveAngularMargin",
    "AdditiveMargin",
    "AttentiveStatisticsPooling",
    "CepstralMeanNormalization",
    "FrameMask",
    "KaldiFbank",
    "LogMelSpectrogram",
    "MaskedBatchNormalization",
    "MaskedConv1D",
    "MaskedConv2D",
    "Res2Conv1D",
    "SERes2Block1D",
    "SpecAugment",
    "SqueezeExcite1D",
    "StatisticsPooling",
    "ZeroEmptyRows",
    "front_end",
]
