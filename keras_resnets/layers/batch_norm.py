import keras
from keras import ops

from keras_resnets.collectives import replica_count
from keras_resnets.layers.moments import moving_average

if keras.backend.backend() == "tensorflow":
    from keras_resnets.kernels.batch_norm import can_fuse, fused_batch_norm


@keras.saving.register_keras_serializable("keras_resnets")
class BatchNorm2D(keras.layers.BatchNormalization):
    """Batch normalisation with TensorFlow's fused kernel, and PyTorch's defaults.

    Keras' layer takes moments and normalises in separate operations: about three times the time on
    CPU. The fused kernel is used for channels that are last, without `mask`, `renorm` and
    `synchronized`, outside XLA; all else is left to Keras' layer. The weights are the same, and the
    number of axes is free despite the name.

    Args:
        momentum: Of the moving statistics; 0.9 is PyTorch's 0.1.
        epsilon: Added to the variance.
        moving_variance: Which variance of a batch of `n` numbers a channel is recorded:
            `"unbiased"`, divided by `n - 1`, as PyTorch does, or `"biased"` as Keras' layer does.
        **kwargs: As `keras.layers.BatchNormalization`.

    Call arguments:
        inputs: `(B, ..., C)`.
        training: Whether the batch's own moments are used, and the moving ones updated.
        mask: As Keras' layer.

    Returns:
        As `inputs`.

    Raises:
        ValueError: Unknown `moving_variance`.

    Example:

    >>> x = np.array([[[[1.0], [3.0]]]], "float32")
    >>> layer = BatchNorm2D()
    >>> np.round(np.ravel(layer(x, training=True)), 3)
    array([-1.,  1.], dtype=float32)
    >>> np.round(layer.moving_variance.numpy(), 3)
    array([1.1], dtype=float32)

    Reference:
        Ioffe and Szegedy, "Batch Normalization", ICML 2015.
    """

    def __init__(self, momentum=0.9, epsilon=1e-5, moving_variance="unbiased", **kwargs):
        if moving_variance not in ("biased", "unbiased"):
            raise ValueError(
                '`moving_variance` must be "biased" or "unbiased". '
                f"Received: moving_variance={moving_variance!r}"
            )
        super().__init__(momentum=momentum, epsilon=epsilon, **kwargs)
        self.moving_variance_kind = moving_variance

    def call(self, inputs, training=None, mask=None):
        own_moments = bool(training) and self.trainable
        if mask is None and self._fusable(inputs):
            return self._fused(inputs, own_moments)
        kept = self.momentum * self.moving_variance
        outputs = super().call(inputs, training=training, mask=mask)
        if own_moments and self.moving_variance_kind == "unbiased":
            # Keras has recorded the biased variance: what it added grows by n / (n - 1).
            n = self._count(inputs, mask)
            added = (self.moving_variance - kept) * n / ops.maximum(n - 1, 1)
            self.moving_variance.assign(kept + added)
        return outputs

    def _fusable(self, x):
        return (
            keras.backend.backend() == "tensorflow"
            and self.axis in (-1, len(x.shape) - 1)
            and not self.renorm
            and not self.synchronized
            and can_fuse(x, self.moving_mean)
        )

    def _fused(self, x, own_moments):
        gamma = self.gamma if self.scale else ops.ones_like(self.moving_mean)
        beta = self.beta if self.center else ops.zeros_like(self.moving_mean)
        statistics = (None, None) if own_moments else (self.moving_mean, self.moving_variance)
        tensors = [None if t is None else ops.convert_to_tensor(t) for t in statistics]
        y, mean, variance = fused_batch_norm(
            x, ops.convert_to_tensor(gamma), ops.convert_to_tensor(beta), *tensors, self.epsilon
        )
        if own_moments:
            n = self._count(x, None)
            if self.moving_variance_kind == "biased":
                variance = variance * ops.maximum(n - 1, 1) / ops.maximum(n, 1)
            for average, value in ((self.moving_mean, mean), (self.moving_variance, variance)):
                average.assign(moving_average(average, value, self.momentum, n))
        return y

    def _count(self, x, mask):
        """Numbers a channel that the moments are taken of."""
        if mask is not None:
            count = ops.sum(ops.cast(mask, "float32"))
        else:
            count = ops.cast(ops.size(x), "float32") / x.shape[self.axis]
        return count * (replica_count() if self.synchronized else 1)

    def get_config(self):
        return {**super().get_config(), "moving_variance": self.moving_variance_kind}
