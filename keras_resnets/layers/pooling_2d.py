import keras
from keras import ops


class _Pooling2D(keras.layers.Layer):
    """Pooling of images in either data format."""

    def __init__(self, strides, data_format=None, **kwargs):
        super().__init__(**kwargs)
        self.strides = strides
        self.data_format = data_format or keras.config.image_data_format()

    def _pads(self, before, after):
        """The `pad` argument of `ops.pad` for both spatial axes."""
        pads = [(before, after), (before, after)]
        last = self.data_format == "channels_last"
        return [(0, 0), *pads, (0, 0)] if last else [(0, 0), (0, 0), *pads]

    def get_config(self):
        config = {"strides": self.strides, "data_format": self.data_format}
        return {**super().get_config(), **config}


@keras.saving.register_keras_serializable("keras_resnets")
class PaddedMaxPooling2D(_Pooling2D):
    """Max pooling with explicit padding, which never wins.

    Keras' `"same"` pads an even side only at its end. torch's `padding=1` is `padding=(1, 1)`, its
    `ceil_mode` is `padding=(0, strides - 1)`, Caffe's and keras.applications' zeros before a
    pooling that follows no ReLU are `value=0.0`.

    Args:
        pool_size: side of the window.
        strides: step of the window.
        padding: rows and columns added `(before, after)`.
        value: of the padding.
        data_format: as in Keras' layers.
        **kwargs: as `keras.layers.Layer`.

    Call arguments:
        inputs: `(B, H, W, C)`.

    Returns:
        `(B, H', W', C)`.

    Example:

    >>> x = np.arange(-4.0, 0).reshape(1, 4, 1, 1).repeat(2, axis=2)
    >>> PaddedMaxPooling2D(3, 2, (1, 1))(x)[0, :, 0, 0].numpy()
    array([-3., -1.], dtype=float32)
    """

    def __init__(
        self,
        pool_size=3,
        strides=2,
        padding=(1, 1),
        value=-float("inf"),
        data_format=None,
        **kwargs,
    ):
        super().__init__(strides, data_format, **kwargs)
        self.pool_size = pool_size
        self.padding = tuple(padding)
        self.value = float(value)

    def call(self, inputs):
        x = ops.pad(inputs, self._pads(*self.padding), constant_values=self.value)
        return ops.max_pool(x, self.pool_size, self.strides, "valid", self.data_format)

    def compute_output_shape(self, input_shape):
        added = sum(self.padding) - self.pool_size
        first = 1 if self.data_format == "channels_last" else 2
        shape = list(input_shape)
        for axis in (first, first + 1):
            if shape[axis] is not None:
                shape[axis] = (shape[axis] + added) // self.strides + 1
        return tuple(shape)

    def get_config(self):
        config = {"pool_size": self.pool_size, "padding": self.padding, "value": self.value}
        return {**super().get_config(), **config}


@keras.saving.register_keras_serializable("keras_resnets")
class AdaptiveMeanPooling2D(keras.layers.Layer):
    """Means of `size x size` windows that cover the image, as torch's adaptive average pooling.

    Window `i` of a side of `n` pixels goes from `floor(i n / size)` to `ceil((i + 1) n / size)`;
    windows overlap where `size` does not divide `n`, and repeat where `n` is smaller.

    Args:
        size: windows on each side.
        data_format: as in Keras' layers.
        **kwargs: as `keras.layers.Layer`.

    Call arguments:
        inputs: `(B, H, W, C)`.

    Returns:
        `(B, size, size, C)`.

    Example:

    >>> x = np.arange(3.0).reshape(1, 3, 1, 1)
    >>> AdaptiveMeanPooling2D(2)(x)[0, :, 0, 0].numpy()
    array([0.5, 1.5], dtype=float32)
    """

    def __init__(self, size, data_format=None, **kwargs):
        super().__init__(**kwargs)
        self.size = size
        self.data_format = data_format or keras.config.image_data_format()

    def call(self, inputs):
        last = self.data_format == "channels_last"
        first = 1 if last else 2
        rows, columns = (self._windows(ops.shape(inputs)[first + i], inputs.dtype) for i in (0, 1))
        equation = "bhwc,ih,jw->bijc" if last else "bchw,ih,jw->bcij"
        return ops.einsum(equation, inputs, rows, columns)

    def _windows(self, n, dtype):
        """`(size, n)`: each window's weights, which sum to 1."""
        i, position = ops.arange(self.size)[:, None], ops.arange(n)[None]
        inside = ops.logical_and(
            position >= i * n // self.size, position < ((i + 1) * n + self.size - 1) // self.size
        )
        inside = ops.cast(inside, "float32")
        return ops.cast(inside / ops.sum(inside, 1, keepdims=True), dtype)

    def compute_output_shape(self, input_shape):
        sides = (self.size, self.size)
        if self.data_format == "channels_last":
            return (input_shape[0], *sides, input_shape[3])
        return (*input_shape[:2], *sides)

    def get_config(self):
        return {**super().get_config(), "size": self.size, "data_format": self.data_format}


@keras.saving.register_keras_serializable("keras_resnets")
class BlurPool2D(_Pooling2D):
    """Subsampling behind a binomial 3x3 low-pass filter, so that shifts of the image shift the map.

    Borders are reflected.

    Args:
        strides: step of the filter.
        data_format: as in Keras' layers.
        **kwargs: as `keras.layers.Layer`.

    Call arguments:
        inputs: `(B, H, W, C)`, sides of at least 2.

    Returns:
        `(B, ceil(H / strides), ceil(W / strides), C)`.

    Example:

    >>> x = np.array([0.0, 4.0, 0.0, 4.0]).reshape(1, 1, 4, 1).repeat(4, axis=1)
    >>> BlurPool2D()(x)[0, 0, :, 0].numpy()
    array([2., 2.], dtype=float32)

    Reference:
        Zhang, Making Convolutional Networks Shift-Invariant Again, ICML 2019 (arXiv 1904.11486).
    """

    def __init__(self, strides=2, data_format=None, **kwargs):
        super().__init__(strides, data_format, **kwargs)

    def build(self, input_shape):
        channels = input_shape[-1 if self.data_format == "channels_last" else 1]
        row = ops.convert_to_tensor([0.25, 0.5, 0.25])
        self.filter = ops.tile((row[:, None] * row)[:, :, None, None], (1, 1, channels, 1))

    def call(self, inputs):
        x = ops.pad(inputs, self._pads(1, 1), mode="reflect")
        kernel = ops.cast(self.filter, x.dtype)
        return ops.depthwise_conv(x, kernel, self.strides, "valid", self.data_format)

    def compute_output_shape(self, input_shape):
        first = 1 if self.data_format == "channels_last" else 2
        shape = list(input_shape)
        for axis in (first, first + 1):
            if shape[axis] is not None:
                shape[axis] = -(-shape[axis] // self.strides)
        return tuple(shape)


@keras.saving.register_keras_serializable("keras_resnets")
class PadShortcut2D(_Pooling2D):
    """Shortcut without parameters: every `strides`-th row and column, and channels of zeros.

    Args:
        filters: channels of the output.
        strides: step.
        where: `"both"` puts half of the zeros before and half after the channels, `"end"` all
            after.
        data_format: as in Keras' layers.
        **kwargs: as `keras.layers.Layer`.

    Call arguments:
        inputs: `(B, H, W, C)`.

    Returns:
        `(B, ceil(H / strides), ceil(W / strides), filters)`.

    Example:

    >>> PadShortcut2D(4, 1)(np.ones((1, 1, 1, 2)))[0, 0, 0].numpy()
    array([0., 1., 1., 0.], dtype=float32)

    Reference:
        He et al., Deep Residual Learning for Image Recognition, CVPR 2016 (arXiv 1512.03385),
        section 3.3, option A.
    """

    def __init__(self, filters, strides=2, where="both", data_format=None, **kwargs):
        super().__init__(strides, data_format, **kwargs)
        if where not in ("both", "end"):
            raise ValueError(f'`where` must be "both" or "end". Received: where={where!r}')
        self.filters = filters
        self.where = where

    def build(self, input_shape):
        channels = input_shape[-1 if self.data_format == "channels_last" else 1]
        if channels > self.filters:
            raise ValueError(
                f"`filters` must be at least the {channels} channels of the input. "
                f"Received: filters={self.filters}"
            )

    def call(self, inputs):
        last = self.data_format == "channels_last"
        extra = self.filters - inputs.shape[-1 if last else 1]
        before = extra // 2 if self.where == "both" else 0
        channels = (before, extra - before)
        step = self.strides
        if last:
            return ops.pad(inputs[:, ::step, ::step], [(0, 0)] * 3 + [channels])
        return ops.pad(inputs[:, :, ::step, ::step], [(0, 0), channels, (0, 0), (0, 0)])

    def compute_output_shape(self, input_shape):
        last = self.data_format == "channels_last"
        sides = input_shape[1:3] if last else input_shape[2:]
        sides = [None if side is None else -(-side // self.strides) for side in sides]
        channels = [self.filters]
        return (input_shape[0], *sides, *channels) if last else (input_shape[0], *channels, *sides)

    def get_config(self):
        return {**super().get_config(), "filters": self.filters, "where": self.where}
