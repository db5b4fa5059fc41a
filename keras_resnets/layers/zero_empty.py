import keras
from keras import ops


@keras.saving.register_keras_serializable("keras_resnets")
class ZeroEmptyRows(keras.layers.Layer):
    """Zeros for the examples without one valid frame; the others pass unchanged.

    Call arguments:
        inputs: `(B, ...)`.
        mask: `(B, T)` boolean, True at valid frames; without it everything passes.

    Returns:
        As `inputs`.

    Example:

    >>> mask = np.array([[True, False], [False, False]])
    >>> np.array(ZeroEmptyRows()(np.ones((2, 1), "float32"), mask=mask))
    array([[1.],
           [0.]], dtype=float32)
    """

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.supports_masking = True

    def call(self, inputs, mask=None):
        if mask is None:
            return inputs
        valid = ops.reshape(ops.any(mask, axis=1), (-1,) + (1,) * (len(inputs.shape) - 1))
        return ops.where(valid, inputs, ops.cast(0, inputs.dtype))

    def compute_mask(self, inputs, mask=None):
        return None

    def compute_output_shape(self, input_shape):
        return input_shape
