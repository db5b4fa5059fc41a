"""What a search knows of one trial."""

import math
from dataclasses import dataclass, field


@dataclass
class TrialRecord:
    """One configuration's results.

    Args:
        id: a string or a whole number.
        config: `{name: value}`.
        value: the result, `None` before there is one and where it failed.
        history: `{step: value}`.
        finished: whether the trial is over, by a result or by a failure.
        measured: `{name: number}` known after the run.
    """

    id: object
    config: dict
    value: float | None = None
    history: dict = field(default_factory=dict)
    finished: bool = False
    measured: dict = field(default_factory=dict)

    @property
    def failed(self):
        return self.finished and self.value is None

    def tell(self, value, step=None, finished=True, measured=None):
        """Takes a value: a result, or with `finished=False` history only."""
        value = None if value is None or math.isnan(value) else float(value)
        if step is not None and value is not None:
            self.history[int(step)] = value
        if finished:
            self.value = value
            self.finished = True
        self.measured |= {name: float(number) for name, number in (measured or {}).items()}

    def value_at(self, epoch):
        """The result after that many epochs if it is known, for trials of different length."""
        return self.value if self.failed else self.history.get(epoch, self.value)

    def get_config(self):
        return {
            "id": self.id,
            "config": self.config,
            "value": self.value,
            "history": sorted(self.history.items()),
            "finished": self.finished,
            "measured": self.measured,
        }

    @classmethod
    def from_config(cls, config):
        return cls(**{**config, "history": {int(s): v for s, v in config["history"]}})
