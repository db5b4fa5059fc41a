"""Which frames are valid, from lengths in samples or frames."""

import keras
from keras import ops

from keras_resnets.layers.framing import clip_lengths, frame_count


@keras.saving.register_keras_serializable("keras_resnets")
class FrameMask(keras.layers.Layer):
    """Boolean mask `(B, T)` of the frames that lie wholly in an example's valid samples.

    Args:
        frame_length: int, samples in a frame. The defaults take lengths in frames.
        hop_length: int, samples from one frame to the next.
        pad: int, samples that centred framing adds on each side.
        shortest: int, samples under which an example has no frame; default `frame_length`. A
            "frame" may be a window of frames, longer than the padding lets a signal be.

    Call arguments:
        features: `(B, T, ...)`.
        lengths: integers `(B,)`, or None.

    Returns:
        Boolean `(B, T)`; None if `lengths` is None, which stands for "all frames are valid".

    Raises:
        ValueError: when run eagerly, a length below 1 or beyond the padded size.

    Example:

    >>> keras.ops.convert_to_numpy(FrameMask()(np.zeros((2, 3, 80)), np.array([1, 3])))
    array([[ True, False, False],
           [ True,  True,  True]])
    """

    def __init__(self, frame_length=1, hop_length=1, pad=0, shortest=None, **kwargs):
        super().__init__(autocast=False, **kwargs)
        self.frame_length = frame_length
        self.hop_length = hop_length
        self.pad = pad
        self.shortest = frame_length if shortest is None else shortest
        self.supports_masking = True

    def call(self, features, lengths=None):
        if lengths is None:
            return None
        frames = ops.shape(features)[1]
        longest = frames * self.hop_length + self.frame_length - 2 * self.pad - 1
        lengths = clip_lengths(lengths, longest)
        count = frame_count(lengths, self.frame_length, self.hop_length, self.pad, self.shortest)
        return ops.arange(frames) < count[:, None]

    def compute_mask(self, features, mask=None):
        return None

    def compute_output_spec(self, features, lengths=None):
        if lengths is None:
            return None
        return keras.KerasTensor(features.shape[:2], dtype="bool")

    def get_config(self):
        return {
            **super().get_config(),
            "frame_length": self.frame_length,
            "hop_length": self.hop_length,
            "pad": self.pad,
            "shortest": self.shortest,
        }
