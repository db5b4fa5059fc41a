"""A few random weights of every convolution: what the paper holds BatchNorm against."""

import numpy as np
import tensorflow as tf

from keras_resnets.layers.stacked_blocks import refuse_stacked
from trainers.rules import owned_variables, size


class RandomMask:
    """A few random entries of every convolution's kernel: as many for each output channel.

    With two for each channel a network has the parameters that BatchNorm gives it, but elsewhere:
    the paper's control. As a rule for `train_only` it chooses the kernels; `PartialTrainer` then
    trains the entries alone.

    Args:
        model: built `keras.Model` with convolutions.
        per_channel: int, entries for each output channel.
        seed: int; the same seed and architecture give the same entries.

    Raises:
        ValueError: no convolution, or a kernel with fewer entries a channel.

    Example:

    >>> model = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Conv2D(4, 3)])
    >>> mask = RandomMask(model, per_channel=2, seed=0)
    >>> mask.mask(model.layers[0].kernel).sum(axis=(0, 1, 2))
    array([2, 2, 2, 2])

    Reference:
        [Frankle et al., Training BatchNorm and Only BatchNorm, 2021](https://arxiv.org/abs/2003.00152),
        section 4.
    """

    def __init__(self, model, per_channel=2, seed=0):
        if not isinstance(per_channel, int) or per_channel < 1:
            raise ValueError(
                f"`per_channel` must be a positive integer. Received: per_channel={per_channel!r}"
            )
        refuse_stacked(model, "a random mask")
        self.per_channel = per_channel
        self.seed = seed
        self._entries = {}  # id of a kernel -> flat indices
        rng = np.random.default_rng(seed)
        for variable, layer in owned_variables(model):
            if hasattr(layer, "kernel_size") and variable is getattr(layer, "kernel", None):
                self._entries[id(variable)] = self._draw(variable, layer, rng)
        if not self._entries:
            raise ValueError(
                f"`model` must have convolutions. Received: model={model.name!r}, which has none"
            )

    def _draw(self, kernel, layer, rng):
        flat = np.arange(size(kernel)).reshape(kernel.shape)
        if "Transpose" in type(layer).__name__:
            flat = flat.swapaxes(-1, -2)  # (..., outputs, inputs)
        outputs = flat.shape[-1]
        if "Depthwise" in type(layer).__name__:
            outputs *= flat.shape[-2]
        flat = flat.reshape(-1, outputs)
        if self.per_channel > len(flat):
            raise ValueError(
                f"`per_channel` must not exceed the {len(flat)} entries a channel of "
                f"{kernel.path}. Received: per_channel={self.per_channel}"
            )
        rows = rng.random(flat.shape).argsort(axis=0)[: self.per_channel]
        return np.sort(np.take_along_axis(flat, rows, axis=0), axis=None)

    def __call__(self, variable, layer=None):
        """Whether entries of this variable are trained."""
        return id(variable) in self._entries

    def mask(self, variable):
        """Boolean array of the variable's shape, True at the entries that are trained."""
        mask = np.zeros(size(variable), bool)
        mask[self._entries[id(variable)]] = True
        return mask.reshape(variable.shape)

    def keep(self, gradient, variable):
        """The gradient at the entries that are trained, 0 elsewhere."""
        entries = self._entries[id(variable)]
        values = tf.gather(tf.reshape(gradient, (-1,)), entries)
        return tf.reshape(
            tf.scatter_nd(entries[:, None], values, (size(variable),)), variable.shape
        )

    def get_config(self):
        return {"per_channel": self.per_channel, "seed": self.seed}
