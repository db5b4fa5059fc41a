"""Cyclical learning rate."""

import math

import keras
from keras import ops

from keras_resnets.optimizers.checks import count, integer_step, rate

MODES = ("triangular", "triangular2", "exp_range")


@keras.saving.register_keras_serializable("keras_resnets")
class CyclicalLearningRate(keras.optimizers.schedules.LearningRateSchedule):
    """Learning rate that climbs from `base` to `max` and back, again and again.

    With `t` the step, `S = step_size`, `cycle = floor(1 + t / (2 S))` and
    `x = |t / S - 2 cycle + 1|`, the rate is `base + (max - base) * max(0, 1 - x) * f`. The position
    in the cycle is computed in integers and stays exact however long the training.

    Args:
        base_learning_rate: Rate at the ends of a cycle.
        max_learning_rate: Rate at the middle of the first cycle.
        step_size: Steps in half a cycle.
        mode: `"triangular"`: every cycle alike, `f = 1`. `"triangular2"`: each half as high as the
            one before, `f = 2^(1 - cycle)`. `"exp_range"`: `f = gamma^t`.
        gamma: Decay a step of `"exp_range"`, in (0, 1].
        name: Name of the schedule.

    Raises:
        ValueError: for an unknown mode or an argument out of range.

    Example:

    >>> schedule = CyclicalLearningRate(1e-8, 1e-3, step_size=65_000, mode="triangular2")
    >>> [float(f"{float(schedule(step)):.6g}") for step in (0, 65_000, 130_000, 195_000)]
    [1e-08, 0.001, 1e-08, 0.000500005]

    Reference:

    - Smith, "Cyclical learning rates for training neural networks", WACV 2017, section 3.
    """

    def __init__(
        self,
        base_learning_rate,
        max_learning_rate,
        step_size,
        mode="triangular2",
        gamma=1.0,
        name="CyclicalLearningRate",
    ):
        super().__init__()
        self.base_learning_rate = rate("base_learning_rate", base_learning_rate)
        self.max_learning_rate = rate("max_learning_rate", max_learning_rate)
        self.step_size = count("step_size", step_size)
        if self.max_learning_rate < self.base_learning_rate:
            raise ValueError(
                "`max_learning_rate` must not be below `base_learning_rate`. Received: "
                f"base_learning_rate={base_learning_rate}, max_learning_rate={max_learning_rate}"
            )
        if mode not in MODES:
            raise ValueError(f"`mode` must be one of {MODES}. Received: mode={mode!r}")
        if not 0 < gamma <= 1:
            raise ValueError(f"`gamma` must be in (0, 1]. Received: gamma={gamma}")
        self.mode = mode
        self.gamma = float(gamma)
        self.name = name

    def __call__(self, step):
        step = integer_step(step)
        period = 2 * self.step_size
        finished = step // period
        position = step - finished * period
        rise = ops.cast(ops.minimum(position, period - position), "float32") / self.step_size
        if self.mode == "triangular2":
            rise = rise * ops.power(0.5, ops.cast(finished, "float32"))
        elif self.mode == "exp_range":
            rise = rise * ops.exp(ops.cast(step, "float32") * math.log(self.gamma))
        return self.base_learning_rate + (self.max_learning_rate - self.base_learning_rate) * rise

    def get_config(self):
        return {
            "base_learning_rate": self.base_learning_rate,
            "max_learning_rate": self.max_learning_rate,
            "step_size": self.step_size,
            "mode": self.mode,
            "gamma": self.gamma,
            "name": self.name,
        }
