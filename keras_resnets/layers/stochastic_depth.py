import keras
from keras import ops


@keras.saving.register_keras_serializable("keras_resnets")
class StochasticDepth(keras.layers.Layer):
    """Drops whole examples of a residual branch in training, and scales up those that stay.

    Args:
        rate: probability of dropping.
        seed: of the random numbers.
        **kwargs: as `keras.layers.Layer`.

    Call arguments:
        inputs: `(B, ...)`.
        training: whether to drop.

    Returns:
        As the input.

    Example:

    >>> StochasticDepth(0.5)(np.ones((2, 3))).numpy().sum()
    np.float32(6.0)

    Reference:
        Huang et al., Deep Networks with Stochastic Depth, ECCV 2016 (arXiv 1603.09382).
    """

    def __init__(self, rate, seed=None, **kwargs):
        super().__init__(**kwargs)
        if not 0 <= rate < 1:
            raise ValueError(f"`rate` must be in [0, 1). Received: rate={rate}")
        self.rate = rate
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed)

    def call(self, inputs, training=False):
        if not training or not self.rate:
            return inputs
        shape = (ops.shape(inputs)[0], *[1] * (len(inputs.shape) - 1))
        kept = keras.random.uniform(shape, seed=self.seed_generator) >= self.rate
        return inputs * ops.cast(kept, inputs.dtype) / (1 - self.rate)

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {**super().get_config(), "rate": self.rate, "seed": self.seed}


@keras.saving.register_keras_serializable("keras_resnets")
class DropBlock2D(StochasticDepth):
    """Drops square blocks of a feature map in training, the same in all channels.

    Args:
        rate: share of the map that is dropped, on average.
        block_size: side of a block.
        seed: of the random numbers.
        **kwargs: as `keras.layers.Layer`.

    Call arguments:
        inputs: `(B, H, W, C)`, or channels first where Keras is set so.
        training: whether to drop.

    Returns:
        As the input.

    Example:

    >>> DropBlock2D(0.1, block_size=3)(np.ones((1, 8, 8, 2)), training=True).shape
    TensorShape([1, 8, 8, 2])

    Reference:
        Ghiasi et al., DropBlock, NeurIPS 2018 (arXiv 1810.12890).
    """

    def __init__(self, rate, block_size=7, seed=None, **kwargs):
        super().__init__(rate, seed, **kwargs)
        self.block_size = block_size
        self.data_format = keras.config.image_data_format()

    def call(self, inputs, training=False):
        if not training or not self.rate:
            return inputs
        last = self.data_format == "channels_last"
        shape = ops.shape(inputs)
        height, width = shape[1:3] if last else shape[2:4]
        area = ops.cast(height * width, "float32")
        sides = ops.cast(
            ops.maximum(height - self.block_size + 1, 1)
            * ops.maximum(width - self.block_size + 1, 1),
            "float32",
        )
        seeds = self.rate / self.block_size**2 * area / sides
        noise = keras.random.uniform((shape[0], height, width, 1), seed=self.seed_generator)
        dropped = ops.cast(noise < seeds, "float32")
        kept = 1 - ops.max_pool(dropped, self.block_size, 1, "same", "channels_last")
        scale = ops.cast(ops.size(kept), "float32") / ops.maximum(ops.sum(kept), 1.0)
        kept = ops.cast(kept * scale, inputs.dtype)
        return inputs * (kept if last else ops.transpose(kept, (0, 3, 1, 2)))

    def get_config(self):
        return {**super().get_config(), "block_size": self.block_size}
