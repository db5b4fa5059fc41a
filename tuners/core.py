"""NARS: FBNetV3's search, as a loop of anyone asks and tells."""

import warnings

import numpy as np

from tuners.candidates import Candidates, inside, starting_points
from tuners.constraint import Constraint, as_constraints
from tuners.early_stopping import early_stop_epoch
from tuners.evolution import evolve
from tuners.feasibility import Feasibility
from tuners.predictor import ArchitectureRecipePredictor
from tuners.state import checked_state
from tuners.statistics import FreeStatistics
from tuners.trial import TrialRecord

FORMAT = 1  # of the state
DIRECTIONS = ("max", "min")
# What a state must agree in, or its search would go on otherwise.
OPTIONS = (
    "direction",
    "initial_trials",
    "refit_every",
    "synchronous",
    "batch_size",
    "exploration",
    "pool_size",
    "pool_only",
    "max_epochs",
    "early_stop_correlation",
    "pretrain",
    "freeze_epochs",
    "seed",
)
PRETRAINING_POINTS = 2000
LEAST_SHARE = 0.05  # of results that meet new constraints, or the predictor extrapolates


class NARSCore:
    """Joint search of architecture and recipe by a pretrained predictor.

    The first trials are spread evenly over the space. A predictor, pretrained on free statistics of
    architectures, then learns from all results, and every further trial is the best candidate that
    it knows of: of a pool of points, and of a short evolution. Whoever asks never waits for others,
    unless `synchronous`.

    Args:
        space: `SearchSpace`.
        direction: of the results: `"max"` or `"min"` is better.
        statistics: a function from a configuration to a dict of what is free to know of it, or from
            a list of them to a dict of arrays. The predictor is pretrained on them.
        constraints: `Constraint`s, or (name, max), that every trial meets; measured ones, as far as
            the predictor can tell.
        budgets: `Constraint`s, or (name, max), of free statistics, each of which is to have a best
            configuration: trials are split evenly over them and over none.
        initial_trials: which are spread evenly.
        refit_every: so many new results make the predictor learn anew.
        synchronous: whether trials come in batches, of which one has all its results before the
            next begins.
        batch_size: of those.
        exploration: so many deviations of the predictor's ensemble are added to its mean.
        pool_size: how many points the pool has.
        pool_only: whether candidates are the pool's alone, as in the paper.
        max_epochs: of a trial.
        early_stop_correlation: trials after the initial ones get as many epochs as give this rank
            correlation with the last.
        pretrain: whether to pretrain the predictor.
        freeze_epochs: as in `ArchitectureRecipePredictor`.
        seed: a whole number, from which, with what was told, all proposals follow.

    Example:

    >>> space = tuners.SearchSpace([
    ...     tuners.Integer("width", 1, 64, part="architecture"),
    ...     tuners.Real("rate", 1e-4, 1e-1, log=True),
    ... ])
    >>> core = tuners.NARSCore(
    ...     space,
    ...     statistics=lambda config: {"params": config["width"] ** 2},
    ...     constraints=[tuners.Constraint("params", max=1000)],
    ...     pool_size=200,
    ... )
    >>> for number in range(25):
    ...     config = core.ask()[0]
    ...     core.tell(number, config, config["width"] - 100 * config["rate"])
    >>> best = core.results()[0]["config"]
    >>> best["width"], best["rate"] < 0.01
    (31, True)

    Reference:
        Dai et al., FBNetV3, CVPR 2021 (arXiv 2006.02049), algorithm 1.
    """

    def __init__(
        self,
        space,
        direction="max",
        statistics=None,
        constraints=(),
        budgets=(),
        initial_trials=20,
        refit_every=5,
        synchronous=False,
        batch_size=10,
        exploration=0.5,
        pool_size=20000,
        pool_only=False,
        max_epochs=150,
        early_stop_correlation=0.92,
        pretrain=True,
        freeze_epochs=0,
        seed=0,
    ):
        if direction not in DIRECTIONS:
            raise ValueError(
                f"`direction` must be one of {DIRECTIONS}. Received: direction={direction!r}"
            )
        whole = {
            "initial_trials": (initial_trials, 2),
            "refit_every": (refit_every, 1),
            "batch_size": (batch_size, 1),
            "pool_size": (pool_size, 1),
            "max_epochs": (max_epochs, 1),
            "freeze_epochs": (freeze_epochs, 0),
            "seed": (seed, 0),
        }
        for name, (value, least) in whole.items():
            if type(value) is not int or value < least:
                raise ValueError(
                    f"`{name}` must be a whole number from {least}. Received: {name}={value!r}"
                )
        for name, value, most in (
            ("exploration", exploration, np.inf),
            ("early_stop_correlation", early_stop_correlation, 1),
        ):
            if not isinstance(value, int | float) or not 0 <= value <= most:
                raise ValueError(
                    f"`{name}` must be a number from 0 to {most}. Received: {name}={value!r}"
                )
        self.space = space
        self.direction = direction
        self.statistics = None if statistics is None else FreeStatistics(statistics)
        self.constraints = as_constraints(constraints)
        self.budgets = as_constraints(budgets, "budgets")
        self.initial_trials = initial_trials
        self.refit_every = refit_every
        self.synchronous = synchronous
        self.batch_size = batch_size
        self.exploration = exploration
        self.pool_size = pool_size
        self.pool_only = pool_only
        self.max_epochs = max_epochs
        self.early_stop_correlation = early_stop_correlation
        self.pretrain = pretrain
        self.freeze_epochs = freeze_epochs
        self.seed = seed

        self._asked = []
        self._seen = set()
        self._trials = {}
        self._fitted = []  # the results that the current ranking follows from
        self._asked_at_refit = 0
        self._ranked = False
        self._early_stop = None
        self._predictor = None
        self._learnt = None  # the results that the predictor has learnt from

        if measured := [c for c in self.budgets if c.measured]:
            raise ValueError(f"`budgets` must be of free statistics. Received: {measured}")
        self._pretraining = self._pretraining_points()
        # For every budget, and for none.
        limits = [self._feasibility([b]) for b in self.budgets] + [self._feasibility()]
        self._candidates = [
            Candidates(space, limit, -(-pool_size // len(limits)), [seed, place])
            for place, limit in enumerate(limits)
        ]

    @property
    def predictor(self):
        """The `ArchitectureRecipePredictor`, pretrained when it is first needed."""
        if self._predictor is None:
            self._predictor = ArchitectureRecipePredictor(
                self.space,
                [c.name for c in self._measured],
                freeze_epochs=self.freeze_epochs,
                seed=self.seed,
            )
            if self._pretraining is not None:
                self._predictor.fit_statistics(*self._pretraining)
        return self._predictor

    @property
    def epochs(self):
        """How many epochs a new trial gets."""
        if self._early_stop is None:
            initial = self.space.keys(self._asked[: self.initial_trials])
            trials = dict(self._keyed_trials())
            first = [trials.get(key) for key in initial]
            if len(first) == self.initial_trials and all(t and t.finished for t in first):
                found = early_stop_epoch([t.history for t in first], self.early_stop_correlation)
                self._early_stop = min(found or self.max_epochs, self.max_epochs)
        return self._early_stop or self.max_epochs

    def ask(self, n=1):
        """Proposes configurations, none of which was proposed or told of before.

        Args:
            n: how many.

        Returns:
            A list of `{name: value}`: fewer than `n` when nothing new is left, or, if
            `synchronous`, while results of the batch are missing.
        """
        found = []
        while len(found) < n and (config := self._propose()) is not None:
            self._asked.append(config)
            found.append(dict(config))
        return found

    @property
    def waiting(self):
        """Whether `ask` gives nothing before more results are told."""
        asked = len(self._asked)
        if not self.synchronous or asked < self.initial_trials:
            return False
        if (asked - self.initial_trials) % self.batch_size:
            return False
        finished = {k for k, t in self._keyed_trials() if t.finished}
        return not finished.issuperset(self.space.keys(self._asked))

    def tell(self, id, config, value, step=None, finished=True, measured=None):
        """Takes a trial's value.

        Args:
            id: of the trial, a string or a whole number. Told again, it updates the trial.
            config: the trial's configuration, asked for or not.
            value: the result; `None` or NaN if it failed, which ranks last.
            step: after how many epochs the value was measured.
            finished: whether it is the result, and not only history.
            measured: `{name: number}` of what is known after the run.
        """
        if not isinstance(id, str | int) or isinstance(id, bool):
            raise ValueError(f"`id` must be a string or a whole number. Received: id={id!r}")
        if step is not None and step < 1:
            raise ValueError(f"`step` must be a number of epochs, from 1. Received: step={step!r}")
        self.space.validate(config)
        trial = self._trials.get(id)
        if trial is None:
            trial = self._trials[id] = TrialRecord(id, dict(config))
            self._seen.update(self.space.keys([config]))
        elif trial.config != config:
            raise ValueError(
                f"`config` of trial {id!r} must be as before: {trial.config}. Received: {config}"
            )
        trial.tell(value, step, finished, measured)

    def results(self):
        """What was found.

        Returns:
            A list of `{"id", "config", "value", "feasible", "measured"}`, one of every finished
            trial: the best first, compared after as many epochs as all have; those that break a
            measured constraint after all that don't, and failed ones last.
        """
        found = [
            {
                "id": trial.id,
                "config": dict(trial.config),
                "value": trial.value,
                "feasible": self._fits(trial, self.constraints),
                "measured": dict(trial.measured),
            }
            for trial in self._trials.values()
            if trial.finished
        ]

        def rank(result):
            failed = result["value"] is None
            value = 0 if failed else self.compared(result["id"])
            return failed, not result["feasible"], -self._sign * value

        return sorted(found, key=rank)

    def compared(self, id):
        """A finished trial's value as it is compared: after as many epochs as all trials have."""
        trial, epochs = self._trials[id], self.epochs
        return trial.value if epochs == self.max_epochs else trial.value_at(epochs)

    def best_configs(self, constraints=(), k=5):
        """The best that the predictor knows of, under other constraints and without any trial.

        Args:
            constraints: `Constraint`s, or (name, max); they replace the search's of the same name.
            k: how many.

        Returns:
            A list of `{"config", "score", "statistics", "value"}`, the best first: the predicted
            normal score, the free statistics, and the result where there is one.

        Warns:
            when less than 5 % of the results meet the constraints.
        """
        constraints = self._replaced(as_constraints(constraints))
        results = [trial for trial in self._trials.values() if trial.finished and not trial.failed]
        inside = sum(self._fits(trial, constraints) for trial in results)
        if inside < LEAST_SHARE * len(results):
            warnings.warn(
                f"{inside} of {len(results)} results meet {list(constraints)}: there the predictor "
                "extrapolates. Verify its choice by trials: `tuners.NARS` has `verify=`.",
                stacklevel=2,
            )
        limit = Feasibility(self.statistics, constraints)
        limit.check_names()
        return self._evolved(limit, constraints, k)

    def pareto(self, statistic, points=20):
        """The best trade-offs of a free statistic, which should be small, and the score.

        Args:
            statistic: its name.
            points: how many limits of it are tried, spread evenly over the space's points.

        Returns:
            A list like `best_configs`', by increasing statistic: none is as good and as small as
            another.
        """
        self._feasibility([Constraint(statistic, max=0)]).check_names()
        values = self.statistics(self._candidates[-1].pool)[statistic]
        limits = np.quantile(values, np.linspace(0, 1, points + 1)[1:])
        found, start = [], []
        for most in np.unique(limits):
            constraints = (*self.constraints, Constraint(statistic, max=float(most)))
            limit = Feasibility(self.statistics, constraints)
            found += self._evolved(limit, constraints, 1, start)
            start = [row["config"] for row in found]
        front = []
        for row in sorted(found, key=lambda row: (row["statistics"][statistic], -row["score"])):
            if not front or row["score"] > front[-1]["score"]:
                front.append(row)
        return front

    def state_dict(self):
        """All that a search has come to, as values that JSON can hold."""
        return {
            "format": FORMAT,
            "space": {"layout": self.space.layout, **self.space.get_config()},
            "options": self._options(),
            "asked": self._asked,
            "trials": [trial.get_config() for trial in self._trials.values()],
            "fitted": self._fitted,
            "asked_at_refit": self._asked_at_refit,
            "early_stop": self._early_stop,
        }

    def load_state_dict(self, state):
        """Goes on where another search of the same space and options stood.

        Args:
            state: of `state_dict`, perhaps through JSON.

        Raises:
            ValueError: it is of another space, of other options or of a newer format.
        """
        state = checked_state(state, self.state_dict())
        trials = [TrialRecord.from_config(trial) for trial in state["trials"]]
        self._asked = state["asked"]
        self._trials = {trial.id: trial for trial in trials}
        self._fitted = [tuple(row) for row in state["fitted"]]
        self._asked_at_refit = state["asked_at_refit"]
        self._early_stop = state["early_stop"]
        self._seen = set(self.space.keys([*self._asked, *(trial.config for trial in trials)]))
        self._ranked = False
        for candidates in self._candidates:
            candidates.forget_ranking()

    @property
    def _sign(self):
        return 1 if self.direction == "max" else -1

    @property
    def _measured(self):
        return [c for c in self.constraints if c.measured]

    def _options(self):
        return {
            **{name: getattr(self, name) for name in OPTIONS},
            "constraints": [c.get_config() for c in self.constraints],
            "budgets": [b.get_config() for b in self.budgets],
        }

    def _replaced(self, constraints):
        names = {c.name for c in constraints}
        return (*(c for c in self.constraints if c.name not in names), *constraints)

    def _feasibility(self, further=()):
        found = Feasibility(self.statistics, (*self.constraints, *further))
        found.check_names()
        return found

    def _pretraining_points(self):
        """Configurations and their statistics, checked on the way; `None` where there are none."""
        points = self.space.sample(int(min(PRETRAINING_POINTS, self.space.size())), seed=self.seed)
        statistics = None if self.statistics is None else self.statistics(points)
        if not self.pretrain:
            return None
        if not self.space.architecture_width:
            warnings.warn(
                "The space has no dimension of part 'architecture': nothing to pretrain on.",
                stacklevel=3,
            )
            return None
        if statistics is None:
            return None
        # small spaces have few points, and are seen as often as large ones
        chosen = np.resize(np.arange(len(points)), PRETRAINING_POINTS)
        return [points[i] for i in chosen], {n: v[chosen] for n, v in statistics.items()}

    def _propose(self):
        """The best unseen candidate of whose turn it is, which is from now on seen."""
        if self.waiting:
            return None
        turn = len(self._asked) % len(self._candidates)
        if len(self._asked) >= self.initial_trials:
            self._refit_if_due()
        # Between two refits, no second candidate that is nearly the same.
        near = set(self.space.cells(self._asked[self._asked_at_refit :]))
        for taboo in (near, set()):
            for candidates in self._candidates[turn:] + self._candidates[:turn]:
                key, config = candidates.first(self._seen, taboo)
                if config is not None:
                    self._seen.add(key)
                    return config
        return None

    def _refit_if_due(self):
        finished = [trial for trial in self._trials.values() if trial.finished]
        every = 1 if self.synchronous else self.refit_every
        if len(finished) - len(self._fitted) >= every:
            self._fitted = self._results_to_fit()
            self._asked_at_refit = len(self._asked)
            self._ranked = False
        if not self._ranked and self._fitted:
            self._rank()

    def _results_to_fit(self):
        """`(id, result, measured)` of finished trials, in an order that is not of their arrival."""
        rows = []
        for key, trial in self._keyed_trials():
            if trial.finished:
                result = (trial.id, self.compared(trial.id), dict(trial.measured))
                rows.append((key, str(trial.id), result))
        return [row[-1] for row in sorted(rows, key=lambda row: row[:2])]

    def _learn(self, results):
        if self._learnt == results:
            return
        names = [c.name for c in self._measured]
        values = [np.nan if value is None else self._sign * value for _, value, _ in results]
        measured = {n: [found.get(n, np.nan) for *_, found in results] for n in names}
        configs = [self._trials[id].config for id, *_ in results]
        self.predictor.fit_results(configs, values, measured)
        self._learnt = list(results)

    def _rank(self):
        self._learn(self._fitted)
        tried = None if self.pool_only else [self._trials[id].config for id, *_ in self._fitted]
        for place, candidates in enumerate(self._candidates):
            candidates.rank(self._score, tried, seed=[self.seed, place, len(self._fitted)])
        self._ranked = True

    def _score(self, vectors):
        return self.predictor.score_vectors(vectors, self.exploration, self._measured)

    def _evolved(self, limit, constraints, k, start=()):
        """Stage 3: rows of `best_configs`."""
        results = self._results_to_fit()
        if len(results) < 2:
            raise ValueError(f"A prediction needs two results at least. Received: {len(results)}")
        self._learn(results)
        measured = [c for c in constraints if c.measured]
        if unknown := [c.name for c in measured if c.name not in self.predictor.measured]:
            raise ValueError(
                "Measured constraints must be of what the search had constraints of: "
                f"{list(self.predictor.measured)}. Received: {unknown}"
            )

        def score(configs):
            return self.predictor.score(configs, constraints=measured)

        tried = [self._trials[id].config for id, *_ in results]
        pool = self._candidates[-1].pool
        points = starting_points(self.space, limit, tried, pool, score, seed=[self.seed, 6])
        points += inside(start, limit)
        configs, scores = evolve(self.space, points, score, limit, seed=[self.seed, 5])
        known = {key: trial for key, trial in self._keyed_trials() if trial.finished}
        found = []
        for key, config, value in zip(self.space.keys(configs), configs, scores):
            trial = known.get(key)
            if trial and (trial.failed or not self._fits(trial, measured)):
                continue
            found.append(
                {
                    "config": config,
                    "score": float(value),
                    "statistics": self._statistics_of(config),
                    "value": trial.value if trial else None,
                }
            )
            if len(found) == k:
                break
        return found

    def _statistics_of(self, config):
        if self.statistics is None:
            return {}
        return {name: float(value[0]) for name, value in self.statistics([config]).items()}

    def _fits(self, trial, constraints):
        """Whether a trial meets constraints, the measured ones as measured."""
        measured = all(
            c.allows(trial.measured.get(c.name, np.inf)) for c in constraints if c.measured
        )
        return bool(measured and Feasibility(self.statistics, constraints)([trial.config])[0])

    def _keyed_trials(self):
        trials = list(self._trials.values())
        return zip(self.space.keys([trial.config for trial in trials]), trials)
