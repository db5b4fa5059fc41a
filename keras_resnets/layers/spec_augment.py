"""SpecAugment: random time and frequency masks."""

import keras
from keras import ops


@keras.saving.register_keras_serializable("keras_resnets")
class SpecAugment(keras.layers.Layer):
    """Zeroes random bands of time and of frequency, for each example anew, in training only.

    A mask is uniformly 0 to `width` wide, both included, and uniformly placed. Applied after mean
    subtraction, zero is the mean.

    Args:
        time_width: int, widest time mask, in frames.
        freq_width: int, widest frequency mask, in channels.
        time_masks: int, number of time masks.
        freq_masks: int, number of frequency masks.
        seed: int, or None.

    Call arguments:
        inputs: `(B, T, C)`.
        training: bool.

    Returns:
        `(B, T, C)`.

    Example:

    >>> x = np.ones((1, 200, 80), "float32")
    >>> bool(np.all(SpecAugment()(x, training=False) == x))
    True

    Reference:
        Park et al., "SpecAugment", Interspeech 2019, arXiv 1904.08779, section 2 (no time warp).
    """

    def __init__(
        self, time_width=5, freq_width=10, time_masks=1, freq_masks=1, seed=None, **kwargs
    ):
        super().__init__(**kwargs)
        sizes = (time_width, freq_width, time_masks, freq_masks)
        if min(sizes) < 0:
            raise ValueError(
                "`time_width`, `freq_width`, `time_masks`, `freq_masks` must not be negative. "
                f"Received: {sizes}"
            )
        self.time_width = time_width
        self.freq_width = freq_width
        self.time_masks = time_masks
        self.freq_masks = freq_masks
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed)
        self.supports_masking = True

    def call(self, inputs, training=None):
        if not training:
            return inputs
        batch, frames, channels = ops.shape(inputs)
        time = self._bands(batch, frames, self.time_width, self.time_masks)
        freq = self._bands(batch, channels, self.freq_width, self.freq_masks)
        hidden = ops.logical_or(time[:, :, None], freq[:, None, :])
        return ops.where(hidden, ops.zeros_like(inputs), inputs)

    def _bands(self, batch, size, widest, masks):
        """Boolean `(batch, size)`: True under any of the masks."""
        widths = keras.random.randint(
            (batch, masks, 1), 0, widest + 1, dtype="int32", seed=self.seed_generator
        )
        widths = ops.minimum(widths, size)
        place = keras.random.uniform((batch, masks, 1), dtype="float32", seed=self.seed_generator)
        start = ops.cast(ops.floor(place * ops.cast(size - widths + 1, "float32")), "int32")
        index = ops.arange(size)
        return ops.any(ops.logical_and(index >= start, index < start + widths), axis=1)

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {
            **super().get_config(),
            "time_width": self.time_width,
            "freq_width": self.freq_width,
            "time_masks": self.time_masks,
            "freq_masks": self.freq_masks,
            "seed": self.seed,
        }
