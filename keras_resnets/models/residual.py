"""The parts of a residual network: stem, block, stage."""

import dataclasses
import math

import keras

from keras_resnets.layers import (
    BlurPool2D,
    DropBlock2D,
    PaddedMaxPooling2D,
    PadShortcut2D,
    SelectiveKernelConv2D,
    SplitSelectiveKernelConv2D,
    StackedBlocks,
    StochasticDepth,
)
from keras_resnets.models.conv_norm_act import ConvNormAct, channel_axis, fresh, groups_of

RUN = 32
EXPANSION = {"basic": 1, "bottleneck": 4}
STEMS = ("7x7", "deep", "cifar", "none")
STEM_POOLS = ("max", "max_zero", "max_ceil", "max_same", "conv", "none")
SHORTCUTS = ("conv", "avg", "avg_always", "pad", "maxpool_identity")
SELECTIVE = ("sk", "sk_whole", "sk_simclr")
ATTENTIONS = (None, "se", "eca", *SELECTIVE)


@dataclasses.dataclass(frozen=True)
class Residual:
    """What the blocks of a network share; `resnet` documents each."""

    unit: ConvNormAct
    block: str
    preactivation: bool
    stride_on: str
    shortcut: str
    shortcut_kernel: int
    shortcut_pad: str
    project_first: bool
    groups: int
    base_width: int
    group_size: int | None
    reduce_first: int
    attention: str | None
    se_ratio: float
    sk_ratio: float
    zero_init_residual: bool
    anti_alias: str | None
    dropout: float

    def __call__(self, x, planes, stride, dilations, drop_path, drop_block, first, name):
        """One block. `dilations`: of its first 3x3 convolution and of the shortcut and the rest."""
        out = planes * EXPANSION[self.block]
        unit, shortcut = self.unit, x
        if self.preactivation:
            x = unit.norm(x, name=f"{name}_norm1")
        project = (
            stride > 1 or shortcut.shape[channel_axis()] != out or dilations[0] != dilations[1]
        )
        if project or (first and self.project_first):
            source = shortcut if self.shortcut == "maxpool_identity" and not first else x
            shortcut = self.project(source, out, stride, dilations, first, f"{name}_shortcut")
        branch = self.bottleneck if self.block == "bottleneck" else self.basic
        x = branch(x, planes, out, stride, dilations, drop_block, name)
        if self.attention == "se":
            hidden = max(8, int(out * self.se_ratio + 4) // 8 * 8)
            x = squeeze_excite(x, hidden, name=f"{name}_se")
        elif self.attention == "eca":
            x = efficient_channel_attention(x, name=f"{name}_eca")
        if drop_path:
            x = StochasticDepth(drop_path, name=f"{name}_drop_path")(x)
        x = keras.layers.Add(name=f"{name}_add")([x, shortcut])
        return x if self.preactivation else unit.act(x, name=f"{name}_out")

    def bottleneck(self, x, planes, out, stride, dilations, drop_block, name):
        width = int(planes * self.base_width / 64) * self.groups
        at_first = stride if self.stride_on == "1x1" else 1
        x = self.conv(x, width // self.reduce_first, 1, at_first, 1, name=name)
        stride //= at_first
        if self.attention in SELECTIVE:
            x = self.selective_kernel(x, width, stride, f"{name}_sk")
        else:
            blur = self.anti_alias and stride > 1
            x = self.conv(x, width, 3, 1 if blur else stride, 2, dilations[0], name=name)
            if drop_block:
                x = DropBlock2D(*drop_block, name=f"{name}_drop_block")(x)
            if blur:
                x = BlurPool2D(stride, name=f"{name}_blur")(x)
        return self.conv(x, out, 1, 1, 3, last=True, name=name)

    def basic(self, x, planes, out, stride, dilations, drop_block, name):
        blur = self.anti_alias and stride > 1
        width = planes // self.reduce_first
        x = self.conv(x, width, 3, 1 if blur else stride, 1, dilations[0], name=name)
        if drop_block:
            x = DropBlock2D(*drop_block, name=f"{name}_drop_block")(x)
        if blur:
            x = BlurPool2D(stride, name=f"{name}_blur")(x)
        if self.dropout:
            x = keras.layers.Dropout(self.dropout, name=f"{name}_dropout")(x)
        return self.conv(x, out, 3, 1, 2, dilations[1], last=True, name=name)

    def conv(self, x, filters, size, stride, k, dilation=1, last=False, *, name):
        """The k-th convolution, with the norm and activation behind it (v1) or the next's (v2)."""
        settings = dict(dilation=dilation, name=f"{name}_conv{k}")
        if self.block == "bottleneck" and size == 3:
            settings |= dict(groups=self.groups, group_size=self.group_size)
        if not self.preactivation:
            zero = last and self.zero_init_residual
            return self.unit(x, filters, size, stride, not last, zero, **settings)
        x = self.unit.conv(x, filters, size, stride, normalized=not last, **settings)
        return x if last else self.unit.norm(x, name=f"{name}_norm{k + 1}")

    def selective_kernel(self, x, filters, stride, name):
        unit = self.unit
        settings = dict(ratio=self.sk_ratio, epsilon=unit.epsilon, momentum=unit.momentum)
        settings |= dict(synchronized=unit.synchronized, kernel_initializer=unit.kernel_initializer)
        if self.attention == "sk_simclr":
            return SelectiveKernelConv2D(filters, stride, **settings, name=name)(x)
        groups = self.groups
        if self.group_size is not None:
            groups = groups_of(filters, self.group_size, groups)
        if self.attention == "sk_whole":
            settings |= dict(split=False, minimum=32)
        kind = SplitSelectiveKernelConv2D
        return kind(filters, stride, groups=groups, **settings, name=name)(x)

    def project(self, x, out, stride, dilations, first, name):
        """The shortcut where the shape changes."""
        if self.shortcut == "pad":
            return PadShortcut2D(out, stride, self.shortcut_pad, name=f"{name}_pad")(x)
        if self.shortcut == "maxpool_identity" and not first:
            return keras.layers.MaxPooling2D(1, stride, name=f"{name}_pool")(x)
        if self.anti_alias and stride > 1:
            x, stride = BlurPool2D(stride, name=f"{name}_blur")(x), 1
        conv = f"{name}_conv"
        if self.shortcut.startswith("avg"):
            conv = f"{name}_avg_conv"
            if self.shortcut == "avg_always":
                if stride > 1:
                    x = keras.layers.ZeroPadding2D(((0, 1), (0, 1)), name=f"{name}_pad")(x)
                padding = "valid" if stride > 1 else "same"
                x = keras.layers.AveragePooling2D(2, stride, padding, name=f"{name}_pool")(x)
            elif stride > 1 or dilations[1] > 1:
                x = keras.layers.AveragePooling2D(2, stride, "same", name=f"{name}_pool")(x)
            stride = 1
        size = 1 if stride == dilations[1] == 1 else self.shortcut_kernel
        if self.preactivation:
            return self.unit.conv(x, out, size, stride, name=conv)
        return self.unit(x, out, size, stride, act=False, name=conv)

    def stage(self, x, depth, planes, stride, dilations, drop_paths, drop_block, form, name):
        """Blocks of one width. The first strides, or the last one where `stride_on` says so.

        Args:
            form: `"flat"`; `"nested"`, every run of `RUN` blocks as a model of its own; `"scan"`,
                the blocks between those of another shape as a loop.
        """
        at = depth - 1 if self.stride_on == "last" else 0

        def run(x, start, stop):
            for i in range(start, stop):
                step = stride if i == at else 1
                dilated = dilations if i == 0 else (dilations[1],) * 2
                block = f"{name}_block{i + 1}"
                x = self(x, planes, step, dilated, drop_paths[i], drop_block, i == 0, block)
            return x

        def model(x, start, stop, name=None):
            inputs = keras.Input(x.shape[1:])
            return keras.Model(inputs, run(inputs, start, stop), name=name)

        alike = range(1, depth - 1 if stride > 1 and at else depth)
        if form == "scan" and len(alike) > 1:
            x = run(x, 0, 1)
            stacked = f"{name}_blocks{alike.start + 1}_{alike.stop}"
            x = StackedBlocks(model(x, 1, 2), len(alike), name=stacked)(x)
            return run(x, alike.stop, depth)
        if form != "nested":
            return run(x, 0, depth)
        for start in range(0, depth, RUN):
            stop = min(start + RUN, depth)
            x = model(x, start, stop, f"{name}_blocks{start + 1}_{stop}")(x)
        return x


def stem(unit, x, kind, width, pool, anti_alias, preactivation):
    """The convolutions and the pooling before the first stage, which divide the sides by 4.

    With pre-activation the last norm and activation are left to the blocks.
    """
    conv = unit.conv if preactivation else unit
    if kind == "7x7":
        x = conv(x, width, 7, 2, name="stem_conv")
    elif kind == "cifar":
        x = conv(x, width, 3, name="stem_conv")
    elif kind == "deep":
        first, second, third = width
        x = unit(x, first, 3, 2, name="stem_conv1")
        x = unit(x, second, 3, name="stem_conv2")
        x = conv(x, third, 3, name="stem_conv3")
    if kind in ("cifar", "none") or pool == "none":
        return x
    if pool == "conv":
        return unit(x, x.shape[channel_axis()], 3, 2, name="stem_pool_conv")
    if anti_alias:
        x = keras.layers.MaxPooling2D(3, 1, "same", name="stem_pool")(x)
        return BlurPool2D(2, name="stem_blur")(x)
    if pool == "max_same":
        return keras.layers.MaxPooling2D(3, 2, "same", name="stem_pool")(x)
    padding = (0, 1) if pool == "max_ceil" else (1, 1)
    value = 0.0 if pool == "max_zero" else -math.inf
    return PaddedMaxPooling2D(3, 2, padding, value, name="stem_pool")(x)


def squeeze_excite(
    x, hidden, activation="relu", gating="sigmoid", kernel_initializer="glorot_uniform", *, name
):
    """Scales the channels by a gate read from `hidden` features of their means."""

    def conv(x, filters, function, name):
        init = fresh(kernel_initializer)
        layer = keras.layers.Conv2D
        return layer(filters, 1, activation=function, kernel_initializer=init, name=name)(x)

    gate = keras.layers.GlobalAveragePooling2D(keepdims=True, name=f"{name}_mean")(x)
    gate = conv(gate, hidden, activation, f"{name}_fc1")
    gate = conv(gate, x.shape[channel_axis()], gating, f"{name}_fc2")
    return keras.layers.Multiply(name=f"{name}_scale")([x, gate])


def efficient_channel_attention(x, *, name):
    """Scales the channels by a gate that sees a few neighbouring channels' means."""
    axis = channel_axis()
    channels = x.shape[axis]
    size = int(abs(math.log2(channels) / 2 + 0.5))
    size += 1 - size % 2
    shape = (1, 1, channels) if axis == -1 else (channels, 1, 1)
    gate = keras.layers.GlobalAveragePooling2D(name=f"{name}_mean")(x)
    gate = keras.layers.Reshape((channels, 1), name=f"{name}_line")(gate)
    gate = keras.layers.Conv1D(
        1,
        size,
        padding="same",
        use_bias=False,
        activation="sigmoid",
        data_format="channels_last",
        name=f"{name}_conv",
    )(gate)
    gate = keras.layers.Reshape(shape, name=f"{name}_gate")(gate)
    return keras.layers.Multiply(name=f"{name}_scale")([x, gate])
