"""Data as batches, whether it comes as arrays or as a stream."""

import numpy as np


def batches(data, batch_size=128):
    """Batches `(inputs, labels)`; labels are `None` where the data has none.

    Args:
        data: array of inputs, a tuple `(inputs, labels)` of arrays, or an iterable of batches of
            either kind, such as a `tf.data.Dataset`.
        batch_size: int, for arrays.

    Raises:
        ValueError: there is no data.
    """
    if isinstance(data, tuple) or hasattr(data, "shape"):
        inputs, labels = data if isinstance(data, tuple) else (data, None)
        data = (
            (inputs[i : i + batch_size], None if labels is None else labels[i : i + batch_size])
            for i in range(0, len(inputs), batch_size)
        )
    empty = True
    for batch in data:
        empty = False
        x, y = batch[:2] if isinstance(batch, tuple | list) else (batch, None)
        yield np.asarray(x, "float32"), y
    if empty:
        raise ValueError("`data` must hold at least one example. Received: none")
