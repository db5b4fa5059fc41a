"""Learning rate that is constant over ranges of epochs."""

import keras
from keras import ops

from keras_resnets.optimizers.checks import count, integer_step, rate


@keras.saving.register_keras_serializable("keras_resnets")
class PiecewiseEpochs(keras.optimizers.schedules.LearningRateSchedule):
    """Learning rate that changes at the start of given epochs.

    Args:
        boundaries: Increasing epochs (counted from 0) from which on the next value holds. Or, with
            `values` left out, the whole plan as `(first_epoch, last_epoch, value)` triples with
            inclusive, adjoining ranges from epoch 0 on, as recipes print it.
        values: The rates, one more than `boundaries`. The last one holds to the end of training.
        steps_per_epoch: Optimizer steps an epoch. With 1 the schedule takes the epoch itself.
        warmup_steps: Steps over which a factor rises linearly from 0 to 1.
        name: Name of the schedule.

    Raises:
        ValueError: for boundaries out of order, ranges with a gap or overlap, a wrong number of
            values or a negative rate.

    Example:

    >>> schedule = PiecewiseEpochs([30, 60, 80], [0.4, 0.04, 0.004, 0.0004], steps_per_epoch=100)
    >>> [round(float(schedule(step)), 6) for step in (0, 2999, 3000, 6000, 8000)]
    [0.4, 0.4, 0.04, 0.004, 0.0004]
    >>> schedule = PiecewiseEpochs([(0, 100, 0.01), (101, 300, 0.001)])
    >>> [round(float(schedule(epoch)), 6) for epoch in (100, 101)]
    [0.01, 0.001]
    """

    def __init__(
        self, boundaries, values=None, steps_per_epoch=1, warmup_steps=0, name="PiecewiseEpochs"
    ):
        super().__init__()
        if values is None:
            boundaries, values = _from_ranges(boundaries)
        self.boundaries = [count("boundaries", epoch) for epoch in boundaries]
        self.values = [rate("values", value) for value in values]
        self.steps_per_epoch = count("steps_per_epoch", steps_per_epoch)
        self.warmup_steps = count("warmup_steps", warmup_steps, minimum=0)
        self.name = name
        if sorted(set(self.boundaries)) != self.boundaries:
            raise ValueError(f"`boundaries` must increase. Received: boundaries={boundaries}")
        if len(self.values) != len(self.boundaries) + 1:
            raise ValueError(
                f"`values` must have one entry more than `boundaries`. Received: "
                f"{len(self.values)} values, {len(self.boundaries)} boundaries"
            )

    def __call__(self, step):
        step = integer_step(step)
        epoch = step // self.steps_per_epoch
        learning_rate = ops.full((), self.values[0], dtype="float32")
        for boundary, value in zip(self.boundaries, self.values[1:], strict=True):
            learning_rate = ops.where(epoch >= boundary, value, learning_rate)
        if self.warmup_steps:
            rise = ops.cast(ops.minimum(step, self.warmup_steps), "float32") / self.warmup_steps
            learning_rate = learning_rate * rise
        return learning_rate

    def get_config(self):
        return {
            "boundaries": self.boundaries,
            "values": self.values,
            "steps_per_epoch": self.steps_per_epoch,
            "warmup_steps": self.warmup_steps,
            "name": self.name,
        }


def _from_ranges(ranges):
    expected = 0
    for first, last, _ in ranges:
        if first != expected or last < first:
            raise ValueError(
                "The (first_epoch, last_epoch, value) ranges must adjoin and start at epoch 0. "
                f"Received: {list(ranges)}"
            )
        expected = last + 1
    return [first for first, _, _ in ranges[1:]], [value for _, _, value in ranges]
