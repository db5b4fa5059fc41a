"""Which configurations a search may propose, by their free statistics."""

import numpy as np

from tuners.evolution import evolve

EXAMPLES = 1000  # of the space, when no point is feasible, to say how far the nearest is


class Feasibility:
    """Whether configurations meet all free constraints.

    Args:
        statistics: `FreeStatistics`, or `None` where there are no constraints.
        constraints: `Constraint`s, of which measured ones play no part.

    Example:

    >>> from tuners.feasibility import Feasibility
    >>> from tuners.statistics import FreeStatistics
    >>> area = FreeStatistics(lambda config: {"area": config["side"] ** 2})
    >>> is_small = Feasibility(area, [tuners.Constraint("area", max=4)])
    >>> is_small([{"side": 2}, {"side": 3}]).tolist()
    [True, False]
    """

    def __init__(self, statistics, constraints):
        self.statistics = statistics
        self.constraints = tuple(c for c in constraints if not c.measured)

    def __call__(self, configs):
        """An array of one boolean a configuration."""
        if not self.constraints or not configs:
            return np.ones(len(configs), bool)
        found = self.statistics(configs)
        return np.all([c.allows(found[c.name]) for c in self.constraints], axis=0)

    def sample(self, space, n, seed):
        """`n` feasible points of the space.

        Raises:
            ValueError: there are none; it says how far the nearest is.
        """
        n = int(min(n, space.size()))
        points = space.sample(n, seed=seed, feasible=self if self.constraints else None)
        if not points:
            self._raise_nearest(space, seed)
        return points

    def distance(self, configs):
        """How far each is outside, as the sum of the shares of its limits; 0 inside."""
        found = self.statistics(configs)
        total = np.zeros(len(configs))
        for constraint in self.constraints:
            limits = [limit for limit in (constraint.max, constraint.min) if limit]
            total += constraint.excess(found[constraint.name]) / max(map(abs, limits), default=1)
        return total

    def approach(self, space, configs, seed, count=50):
        """Feasible configurations that evolve from the nearest `count` of others.

        Raises:
            ValueError: there are none.
        """
        nearest = [configs[i] for i in np.argsort(self.distance(configs), kind="stable")[:count]]
        found, scores = evolve(space, nearest, lambda c: -self.distance(c), seed=seed)
        found = [config for config, score in zip(found, scores) if score == 0]
        if not found:
            self._raise_nearest(space, seed)
        return found[:count]

    def check_names(self):
        """Raises a `ValueError` where a constraint is of no statistic."""
        for constraint in self.constraints:
            names = sorted(self.statistics.names) if self.statistics else []
            if constraint.name not in names:
                raise ValueError(
                    f"Constraints must be of `statistics`: {names}, or be `measured`. "
                    f"Received: {constraint}"
                )

    def _raise_nearest(self, space, seed):
        found = self.statistics(space.sample(int(min(EXAMPLES, space.size())), seed=seed))
        nearest = []
        for constraint in self.constraints:
            excess = constraint.excess(found[constraint.name])
            place = np.argmin(excess)
            nearest.append(
                f"{constraint.name} of {found[constraint.name][place]:g} is nearest to "
                f"max={constraint.max}, min={constraint.min}"
            )
        raise ValueError(f"No point of the space meets the constraints: {'; '.join(nearest)}.")
