"""EvoNorm: normalisation and activation in one, found by evolution.

Reference: Liu et al., "Evolving Normalization-Activation Layers", NeurIPS 2020 (arXiv 2004.02967).
"""

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
    unbroadcast,
)

# What is applied to every number. The factors come in float32 and their gradients leave in it.


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
        d = ops.maximum(m, right)
        z, k = x / d, a / d
        dz = dy * z
        e = dz * k  # what reaches the denominator, but for the sign; at a tie it is the left side's
        e_right = e * ops.cast(right > m, e.dtype)
        return (
            dy * k - p * e_right,
            unbroadcast(e_right - e, left),
            -unbroadcast(e_right * x, slope),
            -unbroadcast(e_right, intercept),
            unbroadcast(dz, scale),
            unbroadcast(dy, offset),
        )

    return x / ops.maximum(m, p * x + q) * a + b, gradient


class _EvoNorm(keras.layers.Layer):
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


class _BatchEvoNorm(_EvoNorm):
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


class _SampleEvoNorm(_EvoNorm):
    """The S series: the deviation of a group of channels of one example."""

    def _prepare(self, positions):
        groups = self.groups
        if self.group_size is not None:
            groups = self.channels / self.group_size
        if self.channels % groups and (self.strict_groups or self.group_size is not None):
            name = "groups" if self.group_size is None else "group_size"
            divisors = [d for d in range(1, self.channels + 1) if self.channels % d == 0]
            raise ValueError(
                f"`{name}` must divide the {self.channels} channels: one of {divisors}. "
                f"Received: {name}={getattr(self, name)}"
            )
        self.effective_groups = largest_divisor(self.channels, int(groups))
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


@keras.saving.register_keras_serializable("keras_resnets")
class EvoNormB0(_BatchEvoNorm):
    """EvoNorm-B0: `x / max(sqrt(batch_var), v * x + sqrt(instance_var)) * gamma + beta`.

    `batch_var` is a channel's variance over batch and positions (at inference a moving average),
    `instance_var` that over one example's positions. `trainable = False` means the moving average.

    Args:
        axis: Of the channels, -1 or 1.
        groups: S series: groups of adjacent channels, lowered to the next divisor of the channels.
        group_size: S series: channels in a group, instead of `groups`.
        epsilon: Added to every variance.
        momentum: B series: of the moving variance.
        apply_act: False: only `x * gamma + beta`, as where the paper's networks have no activation.
        always_normalize: S series: with `apply_act=False`, still divide by the deviation.
        synchronized: B series: the batch is that of all replicas.
        moving_variance: B series: `"biased"`, or `"unbiased"` as PyTorch's layers record it.
        strict_groups: S series: raise if `groups` does not divide the channels.
        beta_initializer, gamma_initializer: Of the parameters.
        **kwargs: As `keras.layers.Layer`.

    Call arguments:
        inputs: `(B, ..., C)` or `(B, C, ...)`, of any rank from 3.
        training: Whether the batch variance is the batch's own, and recorded.

    Returns:
        As `inputs`.

    Raises:
        ValueError: Groups that do not divide the channels, or that hold one number; a mask.

    Example:

    >>> x = np.array([[[[1.0]], [[3.0]]]], "float32")
    >>> np.round(np.ravel(EvoNormB0()(x, training=True)), 3)
    array([0.5 , 0.75], dtype=float32)

    Reference:
        Liu et al., "Evolving Normalization-Activation Layers", NeurIPS 2020 (arXiv 2004.02967).
    """

    has_v = True

    def _bound(self, left, gamma, mean, variance):
        return left, self._broadcast(self.v), ops.sqrt(variance + self.epsilon), gamma


@keras.saving.register_keras_serializable("keras_resnets")
class EvoNormB1(_BatchEvoNorm):
    """EvoNorm-B1: `x / max(sqrt(batch_var), (x + 1) * instance_rms) * gamma + beta`.

    Args:
        **kwargs: As `EvoNormB0`.

    Example:

    >>> x = np.array([[[[1.0]], [[3.0]]]], "float32")
    >>> np.round(np.ravel(EvoNormB1()(x, training=True)), 3)
    array([0.224, 0.335], dtype=float32)
    """

    def _bound(self, left, gamma, mean, variance):
        # Both sides over the root mean square, as (x + 1) * rms overflows in half precision.
        rms = ops.sqrt(variance + ops.square(mean) + self.epsilon)
        return left / rms, self._constant(1), self._constant(1), gamma / rms


@keras.saving.register_keras_serializable("keras_resnets")
class EvoNormB2(_BatchEvoNorm):
    """EvoNorm-B2: `x / max(sqrt(batch_var), instance_rms - x) * gamma + beta`.

    Args:
        **kwargs: As `EvoNormB0`.

    Example:

    >>> x = np.array([[[[1.0]], [[3.0]]]], "float32")
    >>> np.round(np.ravel(EvoNormB2()(x, training=True)), 3)
    array([0.809, 3.   ], dtype=float32)
    """

    def _bound(self, left, gamma, mean, variance):
        rms = ops.sqrt(variance + ops.square(mean) + self.epsilon)
        return left, self._constant(-1), rms, gamma


@keras.saving.register_keras_serializable("keras_resnets")
class EvoNormS0(_SampleEvoNorm):
    """EvoNorm-S0: `x * sigmoid(v * x) / sqrt(group_var) * gamma + beta`.

    `group_var` is the variance of one example over positions and a group of channels, so that
    training and inference are the same, and the batch may be one example.

    Args:
        **kwargs: As `EvoNormB0`.

    Example:

    >>> x = np.array([[[[1.0]], [[3.0]]]], "float32")
    >>> np.round(np.ravel(EvoNormS0()(x)), 3)
    array([0.731, 2.858], dtype=float32)
    """

    has_v = True


@keras.saving.register_keras_serializable("keras_resnets")
class EvoNormS1(_SampleEvoNorm):
    """EvoNorm-S1: `x * sigmoid(x) / sqrt(group_var) * gamma + beta`.

    Args:
        **kwargs: As `EvoNormB0`.

    Example:

    >>> x = np.array([[[[1.0]], [[3.0]]]], "float32")
    >>> np.round(np.ravel(EvoNormS1()(x)), 3)
    array([0.731, 2.858], dtype=float32)
    """


@keras.saving.register_keras_serializable("keras_resnets")
class EvoNormS2(_SampleEvoNorm):
    """EvoNorm-S2: `x * sigmoid(x) / group_rms * gamma + beta`.

    Args:
        **kwargs: As `EvoNormB0`.

    Example:

    >>> x = np.array([[[[1.0]], [[3.0]]]], "float32")
    >>> np.round(np.ravel(EvoNormS2()(x)), 3)
    array([0.327, 1.278], dtype=float32)
    """

    def _power(self, mean, variance):
        return variance + ops.square(mean)


EVONORMS = {
    "b0": EvoNormB0,
    "b1": EvoNormB1,
    "b2": EvoNormB2,
    "s0": EvoNormS0,
    "s1": EvoNormS1,
    "s2": EvoNormS2,
}


def evonorm(name, /, **kwargs):
    """A layer of the family by its name.

    Args:
        name: `"b0"`, `"b1"`, `"b2"`, `"s0"`, `"s1"`, `"s2"`, or with timm's variants that normalise
            even without the activation, `"s0a"`, `"s1a"`, `"s2a"` (epsilon 1e-3); `"evonorm_"` may
            stand before.
        **kwargs: As the layer's.

    Returns:
        The layer.

    Raises:
        ValueError: Unknown `name`.

    Example:

    >>> layer = evonorm("s0a", groups=16)
    >>> type(layer).__name__, layer.epsilon, layer.groups
    ('EvoNormS0', 0.001, 16)
    """
    key = str(name).lower().removeprefix("evonorm_")
    if key in ("s0a", "s1a", "s2a"):
        kwargs = {"always_normalize": True, "epsilon": 1e-3, **kwargs}
    elif key not in EVONORMS:
        allowed = [*EVONORMS, "s0a", "s1a", "s2a"]
        raise ValueError(f"`name` must be one of {allowed}. Received: name={name!r}")
    return EVONORMS[key[:2]](**kwargs)
