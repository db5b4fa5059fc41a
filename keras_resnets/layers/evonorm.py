"""EvoNorm: normalisation and activation in one, found by evolution.

Reference: Liu et al., "Evolving Normalization-Activation Layers", NeurIPS 2020 (arXiv 2004.02967).
"""

import keras
from keras import ops

from keras_resnets.layers.evonorm_base import BatchEvoNorm, SampleEvoNorm


@keras.saving.register_keras_serializable("keras_resnets")
class EvoNormB0(BatchEvoNorm):
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
class EvoNormB1(BatchEvoNorm):
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
class EvoNormB2(BatchEvoNorm):
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
class EvoNormS0(SampleEvoNorm):
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
class EvoNormS1(SampleEvoNorm):
    """EvoNorm-S1: `x * sigmoid(x) / sqrt(group_var) * gamma + beta`.

    Args:
        **kwargs: As `EvoNormB0`.

    Example:

    >>> x = np.array([[[[1.0]], [[3.0]]]], "float32")
    >>> np.round(np.ravel(EvoNormS1()(x)), 3)
    array([0.731, 2.858], dtype=float32)
    """


@keras.saving.register_keras_serializable("keras_resnets")
class EvoNormS2(SampleEvoNorm):
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
