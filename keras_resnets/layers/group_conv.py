import keras
from keras import ops

if keras.backend.backend() == "tensorflow":
    from keras_resnets.kernels.group_conv import group_conv


class _GroupConv:
    """What the layers below share, over Keras' convolutions of the same rank."""

    def __init__(self, filters, kernel_size, *args, groups=None, group_size=None, **kwargs):
        if groups is not None and group_size is not None:
            raise ValueError(
                "Only one of `groups` and `group_size` can be given. "
                f"Received: groups={groups}, group_size={group_size}"
            )
        for name, value in {"groups": groups, "group_size": group_size}.items():
            if value is not None and not (isinstance(value, int) and value > 0):
                raise ValueError(f"`{name}` must be a positive integer. Received: {name}={value!r}")
        super().__init__(filters, kernel_size, *args, groups=groups or 1, **kwargs)
        self.group_size = group_size

    def build(self, input_shape):
        channels = input_shape[-1 if self.data_format == "channels_last" else 1]
        name = "groups" if self.group_size is None else "group_size"
        value = getattr(self, name)
        if channels % value:
            divisors = [d for d in range(1, channels + 1) if channels % d == 0]
            raise ValueError(
                f"`{name}` must divide the {channels} channels of the input: one of {divisors}. "
                f"Received: {name}={value}"
            )
        if self.group_size is not None:
            self.groups = channels // self.group_size
        if self.filters % self.groups:
            raise ValueError(
                f"`filters` must be a multiple of the number of groups, {self.groups}. "
                f"Received: filters={self.filters}"
            )
        super().build(input_shape)

    def call(self, inputs):
        if self.groups == 1 or keras.backend.backend() != "tensorflow":
            return super().call(inputs)
        first = self.data_format == "channels_first"
        x = ops.moveaxis(inputs, 1, -1) if first else inputs
        padding = self.padding
        if padding == "causal":
            x = ops.pad(x, [(0, 0), (self.dilation_rate[0] * (self.kernel_size[0] - 1), 0), (0, 0)])
            padding = "valid"
        kernel = self.effective_kernel(ops.convert_to_tensor(self.kernel))
        y = group_conv(x, kernel, self.strides, padding, self.dilation_rate)
        if self.bias is not None:
            y = y + ops.convert_to_tensor(self.bias)
        y = ops.moveaxis(y, -1, 1) if first else y
        return y if self.activation is None else self.activation(y)

    def effective_kernel(self, kernel):
        """What the inputs are convolved with: the kernel itself, but for a subclass."""
        return kernel

    def get_config(self):
        config = {**super().get_config(), "group_size": self.group_size}
        return config if self.group_size is None else {**config, "groups": None}


@keras.saving.register_keras_serializable("keras_resnets")
class GroupConv1D(_GroupConv, keras.layers.Conv1D):
    """Grouped 1-D convolution: see `GroupConv2D`.

    Args:
        filters, kernel_size, groups, group_size: As `GroupConv2D`.
        **kwargs: As `keras.layers.Conv1D`, `padding="causal"` too.

    Example:

    >>> GroupConv1D(8, 3, padding="causal", groups=4)(np.zeros((2, 5, 4), "float32")).shape
    TensorShape([2, 5, 8])
    """


@keras.saving.register_keras_serializable("keras_resnets")
class GroupConv2D(_GroupConv, keras.layers.Conv2D):
    """Grouped 2-D convolution with TensorFlow's native kernel, forward and backward.

    `keras.layers.Conv2D(groups=...)` compiles itself with XLA on TensorFlow: on CPU that is many
    times slower, compiles for every new batch size, and its SavedModel is refused by TensorFlow
    Serving. The weights are the same. On other backends this is Keras' layer.

    Args:
        filters: Number of output channels.
        kernel_size: Integer or tuple.
        groups: Number of groups that the channels are divided into.
        group_size: Input channels in a group, instead of `groups`.
        **kwargs: As `keras.layers.Conv2D`.

    Call arguments:
        inputs: `(B, H, W, C)`, or `(B, C, H, W)` for `data_format="channels_first"`.

    Returns:
        As `keras.layers.Conv2D`.

    Raises:
        ValueError: Both `groups` and `group_size`, or one that does not divide the channels.

    Example:

    >>> conv = GroupConv2D(64, 3, padding="same", group_size=4)
    >>> conv(np.zeros((1, 8, 8, 32), "float32")).shape, conv.groups, tuple(conv.kernel.shape)
    (TensorShape([1, 8, 8, 64]), 8, (3, 3, 4, 64))

    Reference:
        Xie et al., "Aggregated Residual Transformations for Deep Neural Networks", CVPR 2017;
        Jha et al., "E2GC: Energy-efficient Group Convolution", VLSID 2020, for `group_size`.
    """


@keras.saving.register_keras_serializable("keras_resnets")
class GroupConv3D(_GroupConv, keras.layers.Conv3D):
    """Grouped 3-D convolution: see `GroupConv2D`.

    Args:
        filters, kernel_size, groups, group_size: As `GroupConv2D`.
        **kwargs: As `keras.layers.Conv3D`.

    Example:

    >>> GroupConv3D(8, 3, padding="same", groups=4)(np.zeros((2, 5, 5, 5, 4), "float32")).shape
    TensorShape([2, 5, 5, 5, 8])
    """


@keras.saving.register_keras_serializable("keras_resnets")
class ChannelShuffle(keras.layers.Layer):
    """Deals the channels of each group out to all groups, so that grouped layers mix.

    Args:
        groups: Number of groups.
        axis: Of the channels.
        **kwargs: As `keras.layers.Layer`.

    Call arguments:
        inputs: Any shape.

    Returns:
        As `inputs`.

    Raises:
        ValueError: `groups` does not divide the channels.

    Example:

    >>> np.ravel(ChannelShuffle(2)(np.arange(6.0).reshape(1, 6)))
    array([0., 3., 1., 4., 2., 5.], dtype=float32)

    Reference:
        Zhang et al., "ShuffleNet", CVPR 2018, section 3.1.
    """

    def __init__(self, groups, axis=-1, **kwargs):
        super().__init__(**kwargs)
        if not isinstance(groups, int) or groups < 1:
            raise ValueError(f"`groups` must be a positive integer. Received: groups={groups!r}")
        self.groups = groups
        self.axis = axis
        self.supports_masking = True

    def build(self, input_shape):
        channels = input_shape[self.axis]
        if channels is None or channels % self.groups:
            raise ValueError(
                f"`groups` must divide the number of channels, {channels}. "
                f"Received: groups={self.groups}"
            )

    def call(self, inputs):
        shape, axis = ops.shape(inputs), self.axis % len(inputs.shape)
        sizes = (self.groups, shape[axis] // self.groups)
        x = ops.reshape(inputs, (*shape[:axis], *sizes, *shape[axis + 1 :]))
        return ops.reshape(ops.swapaxes(x, axis, axis + 1), shape)

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {**super().get_config(), "groups": self.groups, "axis": self.axis}
