import keras
from keras import ops

from keras_resnets.layers.masked_batch_norm import MaskedBatchNormalization
from keras_resnets.layers.masking import (
    apply_mask,
    masked_exp,
    masked_moments,
)

FLOORS = ("clamp", "add")


def _std(variance, epsilon, floor):
    """`sqrt(max(variance, epsilon))` ("clamp") or `sqrt(variance + epsilon)` ("add")."""
    if floor == "clamp":
        return ops.sqrt(ops.maximum(variance, ops.cast(epsilon, variance.dtype)))
    return ops.sqrt(variance + ops.cast(epsilon, variance.dtype))


def _check_floor(name, floor):
    if floor not in FLOORS:
        raise ValueError(f"`{name}` must be one of {FLOORS}. Received: {name}={floor!r}")


@keras.saving.register_keras_serializable("keras_resnets")
class StatisticsPooling(keras.layers.Layer):
    """Mean and standard deviation over time, in float32.

    Args:
        std: Whether the standard deviations follow the means.
        ddof: 0 for the biased, 1 for the unbiased variance (one frame: 0).
        epsilon: Floor of the variance.
        floor: `"clamp"`: `sqrt(max(var, epsilon))`; `"add"`: `sqrt(var + epsilon)`.
        **kwargs: As `keras.layers.Layer`.

    Call arguments:
        inputs: `(B, T, C)`.
        mask: `(B, T)` boolean, True at valid frames; optional.

    Returns:
        `(B, 2 C)`: the means, then the standard deviations; `(B, C)` with `std=False`.

    Raises:
        ValueError: Unknown `floor`.

    Example:

    >>> x = np.array([[[1.0], [3.0], [99.0]]], "float32")
    >>> np.array(StatisticsPooling()(x, mask=np.array([[True, True, False]])))
    array([[2., 1.]], dtype=float32)

    Reference:
        Snyder et al., Deep Neural Network Embeddings for Text-Independent Speaker Verification,
        Interspeech 2017, section 3.2.
    """

    def __init__(self, std=True, ddof=0, epsilon=1e-5, floor="clamp", **kwargs):
        super().__init__(**kwargs)
        _check_floor("floor", floor)
        self.std = std
        self.ddof = ddof
        self.epsilon = epsilon
        self.floor = floor
        self.supports_masking = True

    def call(self, inputs, mask=None):
        mean, variance = masked_moments(ops.cast(inputs, "float32"), mask, self.ddof)
        pooled = mean
        if self.std:
            pooled = ops.concatenate([mean, _std(variance, self.epsilon, self.floor)], axis=-1)
        return ops.cast(ops.squeeze(pooled, 1), self.compute_dtype)

    def compute_mask(self, inputs, mask=None):
        return None

    def compute_output_shape(self, input_shape):
        return (input_shape[0], (1 + self.std) * input_shape[-1])

    def get_config(self):
        return {
            **super().get_config(),
            "std": self.std,
            "ddof": self.ddof,
            "epsilon": self.epsilon,
            "floor": self.floor,
        }


@keras.saving.register_keras_serializable("keras_resnets")
class AttentiveStatisticsPooling(keras.layers.Layer):
    """Channel- and context-dependent attentive statistics pooling.

    Every frame `h_t`, together with the mean and standard deviation of all frames, gives one logit
    a channel; the softmax over time of these logits weighs the mean and the standard deviation:

    `e_t = W2 f(W1 [h_t; mu; sd] + b1) + b2`, `a = softmax_t(e)`,
    `mean = sum_t a_t h_t`, `std = sqrt(sum_t a_t (h_t - mean)^2)`.

    `W1` is kept split in the part of the frame and the part of the context, which is computed once
    an utterance: nothing of size `(B, T, 3 C)` is made.

    Args:
        attention_channels: Width of the hidden layer.
        context: Whether the mean and standard deviation of the utterance are seen.
        hidden: `f`: `"tanh"` (the paper), or `"relu_bn_tanh"` (SpeechBrain, TaoRuijie).
        context_ddof: 0 for a biased, 1 for an unbiased context variance.
        context_epsilon: Floor of the context variance.
        context_floor: `"clamp"`: `sqrt(max(var, eps))`; `"add"`: `sqrt(var + eps)`.
        epsilon: Floor of the pooled variance (clamped).
        **kwargs: As `keras.layers.Layer`.

    Call arguments:
        inputs: `(B, T, C)`.
        mask: `(B, T)` boolean, True at valid frames; others get weight 0. Optional.
        training: Used by the BatchNormalization of `hidden="relu_bn_tanh"`.

    Returns:
        `(B, 2 C)`: the weighted means, then the weighted standard deviations.

    Raises:
        ValueError: Unknown `hidden` or `context_floor`.

    Example:

    >>> AttentiveStatisticsPooling(4)(np.ones((2, 10, 8), "float32")).shape
    TensorShape([2, 16])

    Reference:
        Desplanques et al. 2020 (arXiv 2005.07143), section 3.1, equations 1 and 2; Okabe et al.,
        Attentive Statistics Pooling, Interspeech 2018.
    """

    def __init__(
        self,
        attention_channels=128,
        context=True,
        hidden="tanh",
        context_ddof=0,
        context_epsilon=1e-5,
        context_floor="clamp",
        epsilon=1e-5,
        **kwargs,
    ):
        super().__init__(**kwargs)
        if hidden not in ("tanh", "relu_bn_tanh"):
            raise ValueError(
                f'`hidden` must be "tanh" or "relu_bn_tanh". Received: hidden={hidden!r}'
            )
        _check_floor("context_floor", context_floor)
        self.attention_channels = attention_channels
        self.context = context
        self.hidden = hidden
        self.context_ddof = context_ddof
        self.context_epsilon = context_epsilon
        self.context_floor = context_floor
        self.epsilon = epsilon
        self.supports_masking = True

    def build(self, input_shape):
        channels, policy = input_shape[-1], self.dtype_policy
        width = self.attention_channels
        dense = keras.layers.Dense
        self.attention_frames = dense(
            width, use_bias=not self.context, dtype=policy, name="attention_frames"
        )
        self.attention_frames.build((None, None, channels))
        if self.context:
            self.attention_context = dense(width, dtype=policy, name="attention_context")
            self.attention_context.build((None, 1, 2 * channels))
        self.attention_bn = None
        if self.hidden == "relu_bn_tanh":
            self.attention_bn = MaskedBatchNormalization(dtype=policy, name="attention_bn")
            self.attention_bn.build((None, None, width))
        self.attention_out = dense(channels, dtype=policy, name="attention_out")
        self.attention_out.build((None, None, width))

    def call(self, inputs, mask=None, training=None):
        frames = ops.cast(inputs, "float32")
        hidden = self.attention_frames(inputs)
        if self.context:
            mean, variance = masked_moments(frames, mask, self.context_ddof)
            std = _std(variance, self.context_epsilon, self.context_floor)
            context = ops.concatenate([mean, std], axis=-1)
            hidden = hidden + self.attention_context(ops.cast(context, inputs.dtype))
        if self.attention_bn is not None:
            hidden = self.attention_bn(ops.relu(hidden), mask=mask, training=training)
        logits = self.attention_out(ops.tanh(hidden))
        return ops.cast(self.pool(frames, logits, mask), self.compute_dtype)

    def pool(self, frames, logits, mask=None):
        """Statistics of `frames` `(B, T, C)` weighted by the softmax of `logits` over time."""
        weights, total = masked_exp(ops.cast(logits, "float32"), mask)
        frames = apply_mask(frames, mask)
        mean = ops.sum(weights * frames, axis=1, keepdims=True) / total
        variance = ops.sum(weights * ops.square(frames - mean), axis=1, keepdims=True) / total
        pooled = ops.concatenate([mean, _std(variance, self.epsilon, "clamp")], axis=-1)
        return ops.squeeze(pooled, 1)

    def compute_mask(self, inputs, mask=None):
        return None

    def compute_output_shape(self, input_shape):
        return (input_shape[0], 2 * input_shape[-1])

    def get_config(self):
        return {
            **super().get_config(),
            "attention_channels": self.attention_channels,
            "context": self.context,
            "hidden": self.hidden,
            "context_ddof": self.context_ddof,
            "context_epsilon": self.context_epsilon,
            "context_floor": self.context_floor,
            "epsilon": self.epsilon,
        }
