"""A margin that grows."""

import keras
import numpy as np


class MarginSchedule(keras.callbacks.Callback):
    """Holds the head's margin, lets it grow, and holds it again.

    The margin is a variable of the graph, so nothing is traced anew. The position is read from the
    optimizer's counter, and so survives a resume.

    Args:
        start_margin: float, margin up to `start`.
        end_margin: float, margin from `end` on.
        start: where the growth begins, counted from 0.
        end: where it ends.
        mode: `"exp"`: `start_margin + (end_margin - start_margin) (1 - 0.001^p)` with `p` from 0
            to 1; `"linear"`.
        unit: `"epoch"` (in fractions, batch by batch) or `"step"` (batches).

    Example:

    >>> schedule = MarginSchedule(0.0, 0.2, start=20, end=40)
    >>> [round(schedule.margin_at(epoch), 4) for epoch in (0, 20, 30, 40, 99)]
    [0.0, 0.0, 0.1937, 0.2, 0.2]

    Reference:
        wenet-e2e/wespeaker, `MarginScheduler`.
    """

    def __init__(
        self, start_margin=0.0, end_margin=0.2, start=20, end=40, mode="exp", unit="epoch"
    ):
        super().__init__()
        for name, value, allowed in (
            ("mode", mode, ("exp", "linear")),
            ("unit", unit, ("epoch", "step")),
        ):
            if value not in allowed:
                raise ValueError(f"`{name}` must be one of {allowed}. Received: {name}={value!r}")
        if start > end:
            raise ValueError(f"`start` must not exceed `end`. Received: start={start}, end={end}")
        self.start_margin = start_margin
        self.end_margin = end_margin
        self.start = start
        self.end = end
        self.mode = mode
        self.unit = unit

    def margin_at(self, position):
        """The margin at a position, in the schedule's unit."""
        if position < self.start:
            return self.start_margin
        if position >= self.end:
            return self.end_margin
        share = (position - self.start) / (self.end - self.start)
        if self.mode == "exp":
            share = 1 - 0.001**share
        return self.start_margin + (self.end_margin - self.start_margin) * share

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_begin(self, batch, logs=None):
        position = batches_seen(self.model.optimizer)
        if self.unit == "epoch":
            steps = self.params.get("steps")
            position = position / steps if steps else self.epoch
        self.model.head.margin.assign(self.margin_at(position))


def batches_seen(optimizer):
    """Batches an optimizer was given, accumulated ones included."""
    counter = getattr(optimizer, "inner_optimizer", optimizer).variables[0]
    return int(np.asarray(counter.numpy()))
