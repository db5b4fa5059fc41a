"""KerasTuner's oracle for NARS: it keeps the trials, and outlives the crash of any process."""

import collections
import copy
import math
from datetime import datetime
from pathlib import Path

import keras_tuner
import numpy as np
from keras_tuner.src.engine.metrics_tracking import MetricObservation, MetricsTracker
from keras_tuner.src.engine.trial import Trial, TrialStatus

from tuners.core import NARSCore
from tuners.lease import Leases
from tuners.lock import locked
from tuners.state import load_state, save_state

MOST_LOST = 3  # workers that one trial may cost
EPOCHS = "tuner/epochs"  # Hyperband's name for it
FAILURE, FATAL = "failure.txt", "fatal.txt"  # what a worker writes into its trial's folder
POLICIES = ("worst", "ignore")
FINISHED = (TrialStatus.COMPLETED, TrialStatus.FAILED)


class NARSOracle(keras_tuner.Oracle):
    """Hands out the trials that `NARSCore` chooses, to one process or to many workers.

    A trial is lent to a worker. One that has been silent for `lease_s` loses its trial to the next
    that asks; what it says after that is passed over. Everything is saved at every change, so that
    a killed process goes on where it was, with the same choices. A worker that asks while the last
    trials are running is told to wait, as one of these may come back.

    Args:
        space: `SearchSpace`.
        objective: As for any KerasTuner oracle.
        max_trials: Trials in all, failed ones included.
        lease_s: Seconds of silence after which a worker counts as dead. `None`: three times the
            longest silence seen, and at least 60. 0: never.
        failure_policy: `"worst"`: a failed trial ranks last in what the predictor learns;
            `"ignore"`: it learns nothing from it.
        max_retries_per_trial: How often a trial that raised, or whose objective is NaN, is run
            again.
        max_consecutive_failed_trials: After so many failures in a row no more trials are handed
            out, and the search ends with an error that has the last one's message.
        seed: A whole number; 0 is one like any other.
        **search: As for `NARSCore`.

    Raises:
        ValueError: An argument out of range, or what `NARSCore` raises.

    Example:

    ```python
    oracle = tuners.NARSOracle(space, "val_accuracy", max_trials=50)
    trial = oracle.create_trial("tuner0")
    oracle.update_trial(trial.trial_id, {"val_accuracy": 0.9})
    trial.status = "COMPLETED"
    oracle.end_trial(trial)
    ```
    """

    def __init__(
        self,
        space,
        objective="val_accuracy",
        max_trials=100,
        lease_s=None,
        failure_policy="worst",
        max_retries_per_trial=1,
        max_consecutive_failed_trials=3,
        seed=0,
        **search,
    ):
        if type(max_trials) is not int or max_trials < search.get("initial_trials", 20):
            raise ValueError(
                "`max_trials` must be an integer, and at least `initial_trials`, which is "
                f"{search.get('initial_trials', 20)}. Received: max_trials={max_trials!r}"
            )
        if failure_policy not in POLICIES:
            raise ValueError(
                f"`failure_policy` must be one of {POLICIES}. "
                f"Received: failure_policy={failure_policy!r}"
            )
        super().__init__(
            objective=objective,
            max_trials=max_trials,
            hyperparameters=space.to_hyperparameters(),
            tune_new_entries=False,
            max_retries_per_trial=max_retries_per_trial,
            max_consecutive_failed_trials=max_consecutive_failed_trials,
        )
        self.seed = self._seed_state = seed  # KerasTuner takes 0 for "none"
        self.space = space
        self.core = NARSCore(space, direction=self.objective.direction, seed=seed, **search)
        self.failure_policy = failure_policy
        self.leases = Leases(lease_s)
        self.error = None  # why no more trials are handed out
        self.over = False  # whether the chief has left
        self.exhausted = False
        self._wanted = []  # configurations that come before the core's
        self._failures = 0  # in a row
        self._lost = collections.Counter()  # how often a trial's worker fell silent
        self._silent = {}  # trials taken from a silent worker: their ids, and whose they were

    # What workers call; a worker of another process says who it is: `"trial/worker"`.

    def create_trial(self, tuner_id):
        self.leases.renew(tuner_id)
        with locked(self):
            self.requeue_silent()
            if tuner_id in self.ongoing_trials:  # restarted, or another process of its cluster
                return copy.copy(self.ongoing_trials[tuner_id])
            self.tuner_ids.add(tuner_id)
            trial = self._next_trial()
            if trial.status == TrialStatus.RUNNING:
                self.ongoing_trials[tuner_id] = trial
                self._save_trial(trial)
                self.save()
                self._display.on_trial_begin(trial)
            elif trial.status == TrialStatus.STOPPED:
                self._forget_worker(tuner_id)
            return copy.copy(trial)  # whoever runs it sets its status

    def update_trial(self, trial_id, metrics, step=0):
        """Record metrics of a step. They replace those of this step and of all later ones.

        Returns:
            The trial; its status is `"STOPPED"` where it should be trained no further.
        """
        trial_id, worker = self._heard(trial_id)
        with locked(self):
            trial = self.trials.get(trial_id)
            if not self._is_held(trial, worker):
                return Trial(self.hyperparameters.copy(), trial_id, TrialStatus.STOPPED)
            self._check_objective_found(metrics)
            values = {name: float(value) for name, value in metrics.items()}
            values.setdefault(self.objective.name, self.objective.get_value(values))
            for name, value in values.items():
                self._record(trial.metrics, name, value, int(step))
            self._tell(trial, values[self.objective.name], step=int(step) + 1, finished=False)
            self._save_trial(trial)
            trial = copy.copy(trial)
            if step + 1 >= trial.hyperparameters.values.get(EPOCHS, math.inf):
                trial.status = TrialStatus.STOPPED
            return trial

    def end_trial(self, trial):
        trial_id, worker = self._heard(trial.trial_id)
        with locked(self):
            held = self.trials.get(trial_id)
            if not self._is_held(held, worker):
                return  # another has it, or has finished it
            self._retry_queue = [queued for queued in self._retry_queue if queued != trial_id]
            held.status = trial.status
            held.message = trial.message
            if held.status != TrialStatus.COMPLETED:
                held.message = trial.message or self._written_failure(trial_id)
            else:
                self.score_trial(held)
                if np.isnan(held.score):
                    held.status = TrialStatus.INVALID
                    held.message = f"The objective {self.objective.name!r} is NaN."
            self._run_times[trial_id] += 1
            if not self._retry(held):
                self._finish(held)
            self.ongoing_trials = {
                other: its for other, its in self.ongoing_trials.items() if its is not held
            }
            self._save_trial(held)
            self.save()
            self._show_end(held)

    def get_trial(self, trial_id):
        """The trial; also a worker's sign of life."""
        trial_id, worker = self._heard(trial_id)
        with locked(self):
            if worker is not None and not self._is_held(self.trials.get(trial_id), worker):
                return Trial(self.hyperparameters.copy(), trial_id, TrialStatus.STOPPED)
            return self.trials[trial_id]

    def get_best_trials(self, num_trials=1):
        """The best trials, compared after as many epochs as all of them have."""
        trials = [t for t in self.trials.values() if t.status == TrialStatus.COMPLETED]
        trials.sort(
            key=lambda trial: self.core.compared(trial.trial_id),
            reverse=self.objective.direction == "max",
        )
        others = [t for t in self.trials.values() if t.status != TrialStatus.COMPLETED]
        return (trials + others)[:num_trials]

    # Who has what.

    def requeue_silent(self):
        """Take the trials of workers that count as dead, and expect nothing more of them."""
        with locked(self):
            for worker in self.leases.expired():
                trial = self.ongoing_trials.get(worker)
                self._forget_worker(worker)
                if trial is not None:
                    self._lose(trial, worker)
                self.save()

    def _lose(self, trial, worker):
        """Queue the trial of a silent worker again, unless it may be what kills them."""
        self._lost[trial.trial_id] += 1
        if self._lost[trial.trial_id] < MOST_LOST:
            print(f"Worker {worker} is silent: trial {trial.trial_id} is queued again.")
            self._retry_queue.append(trial.trial_id)
            self._silent[trial.trial_id] = worker
            return
        trial.status = TrialStatus.FAILED
        trial.message = f"{MOST_LOST} workers fell silent in this trial, {worker} last."
        self._finish(trial)
        self._save_trial(trial)

    def is_over(self):
        """Whether nothing is left to do, and every worker knows or is dead."""
        with locked(self):
            self.requeue_silent()
            all_tried = len(self.trials) >= self.max_trials or self.exhausted
            done = self.error is not None or (all_tried and not self._retry_queue)
            return done and not self.ongoing_trials and not self.tuner_ids

    def _forget_worker(self, worker):
        self.ongoing_trials.pop(worker, None)
        self.tuner_ids.discard(worker)
        self.leases.drop(worker)

    def _heard(self, trial_id):
        """Trial and worker, whose lease is renewed; before the lock, which others may hold long."""
        trial_id, _, worker = trial_id.partition("/")
        if worker:
            self.leases.renew(worker)
        for holder, trial in list(self.ongoing_trials.items()):
            if not worker and trial.trial_id == trial_id:
                self.leases.renew(holder)
        return trial_id, worker or None

    def _is_held(self, trial, worker):
        """Whether what is said of the trial counts; a silent worker that is back gets its own."""
        if trial is None or trial.status in FINISHED:
            return False
        if worker is None or self.ongoing_trials.get(worker) is trial:
            return True
        if self._silent.get(trial.trial_id) == worker and trial.trial_id in self._retry_queue:
            self._retry_queue.remove(trial.trial_id)
            self.ongoing_trials[worker] = trial
            self.tuner_ids.add(worker)
            return True
        return False

    # What is tried, and what comes of it.

    def _next_trial(self):
        if self.error is None and self._retry_queue:
            trial = self.trials[self._retry_queue.pop(0)]
            trial.status = TrialStatus.RUNNING
            trial.message, trial.metrics = None, MetricsTracker()
            return trial
        status = TrialStatus.STOPPED
        hyperparameters, trial_id = self.hyperparameters.copy(), self._next_id()
        if self.error is None:
            response = self.populate_space(trial_id)
            status = response["status"]
            hyperparameters.values = response.get("values", {})
        trial = Trial(hyperparameters, trial_id, status)
        if status == TrialStatus.RUNNING:
            self.trials[trial_id] = trial
            self.start_order.append(trial_id)
        return trial

    def enqueue(self, configs):
        """Have these configurations tried next and in full, beyond the trials that were planned."""
        with locked(self):
            self._wanted += configs
            self.max_trials += len(configs)
            self.exhausted = False

    def populate_space(self, trial_id):
        budget_is_spent = len(self.trials) >= self.max_trials
        if self._wanted:
            configs, epochs = [self._wanted.pop(0)], self.core.max_epochs
            self.core.tell(trial_id, configs[0], None, finished=False)
        else:
            configs, epochs = [] if budget_is_spent else self.core.ask(1), self.core.epochs
        if configs:
            values = self.space.to_hyperparameters(configs[0]).values
            return {"status": "RUNNING", "values": {**values, EPOCHS: int(epochs)}}
        may_come_back = not budget_is_spent or self.leases.limit() < math.inf
        if self.ongoing_trials and may_come_back:
            return {"status": "IDLE"}
        self.exhausted = True
        return {"status": "STOPPED"}

    def _next_id(self):
        last = max((int(trial_id) for trial_id in self.trials), default=-1)
        return f"{last + 1:0{len(str(self.max_trials))}d}"

    def _tell(self, trial, value, **options):
        """Tell the core, with what its constraints on measured quantities are about."""
        config = self.space.from_hyperparameters(trial.hyperparameters.copy())
        names = [c.name for c in self.core.constraints if c.measured]
        measured = {
            name: float(trial.metrics.get_last_value(name))
            for name in names
            if trial.metrics.exists(name)
        }
        self.core.tell(trial.trial_id, config, value, measured=measured, **options)

    def _record(self, metrics, name, value, step):
        if not metrics.exists(name):
            known = getattr(self.objective, "name_to_direction", {})
            known = {self.objective.name: self.objective.direction, **known}
            metrics.register(name, direction=known.get(name))
        history = metrics.metrics[name]
        earlier = {s: o for s, o in history._observations.items() if s < step}
        history._observations = {**earlier, step: MetricObservation(value, step)}

    def _finish(self, trial):
        """The end of a trial that is not run again."""
        self.end_order.append(trial.trial_id)
        if trial.status == TrialStatus.COMPLETED:
            self._failures = 0
            self._tell(trial, float(trial.score))
            return
        if self.failure_policy == "worst":
            self._tell(trial, None)
        self._failures += 1
        fatal = (Path(self._get_trial_dir(trial.trial_id)) / FATAL).exists()
        many = self._failures >= self.max_consecutive_failed_trials
        if self.error is None and (fatal or many):
            reason = "a fatal error" if fatal else f"{self._failures} failed trials in a row"
            self.error = (
                f"The search was stopped by {reason}. Trial {trial.trial_id} ended with:\n"
                f"{trial.message or 'no message'}"
            )

    def _written_failure(self, trial_id):
        """The message of a worker's failure, which KerasTuner doesn't send."""
        for name in (FATAL, FAILURE):
            place = Path(self._get_trial_dir(trial_id)) / name
            if place.exists():
                return place.read_text(encoding="utf-8")
        return None

    def _show_end(self, trial):
        now = datetime.now()
        self._display.trial_start.setdefault(trial.trial_id, now)
        self._display.trial_number.setdefault(trial.trial_id, int(trial.trial_id) + 1)
        self._display.search_start = self._display.search_start or now
        self._display.on_trial_end(trial)
        if trial.message and self.verbose:
            print(trial.message)

    # What is kept on disk.

    def get_state(self):
        return {
            **super().get_state(),
            "core": self.core.state_dict(),
            "error": self.error,
            "over": self.over,
        }

    def save(self):
        save_state(self._get_oracle_fname(), self.get_state())

    def _save_trial(self, trial):
        save_state(Path(self._get_trial_dir(trial.trial_id)) / "trial.json", trial.get_state())

    def saved_state(self):
        """What the chief, or the process before this one, saved last; `{}` if nothing."""
        return load_state(self._get_oracle_fname()) or {}

    def reload(self):
        """Go on from what is saved: a torn file is replaced by its last version, or rebuilt.

        Trials that were running stay with their workers, which have a lease's time to be heard.
        """
        with locked(self):
            folders = sorted(Path(self._project_dir).glob("trial_*"))
            states = [load_state(folder / "trial.json") for folder in folders]
            trials = [Trial.from_state(state) for state in states if state]
            self.trials = {trial.trial_id: trial for trial in trials}
            state = self.saved_state()
            if state:
                self._load_core(state)
                state["ongoing_trials"] = {
                    worker: trial_id
                    for worker, trial_id in state["ongoing_trials"].items()
                    if trial_id in self.trials
                }
                self.set_state(state)
            self._reconcile(state)

    def _load_core(self, state):
        try:
            self.core.load_state_dict(state.get("core"))
        except ValueError as error:
            raise ValueError(
                f"{self._get_oracle_fname()} must be of this search: {error}. Give another "
                "`project_name`, or `overwrite=True` to start anew."
            ) from error

    def _reconcile(self, state):
        """Make of the state and the trials, one of which may be older, one story."""
        self.error, self.over, self.exhausted = None, False, False
        self.start_order = [i for i in self.start_order if i in self.trials]
        self.end_order = [i for i in self.end_order if i in self.trials]
        for trial_id, trial in sorted(self.trials.items()):
            finished = trial.status in FINISHED
            if trial_id not in self.start_order:
                if state and not finished:  # the core will choose it again
                    del self.trials[trial_id]
                    continue
                self.start_order.append(trial_id)
                self._tell(trial, None, finished=False)
            if finished and trial_id not in self.end_order:
                self._finish(trial)
        finished = set(self.end_order)
        self.ongoing_trials = {
            worker: trial
            for worker, trial in self.ongoing_trials.items()
            if trial.trial_id not in finished
        }
        held = {trial.trial_id for trial in self.ongoing_trials.values()}
        queue = [i for i in self._retry_queue if i in self.trials]
        left = [i for i in self.start_order if i not in queue]
        self._retry_queue = [i for i in queue + left if i not in finished | held]
        self._failures, self.error = 0, None
        for worker in self.ongoing_trials:
            self.tuner_ids.add(worker)
            self.leases.renew(worker)
