"""Learning-rate decay over a whole training, with a warm-up."""

import keras
from keras import ops

SHAPES = ("linear", "exponential")


@keras.saving.register_keras_serializable("keras_resnets")
class WarmupDecay(keras.optimizers.schedules.LearningRateSchedule):
    """Decay from `peak` to `end`, times a warm-up that rises linearly from 0 to 1.

    Args:
        peak: float, rate the decay starts from.
        end: float, rate at `total_steps` and after; above 0 for `"exponential"`.
        total_steps: int.
        warmup_steps: int, 0 for none.
        shape: `"linear"`: the decay begins where the warm-up ends. `"exponential"`: it begins at
            step 0, so that the warm-up multiplies an already falling rate (WeSpeaker).

    Example:

    >>> schedule = WarmupDecay(2e-3, 0.0, total_steps=100, warmup_steps=20)
    >>> [round(float(schedule(step)), 6) for step in (0, 10, 20, 60, 100)]
    [0.0, 0.001, 0.002, 0.001, 0.0]
    """

    def __init__(self, peak, end, total_steps, warmup_steps=0, shape="linear"):
        super().__init__()
        if shape not in SHAPES:
            raise ValueError(f"`shape` must be one of {SHAPES}. Received: shape={shape!r}")
        if not 0 <= warmup_steps < total_steps:
            raise ValueError(
                "`warmup_steps` must be in [0, total_steps). Received: "
                f"warmup_steps={warmup_steps}, total_steps={total_steps}"
            )
        if shape == "exponential" and min(peak, end) <= 0:
            raise ValueError(
                f"`peak` and `end` must be above 0 to decay exponentially. Received: {peak}, {end}"
            )
        self.peak = peak
        self.end = end
        self.total_steps = total_steps
        self.warmup_steps = warmup_steps
        self.shape = shape

    def __call__(self, step):
        step = ops.convert_to_tensor(step, "int64")
        start = self.warmup_steps if self.shape == "linear" else 0
        passed = ops.clip(step - start, 0, self.total_steps - start)
        done = ops.cast(passed, "float32") / (self.total_steps - start)
        if self.shape == "linear":
            rate = self.peak + (self.end - self.peak) * done
        else:
            rate = self.peak * ops.power(self.end / self.peak, done)
        if self.warmup_steps:
            rate *= ops.cast(ops.minimum(step, self.warmup_steps), "float32") / self.warmup_steps
        return rate

    def get_config(self):
        return {
            "peak": self.peak,
            "end": self.end,
            "total_steps": self.total_steps,
            "warmup_steps": self.warmup_steps,
            "shape": self.shape,
        }
