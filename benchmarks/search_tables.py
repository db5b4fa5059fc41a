"""Tables of networks that were trained once, and are looked up by a search instead of trained.

FCNet (Klein and Hutter, arXiv 1905.04970) is networks with their recipes, NAS-Bench-201 (Dong and
Yang, arXiv 2001.00326) architectures. They are read from the folder `nas` of KERAS_RESNETS_DATA.
"""

import json
import os
from pathlib import Path

import numpy as np

import tuners

FILES = {
    "protein": "fcnet_protein_structure",
    "naval": "fcnet_naval_propulsion",
    "cifar10": "nb201_cifar10",
}
UNORDERED = ("activation_fn_1", "activation_fn_2", "lr_schedule")
RECIPE = ("batch_size", "dropout_1", "dropout_2", "init_lr", "lr_schedule")


class Table:
    """One table: a space, noisy observations of its rows, and the truth.

    Values are log10 of the loss, or minus the accuracy in percent: smaller is better.
    """

    def __init__(self, name):
        folder = Path(os.environ["KERAS_RESNETS_DATA"]) / "nas"
        arrays = np.load(folder / f"{FILES[name]}.npz")
        family = "nb201" if name == "cifar10" else "fcnet"
        choices = json.loads((folder / "spaces.json").read_text())[family]
        self.name = name
        self.space = tuners.SearchSpace([_dimension(*item) for item in choices.items()])
        self.sizes = [len(values) for values in choices.values()]
        if family == "fcnet":
            self.observations = np.log10(arrays["val_loss"].astype(float))
            self.truth = np.log10(arrays["val_loss"].astype(float).mean(axis=1))
            self.free = {"n_params": arrays["n_params"].astype(float)}
        else:
            self.observations = -arrays["val_acc"].astype(float)
            self.truth = np.nanmean(self.observations, axis=1)
            self.free = {n: arrays[n].astype(float) for n in ("params_m", "latency")}

    def rows(self, configs):
        codes = self.space.to_codes(configs).astype(int)
        return np.ravel_multi_index(codes.T, self.sizes)

    def configs(self, rows):
        codes = np.stack(np.unravel_index(rows, self.sizes), axis=1)
        return self.space.to_configs(codes.astype(float))

    def statistics(self, configs):
        """As `tuners.NARSCore` takes it: a dict of arrays for a list."""
        rows = self.rows(configs)
        return {name: values[rows] for name, values in self.free.items()}

    def observe(self, row, rng):
        """The value of one training, as one of those that were run."""
        values = self.observations[row]
        return float(rng.choice(values[~np.isnan(values)]))

    def inside(self, budget=None):
        """Which rows meet a `(statistic, most)`."""
        if budget is None:
            return np.ones(len(self.truth), bool)
        return self.free[budget[0]] <= budget[1]

    def regret(self, trials, budget=None):
        """The truth of the best observed trial, a `(row, value)`, less the best there is."""
        inside = self.inside(budget)
        trials = [trial for trial in trials if inside[trial[0]]]
        if not trials:
            return float("nan")
        best = min(trials, key=lambda trial: trial[1])[0]
        return float(self.truth[best] - self.truth[inside].min())


def _dimension(name, values):
    part = "recipe" if name in RECIPE else "architecture"
    ordered = name not in UNORDERED and not isinstance(values[0], str)
    kind = tuners.Ordinal if ordered else tuners.Categorical
    return kind(name, values, part=part)
