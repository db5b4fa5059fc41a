import math

import keras
import numpy as np
from keras import ops

from keras_resnets.layers.framing import concrete

TAILS = ("linear", "continuous")


def l2_normalize(x, axis=-1, epsilon=1e-12):
    """`x / |x|` along `axis`, finite in value and gradient at 0."""
    return x * ops.rsqrt(ops.maximum(ops.sum(ops.square(x), axis=axis, keepdims=True), epsilon))


class _MarginHead(keras.layers.Layer):
    """A cosine classifier whose target logit is made harder in training."""

    def __init__(self, classes, margin=0.2, scale=30.0, subcenters=1, **kwargs):
        super().__init__(autocast=False, **kwargs)
        for name, value in (("classes", classes), ("subcenters", subcenters)):
            if int(value) != value or value < 1:
                raise ValueError(f"`{name}` must be a positive integer. Received: {name}={value}")
        if not scale > 0:
            raise ValueError(f"`scale` must be positive. Received: scale={scale}")
        if not 0 <= margin < math.pi:
            raise ValueError(f"`margin` must be in [0, pi). Received: margin={margin}")
        self.classes = classes
        self.initial_margin = float(margin)
        self.scale = float(scale)
        self.subcenters = subcenters
        self.supports_masking = True

    def build(self, input_shape):
        self.kernel = self.add_weight(
            name="kernel",
            shape=(input_shape[-1], self.classes * self.subcenters),
            initializer="glorot_uniform",
            autocast=False,
        )
        self.margin = self.add_weight(
            name="margin",
            shape=(),
            initializer=keras.initializers.Constant(self.initial_margin),
            trainable=False,
            autocast=False,
        )

    @property
    def _margin(self):
        return ops.cast(self.margin, self.logits_dtype)

    @property
    def logits_dtype(self):
        """At least float32: float16 cannot tell the angles near 0 apart."""
        return keras.backend.result_type(self.variable_dtype, "float32")

    def cosines(self, inputs):
        """Cosine of each embedding `(B, D)` with each class `(B, classes)`."""
        # The gradient at a zero vector is scale / sqrt(epsilon), which float16 must hold.
        half = keras.backend.standardize_dtype(inputs.dtype) == "float16"
        x = l2_normalize(ops.cast(inputs, self.logits_dtype), epsilon=1e-6 if half else 1e-12)
        w = l2_normalize(ops.cast(self.kernel, self.logits_dtype), axis=0)
        cosines = ops.matmul(x, w)
        if self.subcenters > 1:
            shape = (-1, self.classes, self.subcenters)
            cosines = ops.max(ops.reshape(cosines, shape), axis=-1)
        return ops.clip(cosines, -1 + 1e-7, 1 - 1e-7)

    def call(self, inputs, labels=None):
        cosines = self.cosines(inputs)
        return self.logits(cosines, labels)

    def logits(self, cosines, labels=None):
        """Logits from `cosines` `(B, classes)`; with `labels` `(B,)` the margin is applied."""
        if labels is None:
            return self.scale * cosines
        labels = ops.cast(ops.reshape(self._checked(labels), (-1, 1)), "int32")
        target = ops.equal(labels, ops.arange(self.classes, dtype="int32"))
        return self.scale * ops.where(target, self.target(cosines), self.others(cosines, target))

    def _checked(self, labels):
        labels = ops.convert_to_tensor(labels)
        if tuple(labels.shape[1:]) not in ((), (1,)):
            raise ValueError(
                f"`labels` must be integers of shape (batch,). Received: shape={labels.shape}"
            )
        values = concrete(labels)
        if values is not None and ((values < 0) | (values >= self.classes)).any():
            raise ValueError(
                f"`labels` must be in [0, {self.classes}). Received: {np.ravel(values)[:5]}"
            )
        return labels

    def others(self, cosines, target):
        return cosines

    def compute_mask(self, inputs, mask=None):
        """None: each example has one row of logits, whatever of it was padded."""
        return None

    def compute_output_shape(self, input_shape, labels_shape=None):
        return (input_shape[0], self.classes)

    def compute_output_spec(self, inputs, labels=None):
        return keras.KerasTensor((inputs.shape[0], self.classes), self.logits_dtype)

    def get_config(self):
        return {
            **super().get_config(),
            "classes": self.classes,
            "margin": self.initial_margin,
            "scale": self.scale,
            "subcenters": self.subcenters,
        }


@keras.saving.register_keras_serializable("keras_resnets")
class AdditiveAngularMargin(_MarginHead):
    """Additive angular margin (ArcFace) classification head: a margin on the target's angle.

    The target's logit is `scale * cos(theta + margin)` instead of `scale * cos(theta)`; use it with
    softmax cross-entropy from logits. Gradients are finite everywhere, also where an embedding
    equals its class weight or is zero.

    Args:
        classes: Number of classes `N`.
        margin: Angle in radians; starts the non-trainable variable `margin`, which a callback may
            assign in a compiled graph.
        scale: Factor of all cosines.
        subcenters: Weight vectors a class; the nearest counts.
        top_k: Number of largest non-target cosines that get the inter-class margin; 0 for none.
        top_k_margin: That margin in radians at a `margin` of 0.2; it follows `margin`
            proportionally.
        easy_margin: Apply the margin only where the target's cosine is positive.
        tail: Target logit where `theta + margin > pi`: `"linear"` is `cos - margin sin(margin)`
            (ArcFace, SpeechBrain), `"continuous"` is `cos - 1 - cos(pi - margin)` (WeSpeaker).
        **kwargs: As `keras.layers.Layer`.

    Call arguments:
        inputs: `(B, D)` embeddings.
        labels: `(B,)` integers in `[0, N)`. Without labels the logits carry no margin.

    Returns:
        `(B, N)` logits, in float32 under mixed precision too. In a graph, a label that is not in
        `[0, N)` gives logits without margin.

    Raises:
        ValueError: Margin outside `[0, pi)`, `top_k` outside `[0, N)`, unknown `tail`; when run
            eagerly, a label that is not in `[0, N)`.

    Example:

    >>> head = AdditiveAngularMargin(10)
    >>> head(np.ones((2, 4), "float32"), labels=np.array([3, 7])).shape
    TensorShape([2, 10])

    Reference:
        Deng et al., ArcFace, CVPR 2019, equation 3; sub-centres: Deng et al., ECCV 2020;
        inter-top-k: Zhao et al. 2021 (arXiv 2110.05042), equation 4.
    """

    def __init__(
        self,
        classes,
        margin=0.2,
        scale=30.0,
        subcenters=1,
        top_k=0,
        top_k_margin=0.06,
        easy_margin=False,
        tail="linear",
        **kwargs,
    ):
        super().__init__(classes, margin, scale, subcenters, **kwargs)
        if not 0 <= top_k < classes:
            raise ValueError(f"`top_k` must be in [0, classes={classes}). Received: top_k={top_k}")
        if tail not in TAILS:
            raise ValueError(f"`tail` must be one of {TAILS}. Received: tail={tail!r}")
        self.top_k = top_k
        self.top_k_margin = float(top_k_margin)
        self.easy_margin = easy_margin
        self.tail = tail

    def target(self, cosines):
        margin = self._margin
        phi = rotate(cosines, margin)
        if self.easy_margin:
            return ops.where(cosines > 0, phi, cosines)
        if self.tail == "linear":
            tail = cosines - margin * ops.sin(margin)
        else:
            tail = cosines - 1 - ops.cos(math.pi - margin)
        return ops.where(cosines > ops.cos(math.pi - margin), phi, tail)

    def others(self, cosines, target):
        if not self.top_k:
            return cosines
        rivals = ops.where(target, -2.0, cosines)
        smallest = ops.top_k(rivals, self.top_k)[0][:, -1:]
        margin = self._margin * (self.top_k_margin / 0.2)
        return ops.where(rivals >= smallest, rotate(cosines, -margin), cosines)

    def get_config(self):
        return {
            **super().get_config(),
            "top_k": self.top_k,
            "top_k_margin": self.top_k_margin,
            "easy_margin": self.easy_margin,
            "tail": self.tail,
        }


@keras.saving.register_keras_serializable("keras_resnets")
class AdditiveMargin(_MarginHead):
    """Additive margin (AM-softmax, CosFace) classification head: target logit `scale (cos - m)`.

    Args:
        classes: Number of classes `N`.
        margin: Subtracted from the target's cosine; starts the variable `margin`.
        scale: Factor of all cosines.
        subcenters: Weight vectors a class; the nearest counts.
        **kwargs: As `keras.layers.Layer`.

    Call arguments:
        inputs: `(B, D)` embeddings.
        labels: `(B,)` integers in `[0, N)`. Without labels the logits carry no margin.

    Returns:
        `(B, N)` logits, as those of `AdditiveAngularMargin`.

    Raises:
        ValueError: Margin outside `[0, pi)`; when run eagerly, a label that is not in `[0, N)`.

    Example:

    >>> AdditiveMargin(10)(np.ones((2, 4), "float32"), labels=np.array([3, 7])).shape
    TensorShape([2, 10])

    Reference:
        Wang et al., Additive Margin Softmax for Face Verification, 2018 (arXiv 1801.05599), eq. 6.
    """

    def target(self, cosines):
        return cosines - self._margin


def rotate(cosines, angle):
    """`cos(theta + angle)` of `theta = arccos(cosines)`."""
    sines = ops.sqrt(1 - ops.square(cosines))
    return cosines * ops.cos(angle) - sines * ops.sin(angle)
