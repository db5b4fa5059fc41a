"""The forms in which speech reaches a trainer, and where augmentation may act on it."""

import tensorflow as tf


def split_lengths(inputs):
    """`x`, `(x, lengths)` or `{"inputs": x, "lengths": n}` -> `x, lengths or None`."""
    if isinstance(inputs, dict):
        x, lengths = inputs["inputs"], inputs.get("lengths")
    elif isinstance(inputs, (list, tuple)):
        x, lengths = inputs if len(inputs) == 2 else (inputs[0], None)
    else:
        x, lengths = inputs, None
    return x, None if lengths is None else tf.reshape(lengths, (-1,))


def augment_by_place(augment, encoder, frontend):
    """The `augment` argument as a dict with both places, each a layer or `None`."""
    rank = _input_rank(encoder)
    if augment is not None and not isinstance(augment, dict):
        place = "waveform" if frontend is None and rank == 2 else "features"
        augment = {place: augment}
    augment = {"waveform": None, "features": None, **(augment or {})}
    if len(augment) > 2:
        raise ValueError(
            f'`augment` may have the keys "waveform" and "features". Received: {list(augment)}'
        )
    if augment["features"] is not None and frontend is None and rank == 2:
        raise ValueError(
            '`augment["features"]` needs the features outside the encoder. Received: an encoder '
            "that takes a waveform; give a features encoder and `frontend`."
        )
    if augment["waveform"] is not None and frontend is None and rank == 3:
        raise ValueError(
            '`augment["waveform"]` needs a waveform. Received: an encoder that takes features and '
            "frontend=None"
        )
    return augment


def _input_rank(encoder):
    """Rank of the encoder's data input, `None` where it is unknown."""
    shape = getattr(encoder, "input_shape", None)
    if isinstance(shape, dict):
        shape = shape["inputs"]
    elif isinstance(shape, list):
        shape = shape[0]
    return None if shape is None else len(shape)
