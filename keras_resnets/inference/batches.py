"""A speech model on waveforms of any lengths, in batches with little padding."""

import keras
import numpy as np

# Padded samples in a batch, ten minutes at 16 kHz: the activations of a large encoder take 2 GB.
BATCH_SAMPLES = 9_600_000


class Compiled:
    """A model's inference on padded waveforms, one graph for all shapes.

    Args:
        model: `keras.Model`, called as `model([x, lengths])`.

    Call arguments:
        waveforms: list of float arrays `(S,)`.

    Returns:
        float32 array `(N, D)`. An example without one valid frame gives zeros.
    """

    def __init__(self, model):
        def embed(x, lengths):
            return keras.ops.cast(model([x, lengths], training=False), "float32")

        if keras.config.backend() == "tensorflow":
            import tensorflow as tf

            specs = [tf.TensorSpec([None, None], tf.float32), tf.TensorSpec([None], tf.int32)]
            embed = tf.function(embed, input_signature=specs)
        self._embed = embed

    def __call__(self, waveforms):
        lengths = np.array([len(waveform) for waveform in waveforms], "int32")
        batch = np.zeros((len(lengths), lengths.max()), "float32")
        for row, waveform in zip(batch, waveforms):
            row[: len(waveform)] = waveform
        return keras.ops.convert_to_numpy(self._embed(batch, lengths))


def compiled(model):
    """`model` for repeated use; it sees later changes of the weights."""
    return model if isinstance(model, Compiled) else Compiled(model)


def by_length(lengths, batch_size):
    """Indices in batches of at most `batch_size`, alike in length; long ones in smaller batches."""
    batch = []
    for i in np.argsort(lengths, kind="stable"):
        full = len(batch) == batch_size or (len(batch) + 1) * lengths[i] > BATCH_SAMPLES
        if batch and full:
            yield batch
            batch = []
        batch.append(i)
    if batch:
        yield batch


def embed_waveforms(model, waveforms, batch_size=16):
    """Embeddings of waveforms of any lengths, in order.

    Waveforms of like length share a batch, padded and with their lengths given.

    Args:
        model: `keras.Model` from waveforms `[x, lengths]` to `(B, D)`, or what `compiled` made of
            one.
        waveforms: list of float arrays `(S,)`.
        batch_size: int.

    Returns:
        float32 array `(N, D)`.
    """
    embed = compiled(model)
    vectors = [None] * len(waveforms)
    for rows in by_length([len(w) for w in waveforms], batch_size):
        for i, vector in zip(rows, embed([waveforms[i] for i in rows])):
            vectors[i] = vector
    return np.stack(vectors)


def sampling_rate_of(model):
    """The rate of the model's front end in Hz; 16000 where the model has none that says.

    Raises:
        ValueError: The model takes features.
    """
    inputs = getattr(model, "input", None)
    if isinstance(inputs, dict):
        inputs = inputs.get("inputs")
    if inputs is not None and len(inputs.shape) != 2:
        raise ValueError(
            "`model` must take waveforms (batch, samples): build it with a `frontend`. "
            f"Received: {model.name} with inputs {inputs.shape}"
        )
    rates = [layer.sampling_rate for layer in _layers(model) if hasattr(layer, "sampling_rate")]
    return rates[0] if rates else 16000


def _layers(model):
    for layer in model.layers:
        yield layer
        if isinstance(layer, keras.Model):
            yield from _layers(layer)
