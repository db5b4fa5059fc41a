import keras
from keras import ops

from keras_resnets.layers.masked_batch_norm import MaskedBatchNormalization
from keras_resnets.layers.masked_conv import MaskedConv1D
from keras_resnets.layers.squeeze_excite import SqueezeExcite1D


@keras.saving.register_keras_serializable("keras_resnets")
class Res2Conv1D(keras.layers.Layer):
    """Res2Net convolution: groups of channels convolved one after the other, each with the sum of
    its input and the last group's output.

    `z_1 = K_1(y_1)`, `z_i = K_i(y_i + z_{i-1})`, one group passes through; `K_i` is convolution,
    ReLU, BatchNormalization.

    Args:
        kernel_size: Window of every convolution in frames.
        dilation_rate: Spacing of the window.
        scale: Number of groups; must divide the channels.
        pass_through: Which group is not convolved: `"last"` (the paper) or `"first"` (SpeechBrain).
        padding: `"same"` (zeros) or `"reflect"`.
        **kwargs: As `keras.layers.Layer`.

    Call arguments:
        inputs: `(B, T, C)`.
        mask: `(B, T)` boolean, True at valid frames; optional.
        training: Whether BatchNormalization uses the batch's own statistics.

    Returns:
        `(B, T, C)`.

    Raises:
        ValueError: `scale` below 2 or not a divisor of the channels, unknown `pass_through`.

    Example:

    >>> Res2Conv1D(dilation_rate=2)(np.ones((2, 10, 16), "float32")).shape
    TensorShape([2, 10, 16])

    Reference:
        Gao et al., Res2Net, TPAMI 2021, equation 1; Desplanques et al. 2020 (arXiv 2005.07143),
        section 3.2.
    """

    def __init__(
        self,
        kernel_size=3,
        dilation_rate=1,
        scale=8,
        pass_through="last",
        padding="same",
        **kwargs,
    ):
        super().__init__(**kwargs)
        check_scale(scale)
        if pass_through not in ("first", "last"):
            raise ValueError(
                f'`pass_through` must be "first" or "last". Received: pass_through={pass_through!r}'
            )
        self.kernel_size = kernel_size
        self.dilation_rate = dilation_rate
        self.scale = scale
        self.pass_through = pass_through
        self.padding = padding
        self.supports_masking = True

    def build(self, input_shape):
        channels = input_shape[-1]
        check_scale(self.scale, channels)
        width = channels // self.scale
        self.convs, self.bns = [], []
        for i in range(1, self.scale):
            conv = MaskedConv1D(
                width,
                self.kernel_size,
                dilation_rate=self.dilation_rate,
                padding=self.padding,
                activation="relu",
                kernel_initializer="he_uniform",
                dtype=self.dtype_policy,
                name=f"conv{i}",
            )
            bn = MaskedBatchNormalization(dtype=self.dtype_policy, name=f"bn{i}")
            for layer in (conv, bn):
                layer.build((None, None, width))
            self.convs.append(conv)
            self.bns.append(bn)

    def call(self, inputs, mask=None, training=None):
        groups = ops.split(inputs, self.scale, axis=-1)
        kept = groups.pop(0 if self.pass_through == "first" else -1)
        outputs = []
        for group, conv, bn in zip(groups, self.convs, self.bns, strict=True):
            y = group + outputs[-1] if outputs else group
            outputs.append(bn(conv(y, mask=mask), mask=mask, training=training))
        outputs = [kept, *outputs] if self.pass_through == "first" else [*outputs, kept]
        return ops.concatenate(outputs, axis=-1)

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {
            **super().get_config(),
            "kernel_size": self.kernel_size,
            "dilation_rate": self.dilation_rate,
            "scale": self.scale,
            "pass_through": self.pass_through,
            "padding": self.padding,
        }


@keras.saving.register_keras_serializable("keras_resnets")
class SERes2Block1D(keras.layers.Layer):
    """SE-Res2Block of ECAPA-TDNN: 1x1 convolution, Res2 convolution, 1x1 convolution,
    squeeze-and-excitation, shortcut. Convolutions are followed by ReLU and then normalisation.

    Args:
        filters: Output channels.
        kernel_size: Window of the Res2 convolutions in frames.
        dilation_rate: Spacing of the Res2 windows.
        scale: Number of Res2 groups; must divide `filters`.
        se_channels: Bottleneck of the squeeze-and-excitation.
        pass_through: `"last"` or `"first"`, see `Res2Conv1D`.
        padding: `"same"` or `"reflect"`, see `MaskedConv1D`.
        **kwargs: As `keras.layers.Layer`.

    Call arguments:
        inputs: `(B, T, C)`. Where `C` is not `filters`, a 1x1 convolution maps the shortcut.
        mask: `(B, T)` boolean, True at valid frames; optional.
        training: Whether BatchNormalization uses the batch's own statistics.

    Returns:
        `(B, T, filters)`.

    Raises:
        ValueError: `filters` not divisible by `scale`, unknown `pass_through`.

    Example:

    >>> SERes2Block1D(16, dilation_rate=2)(np.ones((2, 10, 16), "float32")).shape
    TensorShape([2, 10, 16])

    Reference:
        Desplanques et al. 2020 (arXiv 2005.07143), figure 1.
    """

    def __init__(
        self,
        filters,
        kernel_size=3,
        dilation_rate=1,
        scale=8,
        se_channels=128,
        pass_through="last",
        padding="same",
        **kwargs,
    ):
        super().__init__(**kwargs)
        check_scale(scale, filters)
        self.filters = filters
        self.kernel_size = kernel_size
        self.dilation_rate = dilation_rate
        self.scale = scale
        self.se_channels = se_channels
        self.pass_through = pass_through
        self.padding = padding
        self.supports_masking = True

    def build(self, input_shape):
        policy = self.dtype_policy

        def pointwise(name, activation=None):
            return MaskedConv1D(
                self.filters,
                1,
                activation=activation,
                kernel_initializer="he_uniform",
                dtype=policy,
                name=name,
            )

        def bn(name):
            return MaskedBatchNormalization(dtype=policy, name=name)

        self.conv1, self.bn1 = pointwise("conv1", "relu"), bn("bn1")
        self.res2 = Res2Conv1D(
            self.kernel_size,
            self.dilation_rate,
            self.scale,
            self.pass_through,
            self.padding,
            dtype=policy,
            name="res2",
        )
        self.conv2, self.bn2 = pointwise("conv2", "relu"), bn("bn2")
        self.se = SqueezeExcite1D(self.se_channels, dtype=policy, name="se")
        self.shortcut = None
        self.conv1.build(input_shape)
        inner = (*input_shape[:-1], self.filters)
        for layer in (self.bn1, self.res2, self.conv2, self.bn2, self.se):
            layer.build(inner)
        if input_shape[-1] != self.filters:
            self.shortcut = pointwise("shortcut")
            self.shortcut.build(input_shape)

    def call(self, inputs, mask=None, training=None):
        y = self.bn1(self.conv1(inputs), mask=mask, training=training)
        y = self.res2(y, mask=mask, training=training)
        y = self.bn2(self.conv2(y), mask=mask, training=training)
        y = self.se(y, mask=mask)
        return y + (inputs if self.shortcut is None else self.shortcut(inputs))

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], self.filters)

    def get_config(self):
        return {
            **super().get_config(),
            "filters": self.filters,
            "kernel_size": self.kernel_size,
            "dilation_rate": self.dilation_rate,
            "scale": self.scale,
            "se_channels": self.se_channels,
            "pass_through": self.pass_through,
            "padding": self.padding,
        }


def check_scale(scale, channels=0):
    if scale < 2:
        raise ValueError(f"`scale` must be at least 2. Received: scale={scale}")
    if channels % scale:
        raise ValueError(
            "The channels must be divisible by `scale`. "
            f"Received: channels={channels}, scale={scale}"
        )
