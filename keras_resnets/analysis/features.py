"""What a network makes of data: one vector an example."""

import keras
import numpy as np

from keras_resnets.analysis.batches import batches


class FeatureExtractor:
    """Features of a network in inference mode, which they leave as it is to the bit.

    Args:
        model: `keras.Model`, or layer, from inputs to vectors (B, C): a backbone with pooling, a
            contrastive trainer.

    Call arguments:
        data: Array of inputs, `(inputs, labels)`, or an iterable of batches of either, such as a
            `tf.data.Dataset`.
        batch_size: Integer, for arrays.
        verbose: 1 for a progress bar, else 0.

    Returns:
        The features, a float32 array (N, C), and the labels (N,); None where there are none.

    Raises:
        ValueError: no data, or a model whose output is no vector.

    Example:

    >>> model = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.GlobalAveragePooling2D()])
    >>> features, labels = FeatureExtractor(model)((np.ones((5, 8, 8, 3)), np.arange(5)))
    >>> features.shape, labels.tolist()
    ((5, 3), [0, 1, 2, 3, 4])
    """

    def __init__(self, model):
        def features(x):
            return keras.ops.cast(model(x, training=False), "float32")

        if keras.config.backend() == "tensorflow":
            import tensorflow as tf

            features = tf.function(features, reduce_retracing=True)
        self._features = features

    def __call__(self, data, batch_size=128, verbose=0):
        features, labels = [], []
        bar = keras.utils.Progbar(_batch_count(data, batch_size), verbose=verbose)
        for x, y in batches(data, batch_size):
            features.append(keras.ops.convert_to_numpy(self._features(x)))
            if y is not None:
                labels.append(np.ravel(keras.ops.convert_to_numpy(y)))
            if features[-1].ndim != 2:
                raise ValueError(
                    "`model` must give one vector an example: build it with "
                    f'`include_top=False, pooling="avg"`. Received: output {features[-1].shape}'
                )
            bar.add(1)
        return np.concatenate(features), np.concatenate(labels) if labels else None


def _batch_count(data, batch_size):
    """The number of batches, or None where it is not known before the end."""
    arrays = data[0] if isinstance(data, tuple) else data
    if hasattr(arrays, "shape"):
        return -(-len(arrays) // batch_size)
    try:
        return len(data)
    except TypeError:  # a generator, or a dataset of unknown length
        return None
