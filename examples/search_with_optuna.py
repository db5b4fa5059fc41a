"""NARS inside an Optuna study: Optuna stores the trials, NARS proposes them.

    pip install optuna
    python examples/search_with_optuna.py --system resnet --storage sqlite:///study.db

Several of these processes may share a storage; its dashboard, plots and importances work as ever.
"""

import optuna
from search_systems import evaluate, parse, prepare

import tuners


def main():
    args = parse(__doc__, lambda parser: parser.add_argument("--storage", help="Optuna's"))
    system = prepare(args)
    study = optuna.create_study(
        study_name=args.system, direction="maximize", storage=args.storage, load_if_exists=True
    )
    core = tuners.NARSCore(system.space, initial_trials=min(20, args.trials), seed=args.seed)
    for trial in study.trials:
        core.tell(trial.number, trial.params, trial.value)
    for _ in range(args.trials):
        (config,) = core.ask()
        study.enqueue_trial(config)
        trial = study.ask({d.name: distribution(d) for d in system.space.dimensions})
        value = evaluate(system, config)
        study.tell(trial, value)
        core.tell(trial.number, config, value)
        print(f"{trial.number}: {value:.4f} {config}")
    print(f"Best: {study.best_value:.4f} {study.best_params}")


def distribution(dimension):
    """A dimension, as Optuna calls it."""
    if isinstance(dimension, tuners.Real):
        return optuna.distributions.FloatDistribution(
            dimension.low, dimension.high, log=dimension.log
        )
    if isinstance(dimension, tuners.Integer):
        return optuna.distributions.IntDistribution(
            dimension.low, dimension.high, log=dimension.log, step=dimension.step
        )
    return optuna.distributions.CategoricalDistribution(dimension.values)


if __name__ == "__main__":
    main()
