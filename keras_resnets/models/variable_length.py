import keras
from keras import ops

from keras_resnets.layers import CepstralMeanNormalization, FrameMask, ZeroEmptyRows, front_end
from keras_resnets.layers.framing import check_waveform


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

    def compute_output_spec(self, inputs, *args, **kwargs):
        inputs = self._by_name(inputs)
        if inputs["lengths"] is None:  # which Keras expects in a call only
            inputs["lengths"] = self.input["lengths"]
        return super().compute_output_spec(inputs, *args, **kwargs)

    def compute_output_shape(self, input_shape):
        shape = input_shape["inputs"] if isinstance(input_shape, dict) else input_shape
        if isinstance(shape[0], list | tuple):
            shape = shape[0]
        return super().compute_output_shape({"inputs": shape, "lengths": shape[:1]})

    def _complete(self, inputs):
        inputs = {k: as_tensor(v) for k, v in self._by_name(inputs).items()}
        if len(self.input["inputs"].shape) == 2:
            inputs["inputs"] = as_waveform(inputs["inputs"])
        check_lengths(inputs["lengths"], inputs["inputs"])
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


def as_tensor(x):
    """Lists and arrays as tensors, which Keras does not mix; None and symbolic tensors as is."""
    return x if x is None or isinstance(x, keras.KerasTensor) else ops.convert_to_tensor(x)


def check_lengths(lengths, x):
    """Raise unless there is one number for each example of `x`."""
    if lengths is None:
        return
    shape, batch = tuple(lengths.shape), x.shape[0]
    wrong_size = None not in (batch, *shape[:1]) and shape[:1] != (batch,)
    if shape[1:] not in ((), (1,)) or wrong_size:
        raise ValueError(
            f"`lengths` must be integers of shape (batch,), the batch being {batch}. "
            f"Received: shape={shape}"
        )


def as_waveform(x):
    """`x` `(B, samples)` as Keras' functional inputs take it: int16 becomes float in [-1, 1]."""
    check_waveform(x.shape, x.dtype)
    if keras.backend.standardize_dtype(x.dtype) == "int16":
        return ops.cast(x, "float32") / 32768.0
    return x


class Frames:
    """The frames of a batch of speech inside a network: which are valid at each depth.

    Args:
        inputs: The model's inputs by name.
        window, hop, pad: Samples (or feature frames) that a frame sees, steps and is padded by.
        shortest: Samples under which an example has no frame.
    """

    def __init__(self, inputs, window=1, hop=1, pad=0, shortest=None):
        self.inputs, self.window, self.hop, self.pad = inputs, window, hop, pad
        self.shortest = window if shortest is None else shortest
        self._mask = None
        self._after = {}

    def mask(self, x):
        """The mask of these frames; `x` is a tensor that has them on axis 1."""
        if self._mask is None:
            name = f"mask_{self.window}_{self.hop}"
            layer = FrameMask(self.window, self.hop, self.pad, self.shortest, name=name)
            self._mask = layer(x, self.inputs["lengths"])
        return self._mask

    def zero_empty(self, x):
        """`x` `(B, ...)` with zeros for the examples that have none of these frames."""
        layer = ZeroEmptyRows(self.shortest, name="zero_empty")
        return layer(x, self.inputs["inputs"], self.inputs["lengths"])

    def through(self, kernel_size=1, strides=1):
        """The frames after an unpadded window of `kernel_size` frames at `strides`."""
        if kernel_size == strides == 1:
            return self
        window = self.window + self.hop * (kernel_size - 1)
        shortest = max(self.shortest, window - 2 * self.pad)
        after = Frames(self.inputs, window, self.hop * strides, self.pad, shortest)
        return self._after.setdefault((after.window, after.hop), after)


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
    x = keras.Input(input_shape, name="inputs")
    lengths = keras.Input((), dtype="int32", optional=True, name="lengths")
    inputs = {"inputs": x, "lengths": lengths}
    frames = Frames(inputs)
    if frontend is not None:
        front = front_end(frontend)
        frames = Frames(inputs, front.frame_length, front.hop_length, front.pad)
        x = front(x, lengths=lengths)
        x = CepstralMeanNormalization(name="cmn")(x, mask=frames.mask(x))
        if spec_augment is not None:
            x = spec_augment(x)
    elif spec_augment is not None:
        x = spec_augment(x)
    return inputs, x, frames
