"""The features of a stream, frame by frame, as they would be of the whole."""

import keras
import numpy as np

from keras_resnets.inference.samples import one_channel
from keras_resnets.layers import KaldiFbank


class StreamingFrontEnd:
    """Features of a stream as it comes: together, they are those of the whole recording.

    Between pushes only the samples are held that the next frame begins with: fewer than one frame,
    240 of them at Kaldi's 25 ms every 10 ms once the first frame is out.

    Args:
        frontend: `keras_resnets.layers.KaldiFbank` or `MFCC`, with `snip_edges=True`. The others
            look at the whole recording: at its ends, or at its loudest frame.

    Raises:
        ValueError: `frontend` is another layer.

    Example:

    >>> stream = StreamingFrontEnd(kr.layers.KaldiFbank())
    >>> wave = np.sin(np.arange(32000) * 0.1)
    >>> [len(stream.push(block)) for block in np.split(wave, 4)]
    [48, 50, 50, 50]
    """

    def __init__(self, frontend):
        if not isinstance(frontend, KaldiFbank) or not frontend.snip_edges:
            raise ValueError(
                "`frontend` must be a KaldiFbank or MFCC layer with snip_edges=True. "
                f"Received: frontend={frontend!r}"
            )
        self._frame, self._hop = frontend.frame_length, frontend.hop_length
        self._bins = frontend.num_mel_bins

        def features(x):
            return keras.ops.cast(frontend(x, training=False), "float32")

        if keras.config.backend() == "tensorflow":
            import tensorflow as tf

            features = tf.function(features, [tf.TensorSpec([1, None], tf.float32)])
        self._features = features
        self.reset()

    def reset(self):
        """Forgets the stream; the next push begins another."""
        self._rest = np.zeros(0, "float32")

    def push(self, samples):
        """Adds samples to the stream.

        Args:
            samples: `(n,)` array of any length: floats in [-1, 1], or int16.

        Returns:
            float32 array `(frames, bins)`: the frames that these samples complete, often none.
        """
        x = np.concatenate([self._rest, one_channel(samples)])
        count = max(0, 1 + (len(x) - self._frame) // self._hop)
        self._rest = x[count * self._hop :].copy()
        if not count:
            return np.zeros((0, self._bins), "float32")
        return keras.ops.convert_to_numpy(self._features(x[None]))[0]
