"""What can vary: one named choice each."""

import math
from dataclasses import KW_ONLY, asdict, dataclass

import numpy as np

PARTS = ("architecture", "recipe")
SCALARS = (str, bool, int, float, type(None))


@dataclass(frozen=True)
class Dimension:
    """One named choice; the subclasses say among what.

    Args:
        name: A Python identifier, as it becomes a keyword argument.
        part: `"architecture"` (the factory takes it) or `"recipe"` (the training takes it).
    """

    name: str
    _: KW_ONLY
    part: str = "recipe"

    def __post_init__(self):
        if not isinstance(self.name, str) or not self.name.isidentifier():
            raise ValueError(f"`name` must be a Python identifier. Received: name={self.name!r}")
        if self.part not in PARTS:
            raise ValueError(
                f"`part` of {self.name!r} must be one of {PARTS}. Received: part={self.part!r}"
            )

    def get_config(self):
        return {"kind": type(self).__name__, **asdict(self)}


@dataclass(frozen=True)
class Categorical(Dimension):
    """One of several values that have no order.

    Args:
        name: A Python identifier, as it becomes a keyword argument.
        values: Different strings, booleans, numbers or `None`.
        part: `"architecture"` or `"recipe"`.

    Example:

    >>> tuners.Categorical("pooling", ["asp", "stats"]).size()
    2
    """

    values: tuple

    def __post_init__(self):
        super().__post_init__()
        if isinstance(self.values, str) or not all(isinstance(v, SCALARS) for v in self.values):
            raise ValueError(
                f"`values` of {self.name!r} must be strings, booleans, numbers or None. "
                f"Received: values={self.values!r}"
            )
        object.__setattr__(self, "values", tuple(self.values))
        if not self.values or len(set(self._labels())) < len(self.values):
            raise ValueError(
                f"`values` of {self.name!r} must be different, and at least one. "
                f"Received: values={self.values!r}"
            )

    def size(self):
        return len(self.values)

    def sample(self, rng):
        return self.values[rng.integers(len(self.values))]

    def __contains__(self, value):
        return any(type(value) is type(v) and value == v for v in self.values)

    def from_hyperparameters(self, hp):
        # KerasTuner takes values of one type and makes 0 and 1 of booleans: the rest goes by name.
        if {type(v) for v in self.values} in ({str}, {int}, {float}):
            return hp.Choice(self.name, list(self.values), ordered=isinstance(self, Ordinal))
        labels = self._labels()
        return self.values[labels.index(hp.Choice(self.name, labels))]

    def _labels(self):
        return [str(v) for v in self.values]


@dataclass(frozen=True)
class Ordinal(Categorical):
    """One of several numbers, in increasing order.

    Args:
        name: A Python identifier, as it becomes a keyword argument.
        values: Increasing numbers of one type.
        part: `"architecture"` or `"recipe"`.

    Example:

    >>> tuners.Ordinal("channels", [256, 512, 1024], part="architecture").size()
    3
    """

    def __post_init__(self):
        super().__post_init__()
        kinds = {type(v) for v in self.values}
        if kinds not in ({int}, {float}) or list(self.values) != sorted(self.values):
            raise ValueError(
                f"`values` of {self.name!r} must be increasing numbers of one type. "
                f"Received: values={self.values!r}"
            )


@dataclass(frozen=True)
class Integer(Dimension):
    """A whole number from `low` to `high`, both included.

    Args:
        name: A Python identifier, as it becomes a keyword argument.
        low: The smallest value.
        high: The largest value, a whole number of steps above `low`.
        step: The distance of neighbours.
        log: Sample evenly in the logarithm; needs `low > 0` and `step == 1`.
        part: `"architecture"` or `"recipe"`.

    Example:

    >>> tuners.Integer("batch_size", 32, 128, step=32).size()
    4
    """

    low: int
    high: int
    step: int = 1
    log: bool = False

    def __post_init__(self):
        super().__post_init__()
        numbers = (self.low, self.high, self.step)
        if not all(type(n) is int for n in numbers):
            raise ValueError(
                f"`low`, `high` and `step` of {self.name!r} must be whole numbers. "
                f"Received: low={self.low!r}, high={self.high!r}, step={self.step!r}"
            )
        if self.step < 1 or self.low > self.high or (self.high - self.low) % self.step:
            raise ValueError(
                f"{self.name!r} must go up from `low` to `high` in whole steps. "
                f"Received: low={self.low}, high={self.high}, step={self.step}"
            )
        if self.log and (self.low < 1 or self.step != 1):
            raise ValueError(
                f"`log` of {self.name!r} needs `low` > 0 and `step` of 1. "
                f"Received: low={self.low}, step={self.step}"
            )

    def size(self):
        return (self.high - self.low) // self.step + 1

    def sample(self, rng):
        if self.log:
            # Every whole number owns the interval of half a step to either side.
            bounds = np.log([self.low - 0.5, self.high + 0.5])
            return int(np.clip(round(np.exp(rng.uniform(*bounds))), self.low, self.high))
        return self.low + self.step * int(rng.integers(self.size()))

    def __contains__(self, value):
        whole = isinstance(value, (int, np.integer)) and not isinstance(value, bool)
        return whole and self.low <= value <= self.high and (value - self.low) % self.step == 0

    def from_hyperparameters(self, hp):
        if self.log:
            return hp.Int(self.name, self.low, self.high, sampling="log")
        return hp.Int(self.name, self.low, self.high, step=self.step)


@dataclass(frozen=True)
class Real(Dimension):
    """A number from `low` to `high`.

    Args:
        name: A Python identifier, as it becomes a keyword argument.
        low: The smallest value.
        high: The largest value.
        log: Sample evenly in the logarithm; needs `low > 0`.
        part: `"architecture"` or `"recipe"`.

    Example:

    >>> 1e-4 in tuners.Real("learning_rate", 1e-5, 1e-2, log=True)
    True
    """

    low: float
    high: float
    log: bool = False

    def __post_init__(self):
        super().__post_init__()
        for bound in ("low", "high"):
            value = getattr(self, bound)
            if type(value) not in (int, float) or not math.isfinite(value):
                raise ValueError(
                    f"`{bound}` of {self.name!r} must be a finite number. "
                    f"Received: {bound}={value!r}"
                )
            object.__setattr__(self, bound, float(value))
        if self.low >= self.high or (self.log and self.low <= 0):
            raise ValueError(
                f"{self.name!r} must have `low` < `high`, and `low` > 0 with `log`. "
                f"Received: low={self.low}, high={self.high}, log={self.log}"
            )

    def size(self):
        return math.inf

    def sample(self, rng):
        if self.log:
            value = math.exp(rng.uniform(math.log(self.low), math.log(self.high)))
            return min(max(value, self.low), self.high)
        return float(rng.uniform(self.low, self.high))

    def __contains__(self, value):
        number = isinstance(value, (int, float, np.floating)) and not isinstance(value, bool)
        return number and self.low <= value <= self.high

    def from_hyperparameters(self, hp):
        return hp.Float(self.name, self.low, self.high, sampling="log" if self.log else "linear")
