"""Quantities that are known only after a run, as targets of a predictor."""

from dataclasses import asdict, dataclass

import numpy as np

from tuners.ranks import normal_cdf


@dataclass
class MeasuredScale:
    """How one measured quantity was made a target of mean 0 and deviation 1.

    Args:
        mean: of the quantity, or of its logarithm.
        deviation: likewise.
        logarithm: whether it is learnt as a logarithm, as it was always positive.
        error: root mean square of what the predictor got wrong of its targets.
    """

    mean: float
    deviation: float
    logarithm: bool
    error: float = 1.0

    @classmethod
    def of(cls, values):
        """Of an array of what was measured; NaN where it wasn't."""
        known = values[~np.isnan(values)]
        logarithm = bool(len(known)) and bool((known > 0).all())
        known = np.log(known) if logarithm else known
        if not len(known):
            return cls(0.0, 1.0, logarithm)
        return cls(float(known.mean()), float(known.std()) or 1.0, logarithm)

    def to_target(self, values):
        if self.logarithm:
            with np.errstate(divide="ignore", invalid="ignore"):
                values = np.log(values)
        return (values - self.mean) / self.deviation

    def probability(self, constraint, mean, deviation):
        """How likely a quantity is allowed, whose target has this `mean` and `deviation`."""
        spread = np.sqrt(np.square(deviation) + max(self.error, 1e-3) ** 2)
        high = low = None
        if constraint.max is not None:
            high = normal_cdf((self._limit(constraint.max) - mean) / spread)
        if constraint.min is not None:
            low = normal_cdf((self._limit(constraint.min) - mean) / spread)
        return (1.0 if high is None else high) - (0.0 if low is None else low)

    def get_config(self):
        return asdict(self)

    def _limit(self, limit):
        if self.logarithm and limit <= 0:
            return -np.inf
        return self.to_target(np.float64(limit))
