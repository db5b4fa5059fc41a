import keras
from keras import ops

from keras_resnets.layers.group_conv import GroupConv2D


@keras.saving.register_keras_serializable("keras_resnets")
class StandardizedConv2D(GroupConv2D):
    """Convolution whose kernel is standardised for every output channel at each call.

    `w' = (w - mean) / sqrt(variance + epsilon)` over height, width and input channels, in float32.
    The weights stay those of a plain convolution.

    Args:
        filters, kernel_size: As `keras.layers.Conv2D`.
        epsilon: Added to the variance.
        **kwargs: As `GroupConv2D`, `groups` too.

    Call arguments:
        inputs: `(B, H, W, C)`, or `(B, C, H, W)` for `data_format="channels_first"`.

    Returns:
        As `keras.layers.Conv2D`.

    Raises:
        ValueError: `epsilon` is negative, or any of `GroupConv2D`'s.

    Example:

    >>> conv = StandardizedConv2D(4, 3, padding="same")
    >>> y = conv(np.ones((1, 8, 8, 2), "float32"))
    >>> y.shape, bool(np.abs(y[0, 4, 4]).max() < 1e-5)
    (TensorShape([1, 8, 8, 4]), True)

    Reference:
        Qiao et al., Micro-Batch Training with Batch-Channel Normalization and Weight
        Standardization (arXiv 1903.10520), equation 11; Kolesnikov et al., Big Transfer, ECCV 2020
        (arXiv 1912.11370).
    """

    def __init__(self, filters, kernel_size, *args, epsilon=1e-10, **kwargs):
        if not epsilon >= 0:
            raise ValueError(f"`epsilon` must not be negative. Received: epsilon={epsilon}")
        super().__init__(filters, kernel_size, *args, **kwargs)
        self.epsilon = epsilon

    def add_weight(self, *args, name=None, **kwargs):
        # half precision would lose the kernel's statistics
        return super().add_weight(*args, name=name, **{**kwargs, "autocast": name != "kernel"})

    def effective_kernel(self, kernel):
        mean = ops.mean(kernel, axis=(0, 1, 2), keepdims=True)
        centred = kernel - mean
        variance = ops.mean(ops.square(centred), axis=(0, 1, 2), keepdims=True)
        return ops.cast(centred * ops.rsqrt(variance + self.epsilon), self.compute_dtype)

    def convolution_op(self, inputs, kernel):
        return super().convolution_op(inputs, self.effective_kernel(ops.convert_to_tensor(kernel)))

    def get_config(self):
        return {**super().get_config(), "epsilon": self.epsilon}
