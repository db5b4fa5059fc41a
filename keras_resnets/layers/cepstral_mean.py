"""Cepstral mean normalisation."""

import keras
from keras import ops

from keras_resnets.layers.masking import apply_mask, masked_mean


@keras.saving.register_keras_serializable("keras_resnets")
class CepstralMeanNormalization(keras.layers.Layer):
    """Subtracts each utterance's mean over its valid frames; the other frames become zero.

    In the log-mel or cepstral domain this removes gain and a fixed channel. The variance is left
    as it is. Computed in float32 whatever the dtype policy.

    Call arguments:
        inputs: `(B, T, C)`.
        mask: optional boolean `(B, T)`.

    Returns:
        `(B, T, C)` in the layer's compute dtype.

    Example:

    >>> x = CepstralMeanNormalization()(np.array([[[1.0], [2.0], [6.0]]]))
    >>> keras.ops.convert_to_numpy(x)[0, :, 0]
    array([-2., -1.,  3.], dtype=float32)
    """

    def __init__(self, **kwargs):
        super().__init__(autocast=False, **kwargs)
        self.supports_masking = True

    def call(self, inputs, mask=None):
        x = ops.cast(inputs, "float32")
        x = apply_mask(x - masked_mean(x, mask), mask)
        return ops.cast(x, self.compute_dtype)

    def compute_output_shape(self, input_shape):
        return input_shape
