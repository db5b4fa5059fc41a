import keras
from keras import ops

from keras_resnets.collectives import cross_replica_mean
from keras_resnets.layers.masking import expand_mask


@keras.saving.register_keras_serializable("keras_resnets")
class MaskedBatchNormalization(keras.layers.BatchNormalization):
    """Batch normalisation whose moments are those of the valid frames of all replicas.

    Over Keras' own it adds: a `(B, T)` mask for inputs of any rank, `synchronized=True` together
    with a mask, and the momentum and epsilon of PyTorch, in which public speaker networks were
    trained.

    Args:
        momentum: Of the moving statistics; 0.9 is PyTorch's 0.1.
        epsilon: Added to the variance.
        **kwargs: As `keras.layers.BatchNormalization`.

    Call arguments:
        inputs: `(B, T, ..., C)` or `(B, C)`.
        mask: `(B, T)` boolean, True at valid frames; optional.
        training: Whether the batch's own moments are used, and the moving ones updated.

    Returns:
        As `inputs`.

    Example:

    >>> x = np.array([[[1.0], [3.0], [99.0]]], "float32")
    >>> y = MaskedBatchNormalization()(x, mask=np.array([[True, True, False]]), training=True)
    >>> np.round(np.ravel(y)[:2], 3)
    array([-1.,  1.], dtype=float32)
    """

    def __init__(self, momentum=0.9, epsilon=1e-5, **kwargs):
        super().__init__(momentum=momentum, epsilon=epsilon, **kwargs)

    def call(self, inputs, training=None, mask=None):
        if mask is not None:
            mask = ops.broadcast_to(expand_mask(mask, inputs)[..., 0], ops.shape(inputs)[:-1])
        return super().call(inputs, training=training, mask=mask)

    def _moments(self, inputs, mask):
        if mask is None or not self.synchronized:
            return super()._moments(inputs, mask)
        axes = tuple(range(len(inputs.shape) - 1))
        weights = ops.cast(mask, inputs.dtype)[..., None]
        count = cross_replica_mean(ops.sum(weights, axes)) + 1e-7
        mean = cross_replica_mean(ops.sum(weights * inputs, axes)) / count
        squares = ops.sum(weights * ops.square(inputs - mean), axes)
        return mean, cross_replica_mean(squares) / count
