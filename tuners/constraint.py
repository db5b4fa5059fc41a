"""What a search may propose."""

import math
from dataclasses import asdict, dataclass

import numpy as np


@dataclass(frozen=True)
class Constraint:
    """Limits of one quantity.

    A free statistic is known of the configuration alone: what is outside never becomes a trial. A
    measured one (memory, latency on the target) is known after a run, and told with its result: the
    predictor learns it, and candidates are ranked by the probability that they are inside.

    Args:
        name: Of the statistic, or of what is measured.
        max: The most that is allowed, or `None`.
        min: The least that is allowed, or `None`.
        measured: Whether it is known only after a run.

    Example:

    >>> small = tuners.Constraint("macs", max=450e6)
    >>> small.allows(np.array([4e8, 5e8])).tolist()
    [True, False]
    """

    name: str
    max: float | None = None
    min: float | None = None
    measured: bool = False

    def __post_init__(self):
        if not isinstance(self.name, str) or not self.name:
            raise ValueError(f"`name` must be that of a statistic. Received: name={self.name!r}")
        limits = [limit for limit in (self.max, self.min) if limit is not None]
        if not limits or not all(_is_number(limit) for limit in limits):
            raise ValueError(
                f"`max` or `min` of {self.name!r} must be given, as finite numbers. "
                f"Received: max={self.max!r}, min={self.min!r}"
            )
        if len(limits) == 2 and self.min > self.max:
            raise ValueError(
                f"`min` of {self.name!r} must not be above `max`. "
                f"Received: min={self.min}, max={self.max}"
            )

    def allows(self, values):
        """Whether `values` (a number or an array) are inside."""
        return self.excess(values) <= 0

    def excess(self, values):
        """How far `values` are outside; 0 inside."""
        values = np.asarray(values, float)
        above = values - (math.inf if self.max is None else self.max)
        below = (-math.inf if self.min is None else self.min) - values
        return np.maximum(np.maximum(above, below), 0)

    def get_config(self):
        return asdict(self)


def as_constraints(constraints, argument="constraints"):
    """A tuple of `Constraint`s, of which those of a maximum may be given as `(name, max)`."""
    found = []
    for constraint in constraints:
        if isinstance(constraint, tuple | list) and len(constraint) == 2:
            constraint = Constraint(*constraint)
        if not isinstance(constraint, Constraint):
            raise ValueError(
                f"`{argument}` must hold `Constraint`s or (name, max). Received: {constraint!r}"
            )
        found.append(constraint)
    return tuple(found)


def _is_number(value):
    number = isinstance(value, int | float | np.number) and not isinstance(value, bool)
    return number and math.isfinite(value)
