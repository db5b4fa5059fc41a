import keras
from keras import ops


@keras.saving.register_keras_serializable("keras_resnets")
class ZeroEmptyRows(keras.layers.Layer):
    """Zeros for the examples of a batch that are too short to have one valid frame.

    Args:
        shortest: int, length of the shortest `signal` that has a frame.
        **kwargs: As `keras.layers.Layer`.

    Call arguments:
        inputs: `(B, ...)`, one or more values of each example.
        signal: `(B, S, ...)`, what the examples were before they were framed.
        lengths: integers `(B,)`, the valid part of each signal, or None: all of it.

    Returns:
        As `inputs`.

    Example:

    >>> signal, lengths = np.zeros((2, 500), "float32"), np.array([400, 399])
    >>> np.array(ZeroEmptyRows(400)(np.ones((2, 1), "float32"), signal, lengths))
    array([[1.],
           [0.]], dtype=float32)
    """

    def __init__(self, shortest=1, **kwargs):
        super().__init__(autocast=False, **kwargs)
        self.shortest = shortest
        self.supports_masking = True

    def call(self, inputs, signal, lengths=None):
        size = ops.shape(signal)[1]
        lengths = size if lengths is None else ops.minimum(lengths, size)
        enough = ops.greater_equal(lengths, self.shortest)
        enough = ops.reshape(enough, (-1,) + (1,) * (len(inputs.shape) - 1))
        return ops.where(enough, inputs, ops.cast(0, inputs.dtype))

    def compute_mask(self, inputs, *args, **kwargs):
        return None

    def compute_output_spec(self, inputs, signal, lengths=None):
        return keras.KerasTensor(inputs.shape, inputs.dtype)

    def get_config(self):
        return {**super().get_config(), "shortest": self.shortest}
