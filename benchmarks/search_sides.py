"""Searches that are compared: each spends so many evaluations of a table.

A side is a function of a table, a number of evaluations and a seed; it returns its trials in order,
each a row of the table and the value that was observed.
"""

import collections
import tempfile

import numpy as np

import tuners

POPULATION, TOURNAMENT = 20, 5
INITIAL = 20


def nars(table, evaluations, seed, budget=None, **options):
    """Ours with its defaults; `budget` is a `(statistic, most)` that every trial meets."""
    core = tuners.NARSCore(
        table.space,
        direction="min",
        statistics=table.statistics,
        constraints=[budget] if budget else [],
        seed=seed,
        **options,
    )
    rng = np.random.default_rng([seed, 1])
    trials = []
    for number in range(evaluations):
        config = core.ask()[0]
        row = int(table.rows([config])[0])
        trials.append((row, table.observe(row, rng)))
        core.tell(number, config, trials[-1][1])
    return trials


def nars_plain(table, evaluations, seed, budget=None):
    """Ours without pretraining."""
    return nars(table, evaluations, seed, budget, pretrain=False)


def random(table, evaluations, seed, budget=None):
    rng = np.random.default_rng([seed, 2])
    rows = rng.choice(np.flatnonzero(table.inside(budget)), evaluations, replace=False)
    return [(int(row), table.observe(row, rng)) for row in rows]


def evolution(table, evaluations, seed, budget=None):
    """Regularised evolution (Real et al., AAAI 2019): the oldest dies."""
    rng = np.random.default_rng([seed, 3])
    inside = table.inside(budget)
    trials, alive = [], collections.deque(maxlen=POPULATION)
    while len(trials) < evaluations:
        if len(trials) < POPULATION:
            row = int(rng.choice(np.flatnonzero(inside)))
        else:
            chosen = rng.choice(len(alive), TOURNAMENT, replace=False)
            parent = min((alive[i] for i in chosen), key=lambda trial: trial[1])[0]
            codes = list(np.unravel_index(parent, table.sizes))
            place = rng.integers(len(codes))
            codes[place] = (codes[place] + rng.integers(1, table.sizes[place])) % table.sizes[place]
            row = int(np.ravel_multi_index(codes, table.sizes))
            if not inside[row]:
                continue
        trials.append((row, table.observe(row, rng)))
        alive.append(trials[-1])
    return trials


def tpe(table, evaluations, seed):
    """Optuna's default sampler; ordered dimensions as whole numbers."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    rng = np.random.default_rng([seed, 4])
    trials = []

    def objective(trial):
        codes = [
            trial.suggest_int(d.name, 0, d.size() - 1)
            if d.ordered
            else trial.suggest_categorical(d.name, list(range(d.size())))
            for d in table.space.dimensions
        ]
        row = int(np.ravel_multi_index(codes, table.sizes))
        trials.append((row, table.observe(row, rng)))
        return trials[-1][1]

    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=seed))
    study.optimize(objective, n_trials=evaluations)
    return trials


def keras_random(table, evaluations, seed):
    """KerasTuner's RandomSearch."""
    from keras_tuner.oracles import RandomSearchOracle

    return _keras_tuner(RandomSearchOracle, table, evaluations, seed)


def keras_bayesian(table, evaluations, seed):
    """KerasTuner's BayesianOptimization."""
    from keras_tuner.oracles import BayesianOptimizationOracle

    return _keras_tuner(
        BayesianOptimizationOracle, table, evaluations, seed, num_initial_points=INITIAL
    )


def _keras_tuner(kind, table, evaluations, seed, **options):
    import keras_tuner

    oracle = kind(
        objective=keras_tuner.Objective("value", "min"),
        max_trials=evaluations,
        hyperparameters=table.space.to_hyperparameters(),
        seed=seed,
        **options,
    )
    oracle.verbose = 0
    rng = np.random.default_rng([seed, 5])
    trials = []
    with tempfile.TemporaryDirectory() as folder:
        oracle._set_project_dir(folder, "search")
        while len(trials) < evaluations:
            trial = oracle.create_trial("tuner0")
            if trial.status == "STOPPED":  # it has no new point
                break
            config = table.space.from_hyperparameters(trial.hyperparameters)
            row = int(table.rows([config])[0])
            trials.append((row, table.observe(row, rng)))
            oracle.update_trial(trial.trial_id, {"value": trials[-1][1]})
            trial = oracle.get_trial(trial.trial_id)
            trial.status = "COMPLETED"
            oracle.end_trial(trial)
    return trials
