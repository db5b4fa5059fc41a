import keras
from keras import ops

from keras_resnets.layers.batch_norm import BatchNorm2D
from keras_resnets.layers.group_conv import GroupConv2D


@keras.saving.register_keras_serializable("keras_resnets")
class SelectiveKernelConv2D(keras.layers.Layer):
    """Two 3x3 convolutions and a softmax that mixes them channel by channel, as in SimCLRv2.

    `[a, b] = relu(norm(conv(x)))` with `2 * filters` channels; the weights of `a` and `b` are a
    softmax over the two of `W2 relu(norm(W1 mean(a + b)))`.

    Args:
        filters: channels of the output.
        strides: step of the convolution.
        ratio: width of the hidden layer by `filters`.
        minimum: least width of the hidden layer.
        epsilon, momentum, synchronized: of the batch normalisation.
        kernel_initializer: of the convolutions.
        **kwargs: as `keras.layers.Layer`.

    Call arguments:
        inputs: `(B, H, W, C)`, or channels first where Keras is set so.
        training: whether the normalisation uses the batch's statistics.

    Returns:
        `(B, H', W', filters)`, rectified.

    Example:

    >>> SelectiveKernelConv2D(8, strides=2)(np.ones((1, 8, 8, 4), "float32")).shape
    TensorShape([1, 4, 4, 8])

    Reference:
        Li et al., Selective Kernel Networks, CVPR 2019 (arXiv 1903.06586); Chen et al. 2020 (arXiv
        2006.10029), appendix.
    """

    def __init__(
        self,
        filters,
        strides=1,
        ratio=1 / 16,
        minimum=32,
        epsilon=1e-5,
        momentum=0.9,
        synchronized=False,
        kernel_initializer="glorot_uniform",
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.filters = filters
        self.strides = strides
        self.ratio = ratio
        self.minimum = minimum
        self.epsilon = epsilon
        self.momentum = momentum
        self.synchronized = synchronized
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.axis = -1 if keras.config.image_data_format() == "channels_last" else 1
        self.spatial = (1, 2) if self.axis == -1 else (2, 3)
        self._make_streams()
        self.reduce = self._conv(self.hidden, 1, "reduce")
        self.reduce_norm = self._norm("reduce_norm")
        self.select = self._conv(2 * filters, 1, "select")

    @property
    def hidden(self):
        """Width of the hidden layer."""
        return max(int(self.filters * self.ratio), self.minimum)

    def _make_streams(self):
        self.pad = keras.layers.ZeroPadding2D(1)
        self.streams = self._conv(2 * self.filters, 3, "conv", strides=self.strides)
        self.norm = self._norm("norm")

    def _conv(self, filters, size, name, **kwargs):
        settings = dict(use_bias=False, kernel_initializer=self.kernel_initializer.clone())
        kind = GroupConv2D if kwargs.get("groups", 1) > 1 else keras.layers.Conv2D
        return kind(filters, size, name=name, dtype=self.dtype_policy, **settings, **kwargs)

    def _norm(self, name):
        return BatchNorm2D(
            self.momentum,
            self.epsilon,
            axis=self.axis,
            synchronized=self.synchronized,
            name=name,
            dtype=self.dtype_policy,
        )

    def build(self, input_shape):
        padded = self.pad.compute_output_shape(input_shape)
        self.streams.build(padded)
        self.norm.build(self.streams.compute_output_shape(padded))
        self._build_attention()

    def _build_attention(self):
        def shape(channels):
            return (None, 1, 1, channels) if self.axis == -1 else (None, channels, 1, 1)

        self.reduce.build(shape(self.filters))
        self.reduce_norm.build(shape(self.hidden))
        self.select.build(shape(self.hidden))

    def call(self, inputs, training=None):
        a, b = self._call_streams(inputs, training)
        x = ops.mean(a + b, axis=self.spatial, keepdims=True)
        x = ops.relu(self.reduce_norm(self.reduce(x), training=training))
        logit_a, logit_b = ops.split(self.select(x), 2, axis=self.axis)
        share = ops.sigmoid(logit_a - logit_b)  # the softmax over two
        return a * share + b * (1 - share)

    def _call_streams(self, inputs, training):
        x = self.norm(self.streams(self.pad(inputs)), training=training)
        return ops.split(ops.relu(x), 2, axis=self.axis)

    def compute_output_shape(self, input_shape):
        sides = input_shape[1:3] if self.axis == -1 else input_shape[2:]
        sides = [None if side is None else -(-side // self.strides) for side in sides]
        channels = [self.filters]
        return (input_shape[0], *(sides + channels if self.axis == -1 else channels + sides))

    def get_config(self):
        names = ("filters", "strides", "ratio", "minimum", "epsilon", "momentum", "synchronized")
        config = {name: getattr(self, name) for name in names}
        config["kernel_initializer"] = keras.initializers.serialize(self.kernel_initializer)
        return {**super().get_config(), **config}


@keras.saving.register_keras_serializable("keras_resnets")
class SplitSelectiveKernelConv2D(SelectiveKernelConv2D):
    """Selective kernel convolution whose two streams each see half of the channels, as in timm.

    The streams are a 3x3 convolution and one with dilation 2; the hidden layer is a multiple of
    `minimum`.

    Args:
        filters: channels of the output.
        groups: of both convolutions.
        split: False: each stream sees all channels, as in the paper and timm's `skresnext50_32x4d`
            (there with `minimum=32`).
        strides, ratio, minimum, epsilon, momentum, synchronized, kernel_initializer: as in
            `SelectiveKernelConv2D`.
        **kwargs: as `keras.layers.Layer`.

    Call arguments:
        inputs: `(B, H, W, C)`, with an even number of channels to split.
        training: whether the normalisation uses the batch's statistics.

    Returns:
        `(B, H', W', filters)`, rectified.

    Example:

    >>> SplitSelectiveKernelConv2D(8)(np.ones((1, 8, 8, 4), "float32")).shape
    TensorShape([1, 8, 8, 8])
    """

    def __init__(self, filters, strides=1, ratio=1 / 16, minimum=8, groups=1, split=True, **kwargs):
        self.groups = groups
        self.split = split
        super().__init__(filters, strides, ratio, minimum, **kwargs)

    @property
    def hidden(self):
        step, width = self.minimum, self.filters * self.ratio
        nearest = max(step, int(width + step / 2) // step * step)
        return nearest + step if nearest < 0.9 * width else nearest

    def _make_streams(self):
        # Keras has no dilated convolution with strides. At an even stride, windows of dilation 2
        # see every second position only, where they are plain windows.
        self.sparse = self.strides % 2 == 0
        second = dict(strides=self.strides // 2) if self.sparse else dict(dilation_rate=2)
        self.pads = [keras.layers.ZeroPadding2D(d) for d in (1, 1 if self.sparse else 2)]
        self.paths = [
            self._conv(self.filters, 3, "path1", strides=self.strides, groups=self.groups),
            self._conv(self.filters, 3, "path2", groups=self.groups, **second),
        ]
        self.norms = [self._norm(f"path{d}_norm") for d in (1, 2)]

    def build(self, input_shape):
        shape = list(input_shape)
        shape[self.axis] //= 2 if self.split else 1
        for conv, norm in zip(self.paths, self.norms):
            conv.build(shape)
            norm.build(conv.compute_output_shape(shape))
        self._build_attention()

    def _call_streams(self, inputs, training):
        a, b = ops.split(inputs, 2, axis=self.axis) if self.split else (inputs, inputs)
        if self.sparse:
            b = self._every(2, b)
        a, b = (conv(pad(x)) for conv, pad, x in zip(self.paths, self.pads, (a, b)))
        if not self.sparse:
            b = self._every(self.strides, b)
        return [ops.relu(norm(x, training=training)) for norm, x in zip(self.norms, (a, b))]

    def _every(self, step, x):
        return x[:, ::step, ::step] if self.axis == -1 else x[:, :, ::step, ::step]

    def get_config(self):
        return {**super().get_config(), "groups": self.groups, "split": self.split}
