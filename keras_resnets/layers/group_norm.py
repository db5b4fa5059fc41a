import keras
from keras import ops

from keras_resnets.layers.moments import affine, channel_moments, group_moments


@keras.saving.register_keras_serializable("keras_resnets")
class GroupNorm(keras.layers.GroupNormalization):
    """Group normalisation that never reshapes its input, with PyTorch's epsilon.

    The weights and the numbers are those of Keras' layer, which gives the input an axis more.

    Args:
        groups: Number of groups of adjacent channels; -1: as many as channels.
        epsilon: Added to the variance.
        **kwargs: As `keras.layers.GroupNormalization`.

    Call arguments:
        inputs: `(B, ..., C)`.

    Returns:
        As `inputs`.

    Example:

    >>> x = np.array([[[[1.0, 3.0, 5.0, 9.0]]]], "float32")
    >>> np.round(np.ravel(GroupNorm(2)(x)), 3)
    array([-1.,  1., -1.,  1.], dtype=float32)

    Reference:
        Wu and He, "Group Normalization", ECCV 2018.
    """

    def __init__(self, groups=32, epsilon=1e-5, **kwargs):
        super().__init__(groups=groups, epsilon=epsilon, **kwargs)

    def call(self, inputs):
        x = ops.cast(inputs, self.compute_dtype)
        mean, variance = group_moments(*channel_moments(x, self.axis), self.groups)
        shape = [1 if i == 0 or n == 1 else n for i, n in enumerate(mean.shape)]
        scale = ops.rsqrt(variance + self.epsilon)
        if self.scale:
            scale = scale * ops.reshape(self.gamma, shape)
        offset = -mean * scale
        if self.center:
            offset = offset + ops.reshape(self.beta, shape)
        return affine(x, scale, offset)
