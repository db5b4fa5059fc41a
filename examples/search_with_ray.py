"""NARS inside Ray Tune: Ray runs the trials on its cluster, NARS proposes them.

pip install "ray[tune]"
python examples/search_with_ray.py --system resnet --at-once 2
"""

import sys
from pathlib import Path

import ray
from ray import tune
from search_systems import evaluate, parse, prepare

import tuners


def main():
    args = parse(
        __doc__, lambda parser: parser.add_argument("--at-once", type=int, default=1, help="trials")
    )
    space = prepare(args).space
    # Ray's processes have this folder to import from.
    folder = str(Path(__file__).parent)
    ray.init(num_cpus=args.at_once, runtime_env={"env_vars": {"PYTHONPATH": folder}})

    def train(config):
        return {"score": evaluate(prepare(args), config)}

    tuner = tune.Tuner(
        train,
        tune_config=tune.TuneConfig(
            metric="score",
            mode="max",
            num_samples=args.trials,
            search_alg=tune.search.ConcurrencyLimiter(NARSSearcher(space, args), args.at_once),
        ),
    )
    best = tuner.fit().get_best_result()
    print(f"Best: {best.metrics['score']:.4f} {best.config}")


class NARSSearcher(tune.search.Searcher):
    """Ray's three questions, passed on to the search core."""

    def __init__(self, space, args):
        super().__init__(metric="score", mode="max")
        self.core = tuners.NARSCore(space, initial_trials=min(20, args.trials), seed=args.seed)
        self.configs = {}

    def suggest(self, trial_id):
        found = self.core.ask()
        if not found:
            return self.FINISHED
        self.configs[trial_id] = found[0]
        return found[0]

    def on_trial_complete(self, trial_id, result=None, error=False):
        self.core.tell(trial_id, self.configs[trial_id], None if error else result["score"])


if __name__ == "__main__":
    sys.exit(main())
