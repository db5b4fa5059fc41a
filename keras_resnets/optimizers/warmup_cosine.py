"""Cosine decay after a linear warm-up."""

import math

import keras
from keras import ops

from keras_resnets.optimizers.checks import count, integer_step, rate

SCALINGS = {"linear": lambda batch: batch / 256, "sqrt": math.sqrt}


@keras.saving.register_keras_serializable("keras_resnets")
class WarmupCosine(keras.optimizers.schedules.LearningRateSchedule):
    """Linear warm-up from `start` to `peak`, then half a cosine down to `end`.

    Step `warmup_steps` has rate `peak`, step `total_steps` and all later ones have rate `end`.
    Between them `end + (peak - end) * (1 + cos(pi * (step - warmup) / (total - warmup))) / 2`.

    Args:
        peak: Rate at the end of the warm-up; with `batch_size`, what it is scaled from.
        total_steps: Steps of the whole training, warm-up included.
        warmup_steps: Steps of the warm-up; 0 for none.
        start: Rate of step 0, if there is a warm-up.
        end: Rate at the end.
        batch_size: Global batch size, if `peak` is scaled by it; `start` and `end` are not.
        scaling: `"linear"`: the rate is `peak * batch_size / 256`; `"sqrt"`:
            `peak * sqrt(batch_size)`.
        every: Steps from one change of the rate to the next: an epoch's, for a staircase.
        name: Name of the schedule.

    Raises:
        ValueError: for an argument out of range.

    Example:

    >>> schedule = WarmupCosine(peak=0.1, total_steps=100, warmup_steps=20)
    >>> [round(float(schedule(step)), 6) for step in (0, 10, 20, 60, 100, 101)]
    [0.0, 0.05, 0.1, 0.05, 0.0, 0.0]
    >>> for base, scaling in ((0.3, "linear"), (0.075, "sqrt")):  # SimCLR's two ways to 4.8
    ...     schedule = WarmupCosine(base, 100, batch_size=4096, scaling=scaling)
    ...     print(round(float(schedule(0)), 6))
    4.8
    4.8

    Reference:

    - Goyal et al., "Accurate, large minibatch SGD", 2017, section 2.2 (warm-up).
    - Loshchilov and Hutter, "SGDR: stochastic gradient descent with warm restarts", 2017, eq. 5.
    - Chen et al., "SimCLR", 2020, appendix B.1 (scaling).
    """

    def __init__(
        self,
        peak,
        total_steps,
        warmup_steps=0,
        start=0.0,
        end=0.0,
        batch_size=None,
        scaling="linear",
        every=1,
        name="WarmupCosine",
    ):
        super().__init__()
        self.peak = rate("peak", peak)
        self.total_steps = count("total_steps", total_steps)
        self.warmup_steps = count("warmup_steps", warmup_steps, minimum=0)
        if self.warmup_steps >= self.total_steps:
            raise ValueError(
                "`warmup_steps` must be below `total_steps`. Received: "
                f"warmup_steps={warmup_steps}, total_steps={total_steps}"
            )
        if scaling not in SCALINGS:
            raise ValueError(
                f"`scaling` must be one of {(*SCALINGS,)}. Received: scaling={scaling!r}"
            )
        self.batch_size = None if batch_size is None else count("batch_size", batch_size)
        self.scaling = scaling
        self.highest = self.peak
        if self.batch_size is not None:
            self.highest *= SCALINGS[scaling](self.batch_size)
        self.start = rate("start", start)
        self.end = rate("end", end)
        self.every = count("every", every)
        self.name = name

    def __call__(self, step):
        step = integer_step(step) // self.every * self.every
        decay_steps = self.total_steps - self.warmup_steps
        decayed = ops.clip(step - self.warmup_steps, 0, decay_steps)
        angle = ops.cast(decayed, "float32") * (math.pi / decay_steps)
        cosine = self.end + (self.highest - self.end) * (1 + ops.cos(angle)) / 2
        if not self.warmup_steps:
            return cosine
        warmed = ops.cast(ops.minimum(step, self.warmup_steps), "float32") / self.warmup_steps
        warmup = self.start + (self.highest - self.start) * warmed
        return ops.where(step < self.warmup_steps, warmup, cosine)

    def get_config(self):
        return {
            "peak": self.peak,
            "total_steps": self.total_steps,
            "warmup_steps": self.warmup_steps,
            "start": self.start,
            "end": self.end,
            "batch_size": self.batch_size,
            "scaling": self.scaling,
            "every": self.every,
            "name": self.name,
        }
