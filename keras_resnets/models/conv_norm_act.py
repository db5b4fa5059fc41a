"""Convolution, normalisation, activation: the unit that every 2-D family is made of."""

import dataclasses
from collections.abc import Callable

import keras

from keras_resnets.initializers import KAIMING_FAN_OUT
from keras_resnets.layers import (
    BatchNorm2D,
    FilterResponseNorm,
    GroupConv2D,
    GroupNorm,
    StandardizedConv2D,
    ThresholdedLinearUnit,
    evonorm,
)

_KINDS = ("b0", "b1", "b2", "s0", "s1", "s2", "s0a", "s1a", "s2a")
EVONORMS = tuple(f"evonorm_{kind}" for kind in _KINDS)
NORMS = ("batch_norm", "group_norm", "frn", "none")


@dataclasses.dataclass(frozen=True)
class ConvNormAct:
    """Adds convolution, normalisation and activation to a functional graph.

    Padding is `k // 2` on both sides for every stride, as in torch: Keras' own `"same"` with stride
    2 shifts the maps by half a stride. An instance holds what a network's units share.

    Args:
        norm_act: normalisation and activation: `"batch_norm+relu"`, `"group_norm+silu"`,
            `"frn+tlu"`, `"none+relu"`, with `tlu`, any Keras activation or `none` after the plus;
            `"evonorm_s0"` ...,
            which is both in one; or `f(channels, apply_act, name, zero_init)` that returns a layer.
        epsilon: added to variances.
        momentum: of the moving statistics, in Keras' sense.
        synchronized: batch statistics over all replicas.
        use_bias: `True`, `False`, or `"unnormalized"`: where no normalisation follows.
        kernel_initializer: of convolutions.
        gamma_initializer: of normalisation scales that do not start at zero; `"uniform01"` is
            uniform on [0, 1).
        scale: whether batch normalisation has a scale.
        weight_standardization: whether kernels are standardised at each call.
    """

    norm_act: str | Callable = "batch_norm+relu"
    epsilon: float = 1e-5
    momentum: float = 0.9
    synchronized: bool = False
    use_bias: bool | str = False
    kernel_initializer: object = KAIMING_FAN_OUT
    gamma_initializer: object = "ones"
    scale: bool = True
    weight_standardization: bool = False

    def __post_init__(self):
        if not callable(self.norm_act) and self.norm_act not in EVONORMS:
            norm, plus, act = str(self.norm_act).partition("+")
            if norm not in NORMS or not plus:
                raise ValueError(
                    f"`norm_act` must be one of {EVONORMS}, or one of {NORMS} with '+' and an "
                    f"activation, as 'batch_norm+relu'. Received: norm_act={self.norm_act!r}"
                )
            self._activation(act)
        if self.use_bias not in (True, False, "unnormalized"):
            raise ValueError(
                '`use_bias` must be True, False or "unnormalized". '
                f"Received: use_bias={self.use_bias!r}"
            )

    def __call__(self, x, filters, size, stride=1, act=True, zero_init=False, *, name, **conv):
        """Convolution `name`, then its normalisation, named alike: "norm" for the last "conv"."""
        x = self.conv(x, filters, size, stride, normalized=True, name=name, **conv)
        return self.norm(x, act, zero_init, name=norm_name(name))

    def conv(
        self,
        x,
        filters,
        size,
        stride=1,
        *,
        groups=1,
        group_size=None,
        dilation=1,
        padding="same",
        normalized=False,
        name,
    ):
        """A convolution alone. `group_size` gives `channels / group_size` groups."""
        sizes = (size, size) if isinstance(size, int) else size
        if group_size is not None:
            groups = groups_of(x.shape[channel_axis()], group_size, groups)
        if padding == "same" and stride > 1:
            pads = [dilation * (k - 1) // 2 for k in sizes]
            if any(pads):
                x = keras.layers.ZeroPadding2D(pads, name=f"{name}_pad")(x)
            padding = "valid"
        bias = self.use_bias is True or (self.use_bias == "unnormalized" and not normalized)
        kind = keras.layers.Conv2D if groups == 1 else GroupConv2D
        kind = StandardizedConv2D if self.weight_standardization else kind
        return kind(
            filters,
            sizes,
            strides=stride,
            padding=padding,
            dilation_rate=dilation,
            groups=groups,
            use_bias=bias or (normalized and str(self.norm_act).startswith("none+")),
            kernel_initializer=fresh(self.kernel_initializer),
            name=name,
        )(x)

    def norm(self, x, act=True, zero_init=False, *, name):
        """Normalisation, and the activation if `act`; its scale starts at zero if `zero_init`."""
        axis = channel_axis()
        gamma = "zeros" if zero_init else fresh(self.gamma_initializer)
        if callable(self.norm_act):
            return self.norm_act(x.shape[axis], act, name, zero_init)(x)
        settings = dict(axis=axis, gamma_initializer=gamma, name=name)
        moving = dict(momentum=self.momentum, synchronized=self.synchronized)
        if self.norm_act in EVONORMS:
            if not self.norm_act.endswith("a"):  # timm's variants have an epsilon of their own
                settings["epsilon"] = self.epsilon
            return evonorm(self.norm_act, apply_act=act, **settings, **moving)(x)
        norm = self.norm_act.partition("+")[0]
        settings["epsilon"] = self.epsilon
        if norm == "batch_norm":
            x = BatchNorm2D(scale=self.scale, **settings, **moving)(x)
        elif norm == "group_norm":
            groups = largest_divisor(x.shape[axis], 32)
            x = GroupNorm(groups, **settings)(x)
        elif norm == "frn":
            x = FilterResponseNorm(**settings)(x)
        return self.act(x, name=f"{name}_act") if act else x

    def act(self, x, *, name):
        """The activation alone: relu where normalisation and activation are one layer."""
        plus = not callable(self.norm_act) and self.norm_act.partition("+")[2]
        if plus == "tlu":
            return ThresholdedLinearUnit(channel_axis(), name=name)(x)
        function = self._activation(plus or "relu")
        return x if function is None else keras.layers.Activation(function, name=name)(x)

    @staticmethod
    def _activation(name):
        return None if name in ("none", "tlu") else keras.activations.get(name)


def norm_name(conv):
    """The name of the normalisation behind a convolution: `conv2d_1a_conv`, `conv2d_1a_norm`."""
    return "norm".join(conv.rsplit("conv", 1))


def fresh(initializer):
    """The initializer with a seed of its own: one instance gives equal shapes equal numbers."""
    if initializer == "uniform01":
        return keras.initializers.RandomUniform(0.0, 1.0)
    if isinstance(initializer, keras.initializers.Initializer):
        return initializer.clone()
    return initializer


def channel_axis():
    """Axis of the channels: -1, or 1 where Keras is set to channels first."""
    return -1 if keras.config.image_data_format() == "channels_last" else 1


def largest_divisor(channels, limit):
    """The largest divisor of `channels` that is at most `limit`."""
    return max(d for d in range(1, min(limit, channels) + 1) if channels % d == 0)


def groups_of(channels, group_size, groups=1):
    """Number of groups of a convolution over `channels`; one where these are fewer than a group."""
    if groups != 1:
        raise ValueError(
            "Give `groups` or `group_size`, not both. "
            f"Received: groups={groups}, group_size={group_size}"
        )
    if group_size < 1 or (channels > group_size and channels % group_size):
        divisors = [d for d in range(1, channels + 1) if channels % d == 0]
        near = sorted(divisors, key=lambda d: abs(d - group_size))[:3]
        raise ValueError(
            f"`group_size` must divide the {channels} channels of every grouped convolution; the "
            f"nearest divisors are {sorted(near)}. Received: group_size={group_size}"
        )
    return max(1, channels // group_size)
