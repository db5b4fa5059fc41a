"""Means and variances of channels, and what is pooled from them.

They are taken per example and channel, in float32, with a size of 1 on the other axes. That is so
little data that pooling over groups or over the batch costs nothing: the input itself is read twice
and never reshaped.
"""

import keras
from keras import ops

from keras_resnets.collectives import cross_replica_mean, replica_count


def fast_gradient(function):
    """Decorator of a function that returns `(value, gradient function)`.

    TensorFlow uses that gradient, which keeps and passes over fewer tensors than automatic
    differentiation does. The other backends differentiate the value.
    """
    if keras.backend.backend() == "tensorflow":
        return ops.custom_gradient(function)
    return lambda *args: function(*args)[0]


def upcast(x):
    """Half precision to float32: the square of 256 is infinite in float16."""
    return ops.cast(x, keras.backend.result_type(x.dtype, "float32"))


def unbroadcast(x, like):
    """The sum of `x`, in float32, over the axes on which `like` was broadcast."""
    axes = [axis for axis, size in enumerate(like.shape) if size == 1]
    return ops.cast(ops.sum(upcast(x), axes, keepdims=True), like.dtype)


def positions_summed(x, like):
    """The sum of `x`, in float32, over all axes but the first on which `like` was broadcast."""
    axes = [axis for axis, size in enumerate(like.shape) if size == 1 and axis]
    return ops.sum(upcast(x), axes, keepdims=True)


def channel_moments(x, axis):
    """Mean and variance over all axes but the first and `axis`."""
    axes = [i for i in range(1, len(x.shape)) if i != axis % len(x.shape)]

    @fast_gradient
    def moments(x):
        wide = upcast(x)
        # Two passes: E[x^2] - E[x]^2 would save one and lose the variance beside a large mean.
        mean, variance = ops.moments(wide, axes, keepdims=True)

        def gradient(d_mean, d_variance):
            share = ops.cast(ops.size(mean), wide.dtype) / ops.cast(ops.size(x), wide.dtype)
            dx = (2 * share * d_variance) * (wide - mean) + share * d_mean
            return ops.cast(dx, x.dtype)

        return (mean, variance), gradient

    return moments(x)


def group_moments(mean, variance, groups):
    """The moments of `groups` runs of adjacent channels, given to every channel of the group."""
    shape = ops.shape(mean)
    members = max(mean.shape[1:]) // groups
    mean, variance = (ops.reshape(x, (-1, groups, members)) for x in (mean, variance))
    group_mean = ops.mean(mean, -1, keepdims=True)
    group_variance = ops.mean(variance + ops.square(mean - group_mean), -1, keepdims=True)
    return tuple(
        ops.reshape(ops.repeat(x, members, -1), shape) for x in (group_mean, group_variance)
    )


def batch_moments(mean, variance, synchronized=False):
    """The moments of the batch, or of all replicas' batches, and the number of examples."""
    pooled = cross_replica_mean if synchronized else (lambda x: x)
    examples = pooled(ops.cast(ops.shape(mean)[0], mean.dtype))
    divisor = ops.maximum(examples, 1e-3)  # a replica's share of a last batch may be empty
    batch_mean = pooled(ops.sum(mean, 0, keepdims=True)) / divisor
    spread = variance + ops.square(mean - batch_mean)
    batch_variance = pooled(ops.sum(spread, 0, keepdims=True)) / divisor
    return batch_mean, batch_variance, examples * (replica_count() if synchronized else 1)


def moving_average(average, value, momentum, count):
    """The next moving average of `value`, which is taken from `count` numbers, if any."""
    value = ops.reshape(value, average.shape)
    return ops.where(count > 0, average * momentum + value * (1 - momentum), average)


def largest_divisor(number, limit):
    """The largest divisor of `number` that is at most `limit`."""
    return next(d for d in range(min(number, limit), 0, -1) if number % d == 0)


def in_dtype_of(x, *factors):
    return [ops.cast(factor, x.dtype) for factor in factors]


@fast_gradient
def affine(x, scale, offset):
    """`x * scale + offset`."""
    a, b = in_dtype_of(x, scale, offset)

    def gradient(dy):
        return dy * a, unbroadcast(dy * x, scale), unbroadcast(dy, offset)

    return x * a + b, gradient
