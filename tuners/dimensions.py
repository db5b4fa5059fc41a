"""What can vary: one named choice each."""

import math
from dataclasses import KW_ONLY, asdict, dataclass

import numpy as np

PARTS = ("architecture", "recipe")
SCALARS = (str, bool, int, float, type(None))
NEIGHBOURHOOD = 0.1  # of a `Real`: the deviation of a move, where its whole range is 1


@dataclass(frozen=True)
class Dimension:
    """One named choice; the subclasses say among what.

    In arrays of many configurations a value is a number, its code: the place among the values, or
    the value itself of a `Real`. Ordered dimensions also have a position from 0 to 1.

    Args:
        name: A Python identifier, as it becomes a keyword argument.
        part: `"architecture"` (the factory takes it) or `"recipe"` (the training takes it).
        active_if: `(parent, values)`: there is a choice only where the dimension named `parent`,
            which the space has before this one, has one of these values.
    """

    ordered = True

    name: str
    _: KW_ONLY
    part: str = "recipe"
    active_if: tuple | None = None

    def __post_init__(self):
        if not isinstance(self.name, str) or not self.name.isidentifier():
            raise ValueError(f"`name` must be a Python identifier. Received: name={self.name!r}")
        if self.part not in PARTS:
            raise ValueError(
                f"`part` of {self.name!r} must be one of {PARTS}. Received: part={self.part!r}"
            )
        if self.active_if is None:
            return
        match self.active_if:
            case (str(parent), list(values) | tuple(values)) if values:
                object.__setattr__(self, "active_if", (parent, tuple(values)))
            case _:
                raise ValueError(
                    f"`active_if` of {self.name!r} must be (parent's name, its values). "
                    f"Received: active_if={self.active_if!r}"
                )

    def sample(self, rng):
        """One value, drawn with a `numpy.random.Generator`."""
        return self.to_values(self.at(rng.random(1)))[0]

    def get_config(self):
        return {"kind": type(self).__name__, **asdict(self)}


@dataclass(frozen=True)
class Categorical(Dimension):
    """One of several values that have no order.

    Args:
        name: A Python identifier, as it becomes a keyword argument.
        values: Different strings, booleans, numbers or `None`.
        part: `"architecture"` or `"recipe"`.
        active_if: `(parent, values)`, or `None` for always.

    Example:

    >>> tuners.Categorical("pooling", ["asp", "stats"]).size()
    2
    """

    ordered = False

    values: tuple

    def __post_init__(self):
        super().__post_init__()
        if isinstance(self.values, str) or not all(isinstance(v, SCALARS) for v in self.values):
            raise ValueError(
                f"`values` of {self.name!r} must be strings, booleans, numbers or None. "
                f"Received: values={self.values!r}"
            )
        object.__setattr__(self, "values", tuple(self.values))
        different = min(len(set(self.values)), len(set(self._labels())))
        if not self.values or different < len(self.values):
            raise ValueError(
                f"`values` of {self.name!r} must be different, and at least one. "
                f"Received: values={self.values!r}"
            )

    def size(self):
        return len(self.values)

    def at(self, points):
        return np.floor(points * self.size())

    def to_codes(self, values):
        codes = {value: code for code, value in enumerate(self.values)}
        return np.array([codes[value] for value in values], float)

    def to_values(self, codes):
        return [self.values[code] for code in np.asarray(codes, int)]

    def __contains__(self, value):
        return any(type(value) is type(v) and value == v for v in self.values)

    def declare(self, hp):
        return hp.Choice(
            self.name, [*map(self.to_hyperparameter, self.values)], ordered=self.ordered
        )

    def to_hyperparameter(self, value):
        # KerasTuner takes values of one type and makes 0 and 1 of booleans: the rest goes by name.
        return value if self._plain() else str(value)

    def from_hyperparameter(self, value):
        return value if self._plain() else self.values[self._labels().index(value)]

    def _plain(self):
        return {type(v) for v in self.values} in ({str}, {int}, {float})

    def _labels(self):
        return [str(v) for v in self.values]


@dataclass(frozen=True)
class Ordinal(Categorical):
    """One of several numbers, in increasing order.

    Args:
        name: A Python identifier, as it becomes a keyword argument.
        values: Increasing numbers of one type.
        part: `"architecture"` or `"recipe"`.
        active_if: `(parent, values)`, or `None` for always.

    Example:

    >>> tuners.Ordinal("channels", [256, 512, 1024], part="architecture").size()
    3
    """

    ordered = True

    def __post_init__(self):
        super().__post_init__()
        kinds = {type(v) for v in self.values}
        if kinds not in ({int}, {float}) or list(self.values) != sorted(self.values):
            raise ValueError(
                f"`values` of {self.name!r} must be increasing numbers of one type. "
                f"Received: values={self.values!r}"
            )

    def position(self, codes):
        return codes / max(self.size() - 1, 1)

    def from_position(self, positions):
        return np.round(np.clip(positions, 0, 1) * (self.size() - 1))

    def neighbour(self, codes, rng):
        return _step(codes, self.size(), rng)


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
        active_if: `(parent, values)`, or `None` for always.

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

    @property
    def values(self):
        return range(self.low, self.high + 1, self.step)

    def at(self, points):
        if self.log:
            # Every whole number owns the interval of half a step to either side.
            low, high = np.log([self.low - 0.5, self.high + 0.5])
            whole = np.round(np.exp(low + (high - low) * points))
            return np.clip(whole, self.low, self.high) - self.low
        return np.floor(points * self.size())

    def to_codes(self, values):
        return (np.asarray(values, float) - self.low) / self.step

    def to_values(self, codes):
        return (self.low + self.step * np.asarray(codes, int)).tolist()

    def position(self, codes):
        if self.log:
            return np.log1p(codes / self.low) / (math.log(self.high / self.low) or 1.0)
        return codes / max(self.size() - 1, 1)

    def from_position(self, positions):
        positions = np.clip(positions, 0, 1)
        if self.log:
            return np.round(self.low * ((self.high / self.low) ** positions - 1))
        return np.round(positions * (self.size() - 1))

    def neighbour(self, codes, rng):
        return _step(codes, self.size(), rng)

    def __contains__(self, value):
        whole = isinstance(value, (int, np.integer)) and not isinstance(value, bool)
        return whole and self.low <= value <= self.high and (value - self.low) % self.step == 0

    def declare(self, hp):
        if self.log:
            return hp.Int(self.name, self.low, self.high, sampling="log")
        return hp.Int(self.name, self.low, self.high, step=self.step)

    def to_hyperparameter(self, value):
        return int(value)

    from_hyperparameter = to_hyperparameter


@dataclass(frozen=True)
class Real(Dimension):
    """A number from `low` to `high`.

    Args:
        name: A Python identifier, as it becomes a keyword argument.
        low: The smallest value.
        high: The largest value.
        log: Sample evenly in the logarithm; needs `low > 0`.
        part: `"architecture"` or `"recipe"`.
        active_if: `(parent, values)`, or `None` for always.

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

    def at(self, points):
        if self.log:
            values = self.low * (self.high / self.low) ** np.asarray(points)
        else:
            values = self.low + (self.high - self.low) * np.asarray(points)
        return np.clip(values, self.low, self.high)

    def to_codes(self, values):
        return np.asarray(values, float)

    def to_values(self, codes):
        return np.asarray(codes, float).tolist()

    def position(self, codes):
        if self.log:
            return np.log(codes / self.low) / math.log(self.high / self.low)
        return (codes - self.low) / (self.high - self.low)

    def from_position(self, positions):
        return self.at(np.clip(positions, 0, 1))

    def neighbour(self, codes, rng):
        moves = rng.normal(0, NEIGHBOURHOOD, np.shape(codes))
        return self.from_position(self.position(codes) + moves)

    def __contains__(self, value):
        number = isinstance(value, (int, float, np.floating)) and not isinstance(value, bool)
        return number and self.low <= value <= self.high

    def declare(self, hp):
        return hp.Float(self.name, self.low, self.high, sampling="log" if self.log else "linear")

    def to_hyperparameter(self, value):
        return float(value)

    from_hyperparameter = to_hyperparameter


def _step(codes, size, rng):
    """One place up or down; at an end, inwards."""
    moves = np.where(rng.random(np.shape(codes)) < 0.5, -1, 1)
    moved = codes + moves
    outside = (moved < 0) | (moved >= size)
    return np.clip(np.where(outside, codes - moves, moved), 0, size - 1)
