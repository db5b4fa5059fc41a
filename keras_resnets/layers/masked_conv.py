import keras
from keras import ops

from keras_resnets.layers.masking import apply_mask

PADDINGS = ("same", "valid", "reflect")


class _MaskedConv:
    """What `MaskedConv1D` and `MaskedConv2D` share: padding that sees the mask. Axis 1 is time."""

    def __init__(self, filters, kernel_size, strides=1, padding="same", **kwargs):
        if padding not in PADDINGS:
            raise ValueError(f"`padding` must be one of {PADDINGS}. Received: padding={padding!r}")
        # The padding is done here; only unit strides let Keras' own "same" be symmetric.
        super().__init__(filters, kernel_size, strides=strides, padding="valid", **kwargs)
        if self.data_format != "channels_last":
            raise ValueError(
                f'`data_format` must be "channels_last". Received: data_format={self.data_format!r}'
            )
        if padding == "same" and set(self.strides) == {1}:
            self.padding = "same"
        if padding != "valid" and any(size % 2 == 0 for size in self.kernel_size):
            raise ValueError(
                f"`kernel_size` must be odd with padding={padding!r}. "
                f"Received: kernel_size={kernel_size}"
            )
        self.edge_padding = padding
        self.supports_masking = True

    @property
    def _windows(self):
        return [d * (k - 1) + 1 for d, k in zip(self.dilation_rate, self.kernel_size)]

    def call(self, inputs, mask=None):
        pads = [window // 2 for window in self._windows]
        if not any(pads):
            pass
        elif self.edge_padding == "reflect":
            inputs = _reflect(inputs, pads[0], mask)
        else:
            inputs = apply_mask(inputs, mask)
            if self.edge_padding == "valid":
                self.compute_output_shape(inputs.shape)
            elif self.padding == "valid":
                inputs = ops.pad(inputs, [(0, 0), *((p, p) for p in pads), (0, 0)])
        if all(size == 1 for size in (*self.kernel_size, *self.strides)) and self.groups == 1:
            return self._pointwise(inputs)
        return super().call(inputs)

    def _pointwise(self, inputs):
        """A window of 1 is a matrix product, which every backend runs faster than a convolution."""
        kernel = ops.reshape(self.kernel, self.kernel.shape[-2:])
        outputs = ops.tensordot(inputs, kernel, axes=1)
        if self.bias is not None:
            outputs = outputs + ops.cast(self.bias, outputs.dtype)
        return outputs if self.activation is None else self.activation(outputs)

    def compute_mask(self, inputs, mask=None):
        if mask is None:
            return None
        first = self._windows[0] - 1 if self.edge_padding == "valid" else 0
        return mask[:, first :: self.strides[0]]

    def compute_output_shape(self, input_shape):
        sizes = []
        for size, window, stride in zip(input_shape[1:-1], self._windows, self.strides):
            window = window if self.edge_padding == "valid" else 1
            if size is not None and size < window:
                raise ValueError(
                    f"`inputs` of {self.name!r} must be at least {self._windows} long. "
                    f"Received: inputs.shape={tuple(input_shape)}"
                )
            sizes.append(None if size is None else -(-(size - window + 1) // stride))
        return (input_shape[0], *sizes, self.filters)

    def get_config(self):
        return {**super().get_config(), "padding": self.edge_padding}


def _reflect(x, pad, mask):
    """`x` with `pad` frames a side, mirrored about each example's own first and last frame.

    As in `numpy.pad`, a short example is mirrored again and again.
    """
    frames = ops.shape(x)[1]
    if mask is None and isinstance(frames, int) and frames > pad:
        return ops.pad(x, [(0, 0), (pad, pad), (0, 0)], mode="reflect")
    last = frames - 1 if mask is None else ops.sum(ops.cast(mask, "int32"), 1, keepdims=True) - 1
    period = ops.maximum(2 * last, 1)
    index = ops.mod(ops.arange(-pad, frames + pad, dtype="int32"), period)
    index = ops.minimum(index, period - index)
    if mask is None:
        return ops.take(x, index, axis=1)
    return ops.take_along_axis(x, index[..., None], axis=1)


@keras.saving.register_keras_serializable("keras_resnets")
class MaskedConv1D(_MaskedConv, keras.layers.Conv1D):
    """1-D convolution whose valid frames never see padded ones.

    Args:
        filters: Number of output channels.
        kernel_size: Window in frames; odd unless `padding="valid"`.
        strides: Step in frames.
        padding: `"same"` (zeros, symmetric), `"reflect"` (about each example's own last valid
            frame) or `"valid"`.
        **kwargs: As `keras.layers.Conv1D`.

    Call arguments:
        inputs: `(B, T, C)`.
        mask: `(B, T)` boolean, True at valid frames; optional.

    Returns:
        `(B, T, filters)` for unit strides and `"same"` or `"reflect"` padding.

    Raises:
        ValueError: Unknown `padding`, or an even `kernel_size` that cannot be padded evenly.

    Example:

    >>> x = np.ones((1, 4, 1), "float32")
    >>> conv = MaskedConv1D(1, 3, kernel_initializer="ones")
    >>> np.ravel(conv(x, mask=np.array([[True, True, False, False]])))[:2]
    array([2., 2.], dtype=float32)
    """


@keras.saving.register_keras_serializable("keras_resnets")
class MaskedConv2D(_MaskedConv, keras.layers.Conv2D):
    """2-D convolution over `(B, T, F, C)` whose valid frames never see padded ones.

    Args:
        filters: Number of output channels.
        kernel_size: Window in frames and bins; odd unless `padding="valid"`.
        strides: Step on both axes. Padding is symmetric, so that `T` frames give
            `ceil(T / strides)` (Keras' own "same" pads one side only and shifts the grid).
        padding: `"same"` or `"valid"`.
        **kwargs: As `keras.layers.Conv2D`.

    Call arguments:
        inputs: `(B, T, F, C)`.
        mask: `(B, T)` boolean, True at valid frames; optional.

    Returns:
        `(B, T', F', filters)`.

    Raises:
        ValueError: Unknown `padding`, or an even `kernel_size` that cannot be padded evenly.

    Example:

    >>> MaskedConv2D(4, 3, strides=2)(np.zeros((1, 5, 80, 1), "float32")).shape
    TensorShape([1, 3, 40, 4])
    """

    def __init__(self, filters, kernel_size, strides=1, padding="same", **kwargs):
        if padding == "reflect":
            raise ValueError('`padding` must be "same" or "valid". Received: padding=\'reflect\'')
        super().__init__(filters, kernel_size, strides=strides, padding=padding, **kwargs)
