"""What is known of a configuration before any training."""

import numpy as np


class FreeStatistics:
    """A user's statistics of configurations, checked.

    Args:
        function: From a configuration to a dict of non-negative floats. If it also takes a list of
            them and then returns a dict of arrays, as `fbnet_v3_statistics`, it is asked once for
            many; that is found out with a list of one.

    Example:

    >>> from tuners.statistics import FreeStatistics
    >>> area = FreeStatistics(lambda config: {"area": config["side"] ** 2})
    >>> area([{"side": 2}, {"side": 3}])
    {'area': array([4., 9.])}
    """

    def __init__(self, function):
        if not callable(function):
            raise TypeError(
                "`statistics` must be a function of a configuration. "
                f"Received: statistics={function!r}"
            )
        self.function = function
        self.names = None
        self._takes_lists = None

    def __call__(self, configs):
        """`{name: array of one number a configuration}`."""
        if self._takes_lists is None:
            self._takes_lists = self._try_list(configs[0])
        if self._takes_lists:
            found = self.function(configs)
            self._check_names(found)
        else:
            rows = [self.function(config) for config in configs]
            for row in rows:
                self._check_names(row)
            found = {name: [row[name] for row in rows] for name in self.names}
        found = {name: np.asarray(found[name], float) for name in self.names}
        for name, values in found.items():
            wrong = np.flatnonzero(~(np.isfinite(values) & (values >= 0)))
            if len(wrong):
                raise ValueError(
                    f"`statistics` must be finite and not negative. Received: {name!r} of "
                    f"{values[wrong[0]]} for {configs[wrong[0]]}"
                )
        return found

    def _try_list(self, config):
        try:
            found = self.function([config])
            return all(np.shape(values) == (1,) for values in found.values())
        except Exception:  # whatever a function of one configuration makes of a list
            return False

    def _check_names(self, found):
        if not isinstance(found, dict) or not found:
            raise ValueError(f"`statistics` must return a dict of numbers. Received: {found!r}")
        if self.names is None:
            self.names = tuple(found)
        if set(found) != set(self.names):
            raise ValueError(
                f"`statistics` must always have the same names: {sorted(self.names)}. "
                f"Received: {sorted(found)}"
            )
