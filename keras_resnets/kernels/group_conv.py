"""Grouped convolution that runs, and has gradients, wherever TensorFlow does.

Keras compiles each grouped convolution with XLA, which on CPU is tens of times slower than the
native kernel (its filter gradient hundreds of times), compiles anew for every batch size, and puts
functions into a SavedModel that TensorFlow Serving refuses to run on CPU.
"""

import functools
import warnings

import tensorflow as tf

from keras_resnets.kernels.xla import in_xla, on_cpu_only

MAX_SPLIT = 64  # more convolutions than this take XLA minutes to compile


def group_conv(x, kernel, strides, padding, dilations):
    """Grouped convolution in 1, 2 or 3 dimensions, channels last.

    Args:
        x: `(B, ..., C)`.
        kernel: `(..., C / groups, filters)`.
        strides, dilations: Tuples.
        padding: `"same"` or `"valid"`.
    """
    if len(strides) == 1:  # as an image of one row
        x, kernel = tf.expand_dims(x, 1), tf.expand_dims(kernel, 0)
        return tf.squeeze(group_conv(x, kernel, (1, *strides), padding, (1, *dilations)), 1)

    kernel = tf.convert_to_tensor(kernel)
    groups = x.shape[-1] // kernel.shape[-2]
    options = dict(strides=strides, padding=padding.upper(), dilations=dilations)
    options["data_format"] = "NDHWC" if len(strides) == 3 else "NHWC"
    native = functools.partial(tf.nn.convolution, **options)
    split = functools.partial(_split_conv, groups=groups, **options)
    if not on_cpu_only():
        return native(x, kernel)
    if len(strides) == 3:  # no kernel has groups
        return split(x, kernel)
    native = functools.partial(_native_conv2d, **options)
    if groups == x.shape[-1] and len({*strides}) == 1:
        depthwise = tf.reshape(kernel, (*kernel.shape[:2], groups, -1))
        options["strides"] = (1, *strides, 1)
        return tf.nn.depthwise_conv2d(x, depthwise, **options)
    if in_xla():
        if groups <= MAX_SPLIT:
            return split(x, kernel)
        warnings.warn(
            f"{groups} groups are slow where XLA compiles for CPU: leave out `jit_compile=True`.",
            stacklevel=2,
        )
        return native(x, kernel)
    if has_native_gradient(x.dtype.name):
        return native(x, kernel)
    return _with_gradient_of(split, native)(x, kernel)


def _native_conv2d(x, kernel, **options):
    # Unlike `tf.nn.convolution`, this dilates in the kernel, without moving space to the batch.
    y = tf.nn.conv2d(x, kernel, **options)
    # Keeps the graph optimiser from fusing the convolution with the bias or batch normalisation
    # that follows: the fused kernel raises for groups.
    return tf.ensure_shape(y, y.shape)


def _split_conv(x, kernel, groups, **options):
    pairs = zip(tf.split(x, groups, -1), tf.split(kernel, groups, -1), strict=True)
    return tf.concat([tf.nn.convolution(a, b, **options) for a, b in pairs], -1)


def _with_gradient_of(function, native):
    @tf.custom_gradient
    def convolution(x, kernel):
        def gradient(dy):
            with tf.GradientTape() as tape:
                tape.watch([x, kernel])
                y = function(x, kernel)
            return tape.gradient(y, [x, kernel], dy)

        return native(x, kernel), gradient

    return convolution


@functools.cache
def has_native_gradient(dtype):
    """Whether the native kernel has gradients for this type: with oneDNN, and for some types."""
    with tf.init_scope(), tf.device("CPU"):
        x, kernel = tf.zeros((1, 1, 1, 2), dtype), tf.zeros((1, 1, 1, 2), dtype)
        options = dict(out_backprop=x, strides=[1, 1, 1, 1], padding="VALID")
        try:
            tf.raw_ops.Conv2DBackpropInput(input_sizes=x.shape, filter=kernel, **options)
            tf.raw_ops.Conv2DBackpropFilter(input=x, filter_sizes=kernel.shape, **options)
        except (tf.errors.InvalidArgumentError, tf.errors.UnimplementedError):
            return False
    return True
