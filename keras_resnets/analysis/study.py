"""Runs with several seeds: kept in a file, summed up as mean and spread, drawn."""

import json
from pathlib import Path

import numpy as np

from keras_resnets.files import write_whole


class Runs:
    """The results of a study so far, by seed and name, in a file that is always whole.

    A study that was cut off asks what is there already and goes on with the rest.

    Args:
        path: of the JSON file; made at once, so that what a study keeps beside it has a setting.
        setting: str, what all runs have in common.
        restart: whether to forget what the file holds.

    Raises:
        ValueError: the file holds runs of another setting.

    Example:

    >>> import os, tempfile
    >>> path = os.path.join(tempfile.mkdtemp(), "runs.json")
    >>> runs = Runs(path, "10 epochs")
    >>> for seed, accuracy in enumerate((0.5, 0.6)):
    ...     runs.put(seed, "student", accuracy)
    >>> Runs(path, "10 epochs").of("student"), runs.has(2, "student")
    ([0.5, 0.6], False)
    """

    def __init__(self, path, setting, restart=False):
        self.path = Path(path)
        self.setting = setting
        self.results = {}
        if restart:
            self.path.unlink(missing_ok=True)
        if self.path.exists():
            state = json.loads(self.path.read_text(encoding="utf-8"))
            if state["setting"] != setting:
                raise ValueError(
                    f"{path} holds runs of another setting: choose another folder or restart. "
                    f"Received: {setting!r}, found: {state['setting']!r}"
                )
            self.results = state["results"]
        self._write()

    def put(self, seed, name, result):
        """Keep a result: a number, or what JSON can hold."""
        self.results.setdefault(str(seed), {})[name] = result
        self._write()

    def _write(self):
        state = {"setting": self.setting, "results": self.results}
        with write_whole(self.path) as place:
            place.write_text(json.dumps(state, indent=1), encoding="utf-8")

    def has(self, seed, name):
        """Whether this result is there."""
        return name in self.results.get(str(seed), {})

    def of(self, name):
        """The results of that name, one a seed that has it."""
        return [results[name] for results in self.results.values() if name in results]


def spread(values, digits=1):
    """Mean and, of several values, their standard deviation, as a cell of a table.

    Args:
        values: numbers, one a seed.
        digits: int, after the point.

    Returns:
        str.

    Example:

    >>> spread([40.0, 41.0, 45.0]), spread([40.0])
    ('42.0 ± 2.6', '40.0')
    """
    deviation = f" ± {np.std(values, ddof=1):.{digits}f}" if len(values) > 1 else ""
    return f"{np.mean(values):.{digits}f}{deviation}"


def plot_spread(scores, path, xlabel, title=""):
    """Draw a bar for the mean of each row, and a dot for each seed.

    Args:
        scores: `{row: values}`, from the top down.
        path: of the image, whose suffix says the format.
        xlabel: str, what the values are.
        title: str.

    Example:

    >>> import os, tempfile
    >>> path = os.path.join(tempfile.mkdtemp(), "accuracy.png")
    >>> plot_spread({"labels": [40.0, 41.0], "distilled": [45.0, 44.0]}, path, "accuracy (%)")
    >>> os.path.getsize(path) > 1000
    True
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 1.2 + 0.4 * len(scores)), layout="constrained")
    axes = figure.add_subplot()
    axes.barh([*scores], [np.mean(values) for values in scores.values()], alpha=0.5)
    for row, values in scores.items():
        axes.plot(values, [row] * len(values), "k.")
    axes.invert_yaxis()
    axes.set_xlabel(xlabel)
    axes.set_title(title, fontsize="small", wrap=True)
    with write_whole(path) as place:
        figure.savefig(place, dpi=120)
