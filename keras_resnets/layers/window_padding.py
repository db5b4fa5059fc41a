import keras
from keras import ops


@keras.saving.register_keras_serializable("keras_resnets")
class WindowPadding2D(keras.layers.Layer):
    """Zeros around an image, and so many more that a window fits.

    For convolutions that pad less than half of their window: they make a map of at least one pixel
    of whatever comes in, where `ZeroPadding2D` would leave none of a small one.

    Args:
        padding: rows and columns of zeros on each side.
        window: side of the window; a smaller padded image grows to it, evenly on both sides.
        data_format: as in Keras' layers.
        **kwargs: as `keras.layers.Layer`.

    Call arguments:
        inputs: `(B, H, W, C)`, or channels first where Keras is set so.

    Returns:
        `(B, max(H + 2 padding, window), max(W + 2 padding, window), C)`.

    Example:

    >>> [WindowPadding2D(1, 5)(np.ones((1, n, n, 1))).shape[1] for n in (1, 2, 3, 4)]
    [5, 5, 5, 6]
    """

    def __init__(self, padding, window, data_format=None, **kwargs):
        super().__init__(**kwargs)
        if padding < 0 or window < 1:
            raise ValueError(
                "`padding` must not be negative and `window` must be positive. "
                f"Received: padding={padding}, window={window}"
            )
        self.padding = padding
        self.window = window
        self.data_format = data_format or keras.config.image_data_format()
        self._sides = (1, 2) if self.data_format == "channels_last" else (2, 3)

    def call(self, inputs):
        widths = [(0, 0)] * 4
        for axis in self._sides:
            side = ops.shape(inputs)[axis]
            lacking = self.window - 2 * self.padding - side
            lacking = max(lacking, 0) if isinstance(side, int) else ops.maximum(lacking, 0)
            before = lacking // 2
            widths[axis] = (self.padding + before, self.padding + lacking - before)
        return ops.pad(inputs, widths)

    def compute_output_shape(self, input_shape):
        shape = list(input_shape)
        for axis in self._sides:
            if shape[axis] is not None:
                shape[axis] = max(shape[axis] + 2 * self.padding, self.window)
        return tuple(shape)

    def get_config(self):
        config = {"padding": self.padding, "window": self.window, "data_format": self.data_format}
        return {**super().get_config(), **config}
