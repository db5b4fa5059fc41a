"""NARS as a KerasTuner tuner: one process, or a chief and workers, which any strategy trains on."""

import collections
import contextlib
import functools
import time
import traceback
from pathlib import Path

import keras
import keras_tuner
import tensorflow as tf
from keras_tuner.src.distribute import utils as roles
from keras_tuner.src.engine import tuner_utils
from keras_tuner.src.engine.trial import TrialStatus

from keras_resnets.files import write_whole
from trainers.distribution import enable_multi_worker, is_multi_worker, refuse_parameter_servers
from tuners.chief import serve
from tuners.client import Client
from tuners.heartbeat import Heartbeat
from tuners.lease import SHORTEST
from tuners.oracle import EPOCHS, FAILURE, FATAL, NARSOracle

FOLDS = 5  # of the trials, to see how well the predictor ranks
PAUSE_S = (0.2, 2.0)  # of a worker that has nothing to do: first, and at most
BARRIER_S = 60  # for the other processes of a cluster, where a trial failed in this one


class NARS(keras_tuner.Tuner):
    """Searches architectures and recipes together, with a predictor that learns what is good.

    It is used as any KerasTuner tuner: `search`, `get_best_models`, `get_best_hyperparameters`,
    `results_summary`, callbacks with TensorBoard, and the environment's `KERASTUNER_TUNER_ID`,
    `KERASTUNER_ORACLE_IP` and `KERASTUNER_ORACLE_PORT` for a chief and workers. Constraints are
    checked before a trial is made. After the first trials it knows after how many epochs their
    order is that of the end, and trains later ones no longer. Any process may be killed and
    started again; `directory` must be on a disk that all processes share.

    With `tf.distribute.MultiWorkerMirroredStrategy` each worker is a cluster of processes with the
    same tuner id, beside a chief.

    Args:
        hypermodel: As for any KerasTuner tuner, such as `fbnet_v3_hypermodel(space)` or
            `recipe_hypermodel(...)`. `None`: a subclass has its own `run_trial`.
        space: `SearchSpace`.
        objective: Name of a metric, `keras_tuner.Objective`, or a list of these, which are summed.
        max_trials: Trials in all.
        statistics: Of a configuration, its free statistics, such as `fbnet_v3_statistics`.
        constraints: `Constraint`s on the statistics.
        budgets: `(statistic, limit)` pairs that the trials are split over, so that one search
            answers for each.
        initial_trials: Trials that fill the space before the predictor chooses.
        refit_every: New results after which the predictor is refitted.
        synchronous: Whether trials come in batches of which all must end, as in the paper.
        batch_size: Of these batches.
        exploration: Weight of the predictor's uncertainty.
        pool_size: Candidates that the space is represented by.
        max_epochs: Epochs of a trial that is not cut short.
        early_stop_correlation: Rank correlation of an epoch with the last one, from which on trials
            are cut short at it.
        executions_per_trial: Trainings of a trial, over which metrics are averaged, epoch by epoch.
        max_retries_per_trial, failure_policy, lease_s, seed, max_consecutive_failed_trials: As for
            `NARSOracle`.
        distribution_strategy: `tf.distribute.Strategy` that each trial is trained under.
        directory, project_name, overwrite: As for any KerasTuner tuner.
        **kwargs: As for `NARSCore` (`pool_only`, `pretrain`, `freeze_epochs`) or
            `keras_tuner.Tuner` (`optimizer`, `loss`, `metrics`, `max_model_size`, `tuner_id`).

    Raises:
        ValueError: An argument out of range, what `NARSCore` raises, `ParameterServerStrategy`, or
            `MultiWorkerMirroredStrategy` without a chief.
        RuntimeError: In `search`, when trials keep failing; with the last one's message.

    Example:

    ```python
    space = tuners.fbnet_v3_space() + tuners.fbnet_v3_recipe_space()
    tuner = tuners.NARS(
        tuners.fbnet_v3_hypermodel(space), space, "val_accuracy", max_trials=100,
        statistics=tuners.fbnet_v3_statistics, constraints=[tuners.Constraint("macs", max=750e6)],
        directory="searches", project_name="fbnet")
    tuner.search(train, validation_data=test)
    smaller = tuner.best_configs([tuners.Constraint("macs", max=450e6)])  # without training
    ```

    Reference:
        Dai et al., FBNetV3, CVPR 2021 (arXiv 2006.02049).
    """

    def __init__(
        self,
        hypermodel=None,
        space=None,
        objective="val_accuracy",
        max_trials=100,
        statistics=None,
        constraints=(),
        budgets=(),
        initial_trials=20,
        refit_every=5,
        synchronous=False,
        batch_size=10,
        exploration=0.5,
        pool_size=20000,
        max_epochs=150,
        early_stop_correlation=0.92,
        executions_per_trial=1,
        max_retries_per_trial=1,
        failure_policy="worst",
        lease_s=None,
        seed=0,
        max_consecutive_failed_trials=3,
        distribution_strategy=None,
        directory=None,
        project_name=None,
        overwrite=False,
        pool_only=False,
        pretrain=True,
        freeze_epochs=0,
        **kwargs,
    ):
        if hypermodel is None and type(self).run_trial is NARS.run_trial:
            raise ValueError("`hypermodel` must be given, or `run_trial` overridden.")
        if space is None:
            raise ValueError("`space` must be a `SearchSpace`. Received: space=None")
        refuse_parameter_servers(distribution_strategy)
        if is_multi_worker(distribution_strategy) and not self._is_worker():
            raise ValueError(
                "A `MultiWorkerMirroredStrategy` needs a chief that its processes ask: set "
                "KERASTUNER_TUNER_ID, KERASTUNER_ORACLE_IP and KERASTUNER_ORACLE_PORT."
            )
        self.own_oracle = NARSOracle(
            space,
            objective=objective,
            max_trials=max_trials,
            lease_s=lease_s,
            failure_policy=failure_policy,
            max_retries_per_trial=max_retries_per_trial,
            max_consecutive_failed_trials=max_consecutive_failed_trials,
            seed=seed,
            statistics=statistics,
            constraints=constraints,
            budgets=budgets,
            initial_trials=initial_trials,
            refit_every=refit_every,
            synchronous=synchronous,
            batch_size=batch_size,
            exploration=exploration,
            pool_size=pool_size,
            pool_only=pool_only,
            max_epochs=max_epochs,
            early_stop_correlation=early_stop_correlation,
            pretrain=pretrain,
            freeze_epochs=freeze_epochs,
        )
        super().__init__(
            self.own_oracle,
            hypermodel,
            executions_per_trial=executions_per_trial,
            distribution_strategy=distribution_strategy,
            directory=directory,
            project_name=project_name,
            overwrite=overwrite,
            **kwargs,
        )
        self.space = space
        self.max_epochs = max_epochs
        self._searched = None
        if self._is_worker():
            stock, self.oracle = self.oracle, Client(self.own_oracle, self.tuner_id)
            self.oracle.multi_worker = stock.multi_worker
            self.oracle.should_report = stock.should_report

    # The search.

    def search(self, *fit_args, **fit_kwargs):
        """Run the trials, or, in the chief, wait until the workers have.

        Args:
            *fit_args, **fit_kwargs: What the hypermodel's `fit` takes beside the model: data,
                `validation_data`, `callbacks` ...

        Raises:
            RuntimeError: Too many trials failed in a row.
        """
        self._searched = fit_args, fit_kwargs
        self.own_oracle.verbose = fit_kwargs.get("verbose", "auto")
        if roles.is_chief_oracle():
            serve(self.oracle)
        else:
            self.on_search_begin()
            for trial in self._trials():
                self.on_trial_begin(trial)
                with self._alive(trial):
                    self._try_run_and_update_trial(trial, *fit_args, **fit_kwargs)
                self.on_trial_end(trial)
            self.on_search_end()
        error = self.own_oracle.error
        if self._is_worker():
            error = self.own_oracle.saved_state().get("error")
        if error:
            raise RuntimeError(error)

    def _trials(self):
        """The trials, as long as there are any; with pauses while others' may come back."""
        shortest, longest = PAUSE_S
        pause = shortest
        while True:
            self.pre_create_trial()
            trial = self.oracle.create_trial(self.tuner_id)
            if trial.status == TrialStatus.STOPPED:
                return
            if trial.status == TrialStatus.IDLE:
                time.sleep(pause)
                pause = min(1.5 * pause, longest)
                continue
            pause = shortest
            yield trial

    def _alive(self, trial):
        if not self._is_worker():
            return contextlib.nullcontext()
        every = min(10.0, (self.own_oracle.leases.seconds or SHORTEST) / 4)
        return Heartbeat(lambda: self.oracle.beat(trial.trial_id), every)

    def run_trial(self, trial, *args, **kwargs):
        """Train the trial's model, as `keras_tuner.Tuner.run_trial`, for the trial's epochs."""
        epochs = trial.hyperparameters.values.get(EPOCHS, self.max_epochs)
        if type(self.hypermodel).fit is keras_tuner.HyperModel.fit:
            kwargs["epochs"] = min(kwargs.get("epochs", epochs), epochs)
        self._curve = collections.defaultdict(list)
        return super().run_trial(trial, *args, **kwargs)

    def _run_and_update_trial(self, trial, *args, **kwargs):
        self._curve = {}
        results = self.run_trial(trial, *args, **kwargs)
        several = results if isinstance(results, list) else [results]
        curves = all(isinstance(result, keras.callbacks.History) for result in several)
        if not (curves and self._curve):  # else it has been reported epoch by epoch
            self._report(trial, results)

    def _report(self, trial, results):
        objective = self.oracle.objective
        tuner_utils.validate_trial_results(results, objective, "Tuner.run_trial()")
        metrics = tuner_utils.convert_to_metrics_dict(results, objective)
        step = tuner_utils.get_best_step(results, objective)
        self.oracle.update_trial(trial.trial_id, _floats(metrics), step=step)

    def _try_run_and_update_trial(self, trial, *args, **kwargs):
        try:
            super()._try_run_and_update_trial(trial, *args, **kwargs)
        except keras_tuner.errors.FatalError:
            trial.status, trial.message = TrialStatus.FAILED, traceback.format_exc()
            self._write_failure(trial, FATAL)
            self.oracle.end_trial(trial)
            raise
        if trial.message is not None:
            self._write_failure(trial, FAILURE)

    def _write_failure(self, trial, name):
        """KerasTuner doesn't send a worker's message to the chief, which reads it here."""
        if self.oracle.should_report:
            with write_whole(Path(self.get_trial_dir(trial.trial_id)) / name) as place:
                place.write_text(trial.message, encoding="utf-8")

    def on_epoch_end(self, trial, model, epoch, logs=None):
        """Report the epoch; the training ends at the trial's last, or where the oracle says so."""
        logs = dict(logs or {})
        if self.oracle.objective.has_value(logs):
            self._curve[epoch].append(_floats(logs))
            done = self._curve[epoch]
            mean = {name: sum(one[name] for one in done) / len(done) for name in done[0]}
            status = self.oracle.update_trial(trial.trial_id, mean, step=epoch).status
            if status == TrialStatus.STOPPED and not self.oracle.multi_worker:
                model.stop_training = True
        if epoch + 1 >= trial.hyperparameters.values.get(EPOCHS, self.max_epochs):
            model.stop_training = True

    def on_trial_end(self, trial):
        """Report the end; the processes of a cluster wait for one another."""
        super().on_trial_end(trial)
        strategy = self.distribution_strategy
        if is_multi_worker(strategy):
            failed = trial.status != TrialStatus.COMPLETED
            barrier(strategy, BARRIER_S if failed else None)()

    def _build_hypermodel(self, hp):
        model = super()._build_hypermodel(hp)
        if is_multi_worker(self.distribution_strategy):
            enable_multi_worker(model)
        return model

    def _configure_tensorboard_dir(self, callbacks, trial, execution=0):
        # KerasTuner imports tensorboard also where it has nothing to do.
        if any(isinstance(callback, keras.callbacks.TensorBoard) for callback in callbacks):
            super()._configure_tensorboard_dir(callbacks, trial, execution)

    # What is known.

    @property
    def predictor(self):
        """The `ArchitectureRecipePredictor`, as it was last fitted."""
        return self._known().core.predictor

    def best_configs(self, constraints=(), k=5, verify=0):
        """The configurations that are predicted to be best, under new constraints.

        Args:
            constraints, k: As for `NARSCore.best_configs`.
            verify: Trains so many of them, with what `search` was given, and predicts anew.

        Returns:
            As `NARSCore.best_configs`.

        Raises:
            ValueError: `verify` without a `search` before, or in a chief or worker.
        """
        several = self._is_worker() or roles.is_chief_oracle()
        if verify and (self._searched is None or several):
            raise ValueError(
                "`verify` needs a `search` before it, in one process: it trains on the same data. "
                f"Received: verify={verify}"
            )
        core = self._known().core
        found = core.best_configs(constraints, k=k)
        if not verify:
            return found
        self.own_oracle.enqueue([row["config"] for row in found if row["value"] is None][:verify])
        args, kwargs = self._searched
        self.search(*args, **kwargs)
        return core.best_configs(constraints, k=k)

    def pareto(self, statistic, points=20):
        """The best at every size; as `NARSCore.pareto`."""
        return self._known().core.pareto(statistic, points=points)

    def get_best_hyperparameters(self, num_trials=1):
        """As `keras_tuner.Tuner.get_best_hyperparameters`."""
        return [trial.hyperparameters for trial in self._known().get_best_trials(num_trials)]

    def get_best_models(self, num_models=1):
        """As `keras_tuner.Tuner.get_best_models`."""
        return [self.load_model(trial) for trial in self._known().get_best_trials(num_models)]

    def results_summary(self, num_trials=10):
        """Print the best trials, how well the predictor ranks unseen ones, and failures."""
        known = self._known()
        print(f"Results in {self.project_dir}: {known.objective}")
        for trial in known.get_best_trials(num_trials):
            print()
            trial.summary()
        done = known.get_best_trials(len(known.trials))
        done = [trial for trial in done if trial.status == TrialStatus.COMPLETED]
        if len(done) >= 2 * FOLDS:
            configs = [self.space.from_hyperparameters(t.hyperparameters.copy()) for t in done]
            sign = 1 if known.objective.direction == "max" else -1
            scores = [sign * trial.score for trial in done]
            tau = known.core.predictor.evaluate_rank(configs, scores, folds=FOLDS)
            print(f"\nKendall's tau of the predictor with trials held out from it: {tau:.2f}")
        failed = [t for t in known.trials.values() if t.status == TrialStatus.FAILED]
        if failed:
            last = (failed[-1].message or "no message").strip().splitlines()[-1]
            print(f"\nFailed trials: {len(failed)} of {len(known.trials)}; the last one's: {last}")

    def _known(self):
        """The oracle with all trials; a worker reads what the chief has saved."""
        if self._is_worker():
            self.own_oracle.reload()
        return self.own_oracle

    # What is kept is the oracle's.

    def _populate_initial_space(self):
        # The space is known; KerasTuner would build models to find it.
        self.reload()  # perhaps only of a previous version, or of trials

    def _get_tuner_fname(self):
        return str(Path(self.project_dir) / "oracle.json")

    def save(self):
        """Nothing is left to save: the oracle does at every change."""

    def reload(self):
        """Go on from what is saved."""
        if not self._is_worker():
            self.own_oracle.reload()


@functools.cache
def barrier(strategy, seconds=None):
    """A function that waits until every process is there; after so many seconds, it raises."""
    options = tf.distribute.experimental.CommunicationOptions(timeout_seconds=seconds)

    def meet():
        context = tf.distribute.get_replica_context()
        return context.all_reduce("SUM", tf.ones(()), options=options)

    return tf.function(lambda: strategy.run(meet))


def _floats(logs):
    return {name: float(value) for name, value in logs.items()}
