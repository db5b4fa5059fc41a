"""Layers for speech and images, on `keras.ops`."""

from keras_resnets.layers.batch_norm import BatchNorm2D
from keras_resnets.layers.cepstral_mean import CepstralMeanNormalization
from keras_resnets.layers.evonorm import (
    EvoNormB0,
    EvoNormB1,
    EvoNormB2,
    EvoNormS0,
    EvoNormS1,
    EvoNormS2,
    evonorm,
)
from keras_resnets.layers.filter_response_norm import FilterResponseNorm, ThresholdedLinearUnit
from keras_resnets.layers.filterbank import MFCC, KaldiFbank, LogMelSpectrogram, front_end
from keras_resnets.layers.frame_mask import FrameMask
from keras_resnets.layers.group_conv import (
    ChannelShuffle,
    GroupConv1D,
    GroupConv2D,
    GroupConv3D,
)
from keras_resnets.layers.group_norm import GroupNorm
from keras_resnets.layers.margin import AdditiveAngularMargin, AdditiveMargin
from keras_resnets.layers.masked_batch_norm import MaskedBatchNormalization
from keras_resnets.layers.masked_conv import MaskedConv1D, MaskedConv2D
from keras_resnets.layers.pooling import AttentiveStatisticsPooling, StatisticsPooling
from keras_resnets.layers.pooling_2d import (
    AdaptiveMeanPooling2D,
    BlurPool2D,
    PaddedMaxPooling2D,
    PadShortcut2D,
)
from keras_resnets.layers.projection_head import ProjectionHead
from keras_resnets.layers.prototypes import Prototypes
from keras_resnets.layers.res2net import Res2Conv1D, SERes2Block1D
from keras_resnets.layers.selective_kernel import (
    SelectiveKernelConv2D,
    SplitSelectiveKernelConv2D,
)
from keras_resnets.layers.spec_augment import SpecAugment
from keras_resnets.layers.squeeze_excite import SqueezeExcite1D
from keras_resnets.layers.stacked_blocks import StackedBlocks
from keras_resnets.layers.standardized_conv import StandardizedConv2D
from keras_resnets.layers.stochastic_depth import DropBlock2D, StochasticDepth
from keras_resnets.layers.window_padding import WindowPadding2D
from keras_resnets.layers.zero_empty import ZeroEmptyRows

__all__ = [
    "MFCC",
    "AdaptiveMeanPooling2D",
    "AdditiveAngularMargin",
    "AdditiveMargin",
    "AttentiveStatisticsPooling",
    "BatchNorm2D",
    "BlurPool2D",
    "CepstralMeanNormalization",
    "ChannelShuffle",
    "DropBlock2D",
    "EvoNormB0",
    "EvoNormB1",
    "EvoNormB2",
    "EvoNormS0",
    "EvoNormS1",
    "EvoNormS2",
    "FilterResponseNorm",
    "FrameMask",
    "GroupConv1D",
    "GroupConv2D",
    "GroupConv3D",
    "GroupNorm",
    "KaldiFbank",
    "LogMelSpectrogram",
    "MaskedBatchNormalization",
    "MaskedConv1D",
    "MaskedConv2D",
    "PadShortcut2D",
    "PaddedMaxPooling2D",
    "ProjectionHead",
    "Prototypes",
    "Res2Conv1D",
    "SERes2Block1D",
    "SelectiveKernelConv2D",
    "SpecAugment",
    "SplitSelectiveKernelConv2D",
    "SqueezeExcite1D",
    "StackedBlocks",
    "StandardizedConv2D",
    "StatisticsPooling",
    "StochasticDepth",
    "ThresholdedLinearUnit",
    "WindowPadding2D",
    "ZeroEmptyRows",
    "evonorm",
    "front_end",
]
