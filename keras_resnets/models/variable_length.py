import keras
from keras import ops

from keras_resnets.layers import CepstralMeanNormalization, FrameMask, front_end


@keras.saving.register_keras_serializable("keras_resnets")
class VariableLengthModel(keras.Model):
    """A functional model over padded sequences whose lengths may be left out.

    `model(x)`, `model([x, lengths])` and `model({"inputs": x, "lengths": lengths})` are the same
    call; without lengths every position is valid.

    Args:
        inputs: Dictionary of the `keras.Input`s `"inputs"` and `"lengths"` (optional).
        outputs: As `keras.Model`.

    Example:

    >>> x = keras.Input((None, 1), name="inputs")
    >>> n = keras.Input((), dtype="int32", optional=True, name="lengths")
    >>> model = VariableLengthModel({"inputs": x, "lengths": n}, keras.layers.Dense(2)(x))
    >>> model(np.zeros((1, 5, 1), "float32")).shape
    TensorShape([1, 5, 2])
    """

    supports_masking = True

    def __call__(self, inputs, *args, **kwargs):
        return super().__call__(self._complete(inputs), *args, **kwargs)

    def _complete(self, inputs):
        inputs = self._by_name(inputs)
        if len(self.input["inputs"].shape) == 2:
            inputs["inputs"] = as_waveform(inputs["inputs"])
        return inputs

    @staticmethod
    def _by_name(inputs):
        if isinstance(inputs, dict):
            unknown = set(inputs) - {"inputs", "lengths"}
            if unknown or "inputs" not in inputs:
                raise ValueError(
                    'A dictionary of inputs must have the keys "inputs" and, optionally, '
                    f'"lengths". Received: keys={sorted(inputs)}'
                )
            return {"inputs": inputs["inputs"], "lengths": inputs.get("lengths")}
        if isinstance(inputs, list | tuple):
            if not 1 <= len(inputs) <= 2:
                raise ValueError(
                    "`inputs` must be x, [x, lengths] or a dictionary. "
                    f"Received: a {type(inputs).__name__} of {len(inputs)}"
                )
            return {"inputs": inputs[0], "lengths": inputs[1] if len(inputs) == 2 else None}
        return {"inputs": inputs, "lengths": None}


def as_waveform(x):
    """`x` `(B, samples)` as Keras' functional inputs take it: int16 becomes float in [-1, 1]."""
    dtype, rank = keras.backend.standardize_dtype(x.dtype), len(x.shape)
    if rank == 1:
        raise ValueError(
            f"A waveform must be (batch, samples); use wav[None]. Received: shape={tuple(x.shape)}"
        )
    if rank == 3:
        raise ValueError(
            f"A waveform must be (batch, samples): mix down first. Received: shape={tuple(x.shape)}"
        )
    if dtype == "int16":
        return ops.cast(x, "float32") / 32768.0
    if "float" not in dtype:
        raise ValueError(
            "A waveform must be float in [-1, 1], or int16 (full scale 32768). "
            f"Received: dtype={dtype}"
        )
    return x


class Frames:
    """The frames of a batch of speech inside a network: which are valid at each depth.

    Args:
        lengths: The model's input `"lengths"`.
        window, hop, pad: Samples (or feature frames) that a frame sees, steps and is padded by.
    """

    def __init__(self, lengths, window=1, hop=1, pad=0):
        self.lengths, self.window, self.hop, self.pad = lengths, window, hop, pad
        self._mask = None
        self._after = {}

    def mask(self, x):
        """The mask of these frames; `x` is a tensor that has them on axis 1."""
        if self._mask is None:
            layer = FrameMask(
                self.window, self.hop, self.pad, name=f"mask_{self.window}_{self.hop}"
            )
            self._mask = layer(x, self.lengths)
        return self._mask

    def through(self, kernel_size=1, strides=1):
        """The frames after an unpadded window of `kernel_size` frames at `strides`."""
        if kernel_size == strides == 1:
            return self
        window = self.window + self.hop * (kernel_size - 1)
        key = (window, self.hop * strides)
        return self._after.setdefault(key, Frames(self.lengths, *key, self.pad))


def speech_inputs(input_shape, frontend, spec_augment=None, bins=80):
    """What every speaker network begins with.

    Args:
        input_shape: `(frames, bins)` of the features, or `(samples,)` with a front end; None for
            any length.
        frontend: None, a name for `keras_resnets.layers.front_end`, or a layer like those.
        spec_augment: Layer that acts on the normalised features in training, or None.

    Returns:
        The inputs by name, the features `(B, T, bins)`, and their `Frames`.
    """
    default = (None, bins) if frontend is None else (None,)
    input_shape = tuple(default if input_shape is None else input_shape)
    if len(input_shape) != len(default):
        raise ValueError(
            f"`input_shape` must be like {default} with frontend={frontend!r}. "
            f"Received: input_shape={input_shape}"
        )
    x = inputs = keras.Input(input_shape, name="inputs")
    lengths = keras.Input((), dtype="int32", optional=True, name="lengths")
    frames = Frames(lengths)
    if frontend is not None:
        front = front_end(frontend)
        frames = Frames(lengths, front.frame_length, front.hop_length, front.pad)
        x = front(inputs, lengths=lengths)
        x = CepstralMeanNormalization(name="cmn")(x, mask=frames.mask(x))
        if spec_augment is not None:
            x = spec_augment(x)
    elif spec_augment is not None:
        x = spec_augment(x)
    return {"inputs": inputs, "lengths": lengths}, x, frames
