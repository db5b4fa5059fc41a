"""What the EvoNorm layers share: arguments, statistics, and what is applied to every number."""

import math
import warnings

import keras
from keras import ops

from keras_resnets.layers.moments import (
    affine,
    batch_moments,
    channel_moments,
    fast_gradient,
    group_moments,
    in_dtype_of,
    largest_divisor,
    moving_average,
    positions_summed,
    unbroadcast,
)

# The factors come in float32, and their gradients leave in it.


@fast_gradient
def gated(x, gate, scale, offset):
    """`x * sigmoid(gate * x) * scale + offset`: the S series."""
    v, a, b = in_dtype_of(x, gate, scale, offset)

    def gradient(dy):
        s = ops.sigmoid(v * x)
        t = dy * x * s
        k = t - t * s
        d_gate = unbroadcast(unbroadcast(k * x, scale) * scale, gate)
        return (dy * s + v * k) * a, d_gate, unbroadcast(t, scale), unbroadcast(dy, offset)

    return x * ops.sigmoid(v * x) * a + b, gradient


@fast_gradient
def bounded(x, left, slope, intercept, scale, offset):
    """`x / max(left, slope * x + intercept) * scale + offset`: the B series."""
    m, p, q, a, b = in_dtype_of(x, left, slope, intercept, scale, offset)

    def gradient(dy):
        right = p * x + q
        r = ops.reciprocal(ops.maximum(m, right))
        dx = dy * r
        dz = dx * x
        e = dz * r  # what reaches the denominator, but for sign and scale; at a tie the left side
        e_right = ops.where(right > m, e, 0)
        # every factor is the same at all positions: these are summed once
        e_all, e_own, e_slope = (positions_summed(s, scale) for s in (e, e_right, e_right * x))
        return (
            (dx - p * e_right) * a,
            unbroadcast(scale * (e_own - e_all), left),
            -unbroadcast(scale * e_slope, slope),
            -unbroadcast(scale * e_own, intercept),
            unbroadcast(dz, scale),
            unbroadcast(dy, offset),
        )

    return x / ops.maximum(m, p * x + q) * a + b, gradient


class EvoNorm(keras.layers.Layer):
    """What the two series share: arguments, parameters, and what is done without activation."""

    has_v = False

    def __init__(
        self,
        axis=-1,
        groups=32,
        group_size=None,
        epsilon=1e-5,
        momentum=0.9,
        apply_act=True,
        always_normalize=False,
        synchronized=False,
        moving_variance="biased",
        strict_groups=False,
        beta_initializer="zeros",
        gamma_initializer="ones",
        **kwargs,
    ):
        super().__init__(**kwargs)
        for name, value in {"groups": groups, "group_size": group_size}.items():
            if value is not None and not (isinstance(value, int) and value > 0):
                raise ValueError(f"`{name}` must be a positive integer. Received: {name}={value!r}")
        if moving_variance not in ("biased", "unbiased"):
            raise ValueError(
                '`moving_variance` must be "biased" or "unbiased". '
                f"Received: moving_variance={moving_variance!r}"
            )
        self.axis = axis
        self.groups = groups
        self.group_size = group_size
        self.epsilon = float(epsilon)
        self.momentum = float(momentum)
        self.apply_act = apply_act
        self.always_normalize = always_normalize
        self.synchronized = synchronized
        self.moving_variance_kind = moving_variance
        self.strict_groups = strict_groups
        self.beta_initializer = keras.initializers.get(beta_initializer)
        self.gamma_initializer = keras.initializers.get(gamma_initializer)

    @property
    def normalizes(self):
        return self.apply_act or self.always_normalize

    def build(self, input_shape):
        rank = len(input_shape)
        if rank < 3 or self.axis not in (1, -1, rank - 1) or input_shape[self.axis] is None:
            raise ValueError(
                "`inputs` must have at least 3 axes, channels on axis 1 or -1, and their number. "
                f"Received: inputs.shape={tuple(input_shape)}, axis={self.axis}"
            )
        self.channels = input_shape[self.axis]
        self.broadcast_shape = [1] * rank
        self.broadcast_shape[self.axis] = self.channels
        self.gamma = self._add_parameter("gamma", self.gamma_initializer)
        self.beta = self._add_parameter("beta", self.beta_initializer)
        if self.has_v and self.apply_act:
            self.v = self._add_parameter("v", "ones")
        if self.normalizes:
            sizes = [n for i, n in enumerate(input_shape) if i not in (0, self.axis % rank)]
            self._prepare(positions=None if None in sizes else math.prod(sizes))

    def _add_parameter(self, name, initializer, **kwargs):
        return self.add_weight(
            name=name, shape=(self.channels,), initializer=initializer, autocast=False, **kwargs
        )

    def call(self, inputs, training=None, mask=None):
        if mask is not None:
            raise ValueError(f"{type(self).__name__} takes no mask. Received: mask={mask}")
        gamma, beta = self._broadcast(self.gamma), self._broadcast(self.beta)
        function, factors = affine, (gamma,)
        if self.normalizes:
            moments = channel_moments(inputs, self.axis)
            function, factors = self._normalization(gamma, *moments, inputs, training)
        return function(inputs, *factors, beta)

    def _broadcast(self, parameter):
        return ops.reshape(parameter, self.broadcast_shape)

    def _constant(self, value):
        return ops.full([1] * len(self.broadcast_shape), value, self.variable_dtype)

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {
            **super().get_config(),
            "axis": self.axis,
            "groups": self.groups,
            "group_size": self.group_size,
            "epsilon": self.epsilon,
            "momentum": self.momentum,
            "apply_act": self.apply_act,
            "always_normalize": self.always_normalize,
            "synchronized": self.synchronized,
            "moving_variance": self.moving_variance_kind,
            "strict_groups": self.strict_groups,
            "beta_initializer": keras.initializers.serialize(self.beta_initializer),
            "gamma_initializer": keras.initializers.serialize(self.gamma_initializer),
        }


class BatchEvoNorm(EvoNorm):
    """The B series: the larger of a deviation over the batch and one over the example."""

    def _prepare(self, positions):
        if self.always_normalize:
            raise ValueError("`always_normalize` is for the S series.")
        if positions == 1:
            warnings.warn(f"{self.name!r} sees single positions: variance 0.", stacklevel=4)
        self.moving_variance = self._add_parameter(
            "moving_variance", "ones", trainable=False, aggregation="mean"
        )

    def _normalization(self, gamma, mean, variance, inputs, training):
        if training and self.trainable:
            _, batch_variance, examples = batch_moments(mean, variance, self.synchronized)
            positions = ops.size(inputs) / ops.maximum(ops.size(mean), 1)
            count = examples * ops.cast(positions, examples.dtype)
            recorded = batch_variance
            if self.moving_variance_kind == "unbiased":
                recorded = recorded * count / ops.maximum(count - 1, 1)
            self.moving_variance.assign(
                moving_average(self.moving_variance, recorded, self.momentum, count)
            )
        else:
            batch_variance = self._broadcast(self.moving_variance)
        left = ops.sqrt(batch_variance + self.epsilon)
        return bounded, self._bound(left, gamma, mean, variance)


class SampleEvoNorm(EvoNorm):
    """The S series: the deviation of a group of channels of one example."""

    def _prepare(self, positions):
        name = "groups" if self.group_size is None else "group_size"
        value = getattr(self, name)
        if self.channels % value and (self.strict_groups or name == "group_size"):
            divisors = [d for d in range(1, self.channels + 1) if self.channels % d == 0]
            raise ValueError(
                f"`{name}` must divide the {self.channels} channels: one of {divisors}. "
                f"Received: {name}={value}"
            )
        groups = value if name == "groups" else self.channels // value
        self.effective_groups = largest_divisor(self.channels, groups)
        if positions == 1 and self.effective_groups == self.channels:
            raise ValueError(
                "One channel at one position has no variance; use fewer groups. "
                f"Received: groups={self.effective_groups} for {self.channels} channels"
            )

    def _normalization(self, gamma, mean, variance, inputs, training):
        moments = group_moments(mean, variance, self.effective_groups)
        scale = gamma * ops.rsqrt(self._power(*moments) + self.epsilon)
        if not self.apply_act:
            return affine, (scale,)
        return gated, (self._broadcast(self.v) if self.has_v else self._constant(1), scale)

    def _power(self, mean, variance):
        return variance
