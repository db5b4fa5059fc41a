import os
import sys
import threading
from pathlib import Path

import pytest

import tuners
from tuners.lock import locked
from tuners.oracle import EPOCHS, FAILURE, FATAL

sys.path.insert(0, str(Path(__file__).parent))
keras_tuner = pytest.importorskip("keras_tuner")
SPACE = pytest.importorskip("black_box").SPACE


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def make(tmp_path, monkeypatch):
    """`make(...)`: the oracle of one folder, with a clock that a test may turn."""

    monkeypatch.setattr(
        tuners.core, "ArchitectureRecipePredictor", sys.modules["black_box"].Nearest
    )

    def make(max_trials=6, **options):
        settings = dict(initial_trials=6, pool_size=64, pool_only=True, pretrain=False)
        objective = keras_tuner.Objective("value", "max")
        oracle = tuners.NARSOracle(SPACE, objective, max_trials, **settings | options)
        oracle._set_project_dir(tmp_path, "search")
        oracle.verbose = 0
        oracle.leases.clock = Clock()
        oracle.reload()
        return oracle

    return make


def value(config):
    return config["width"] * 1.0


def run(oracle, worker="tuner0", status="COMPLETED", message=None):
    """One trial from begin to end, as a worker of the same process."""
    trial = oracle.create_trial(worker)
    if trial.status == "RUNNING":
        finish(oracle, trial, status, message)
    return trial


def finish(oracle, trial, status="COMPLETED", message=None):
    if status == "COMPLETED":
        config = SPACE.from_hyperparameters(trial.hyperparameters.copy())
        oracle.update_trial(trial.trial_id, {"value": value(config)})
    ended = keras_tuner.engine.trial.Trial(trial.hyperparameters, trial.trial_id, status, message)
    oracle.end_trial(ended)


def statuses(oracle):
    return [oracle.trials[i].status for i in oracle.start_order]


def configs(oracle):
    return [SPACE.from_hyperparameters(t.hyperparameters.copy()) for t in oracle.trials.values()]


def test_a_search(make):
    oracle = make()
    trials = [run(oracle) for _ in range(7)]
    assert [trial.status for trial in trials[-1:]] == ["STOPPED"]
    assert statuses(oracle) == ["COMPLETED"] * 6
    assert len({str(config) for config in configs(oracle)}) == 6
    best = oracle.get_best_trials(1)[0]
    assert best.score == max(value(config) for config in configs(oracle))
    assert best.hyperparameters.values[EPOCHS] == 150
    assert oracle.is_over()


@pytest.mark.parametrize("seed", (0, 1))
def test_seed(make, seed):
    first, again, other = (make(seed=s) for s in (seed, seed, 2))
    values = [o.create_trial("a").hyperparameters.values for o in (first, again, other)]
    assert values[0] == values[1] != values[2]
    assert first.seed == seed


def test_silent_worker_loses_its_trial(make):
    oracle = make(lease_s=10)
    lost = oracle.create_trial("a")
    oracle.leases.clock.now = 11
    taken = oracle.create_trial("b")
    assert taken.trial_id == lost.trial_id and list(oracle.ongoing_trials) == ["b"]
    assert oracle.tuner_ids == {"b"}
    finish(oracle, taken)
    score = oracle.trials[taken.trial_id].score
    # What the first one says now is too late.
    late = f"{lost.trial_id}/a"
    assert oracle.update_trial(late, {"value": 1e6}).status == "STOPPED"
    finish(oracle, lost)
    assert oracle.trials[lost.trial_id].score == score and oracle.end_order == [lost.trial_id]


def test_a_trial_that_kills_its_workers_fails(make):
    oracle = make(lease_s=10)
    lost = [oracle.create_trial("a")]
    for worker in ("b", "c"):
        oracle.leases.clock.now += 11
        lost.append(oracle.create_trial(worker))
    oracle.leases.clock.now += 11
    assert len({trial.trial_id for trial in lost}) == 1
    assert oracle.create_trial("d").trial_id != lost[0].trial_id
    failed = oracle.trials[lost[0].trial_id]
    assert failed.status == "FAILED" and "3 workers fell silent in this trial, c" in failed.message


def test_silent_worker_that_is_back_goes_on(make):
    oracle = make(lease_s=10)
    trial = oracle.create_trial("a")
    name = f"{trial.trial_id}/a"
    oracle.update_trial(name, {"value": 1.0}, step=0)
    oracle.leases.clock.now = 11
    oracle.requeue_silent()
    assert not oracle.ongoing_trials
    oracle.update_trial(name, {"value": 2.0}, step=1)
    assert oracle.create_trial("b").trial_id != trial.trial_id
    oracle.end_trial(keras_tuner.engine.trial.Trial(trial.hyperparameters, name, "COMPLETED"))
    assert oracle.trials[trial.trial_id].score == 2.0


def test_signs_of_life(make):
    oracle = make(lease_s=10)
    trial = oracle.create_trial("a")
    for oracle.leases.clock.now in (8, 16, 24):
        oracle.get_trial(f"{trial.trial_id}/a")
        oracle.requeue_silent()
    assert "a" in oracle.ongoing_trials


def test_last_trials_are_waited_for(make):
    """One of them may come back; whoever was told to stop could not take it."""
    oracle = make(lease_s=10)
    [run(oracle, "b") for _ in range(5)]
    last = oracle.create_trial("a")
    assert oracle.create_trial("b").status == "IDLE"
    oracle.leases.clock.now = 11
    assert oracle.create_trial("b").trial_id == last.trial_id
    finish(oracle, last)
    assert not oracle.is_over()
    assert oracle.create_trial("b").status == "STOPPED" and oracle.is_over()


def test_a_step_replaces_itself_and_later_ones(make):
    """A trial that is run again starts at its first step."""
    oracle = make()
    trial = oracle.create_trial("a")
    for step, number in ((0, 1.0), (1, 5.0), (2, 3.0), (0, 2.0), (1, 4.0)):
        oracle.update_trial(trial.trial_id, {"value": number, "other": 1}, step=step)
    history = oracle.trials[trial.trial_id].metrics.get_history("value")
    assert [(o.step, o.mean()) for o in history] == [(0, 2.0), (1, 4.0)]
    oracle.end_trial(keras_tuner.engine.trial.Trial(trial.hyperparameters, trial.trial_id,
                                                    "COMPLETED"))  # fmt: skip
    assert (oracle.trials[trial.trial_id].score, oracle.trials[trial.trial_id].best_step) == (4, 1)


def test_a_trial_stops_at_its_last_epoch(make):
    oracle = make(max_epochs=3)
    trial = oracle.create_trial("a")
    found = [oracle.update_trial(trial.trial_id, {"value": 1.0}, step=s).status for s in range(3)]
    assert found == ["RUNNING", "RUNNING", "STOPPED"]
    assert trial.status == "RUNNING"


def test_an_error_leaves_the_lock_open(make):
    oracle = make()
    trial = oracle.create_trial("a")
    for _ in range(2):
        with pytest.raises(ValueError, match="Objective value missing"):
            oracle.update_trial(trial.trial_id, {"other": 1.0})
    with pytest.raises(ZeroDivisionError), locked(oracle), locked(oracle):
        raise ZeroDivisionError
    other = threading.Thread(target=run, args=(oracle, "b"), daemon=True)
    other.start()
    other.join(30)
    assert not other.is_alive() and oracle.end_order


def test_failures_end_the_search_with_the_last_ones_message(make):
    oracle = make(max_retries_per_trial=0)
    other = oracle.create_trial("b")
    for place in range(3):
        assert oracle.error is None
        run(oracle, "a", "INVALID", f"ValueError: number {place}")
    assert "3 failed trials in a row" in oracle.error and "number 2" in oracle.error
    assert oracle.create_trial("a").status == "STOPPED"
    finish(oracle, other)
    assert not oracle.is_over() and oracle.create_trial("b").status == "STOPPED"
    assert oracle.is_over() and statuses(oracle)[0] == "COMPLETED"
    again = make(max_retries_per_trial=0)  # the cause may have been removed
    assert again.error is None and again.create_trial("a").status == "RUNNING"


def test_retries_and_written_messages(make, tmp_path):
    oracle = make(max_retries_per_trial=1)
    trial = oracle.create_trial("a")
    folder = tmp_path / "search" / f"trial_{trial.trial_id}"
    (folder / FAILURE).write_text("MemoryError")
    finish(oracle, trial, "INVALID")
    assert oracle.trials[trial.trial_id].message == "MemoryError"
    again = oracle.create_trial("a")
    assert again.trial_id == trial.trial_id and again.message is None
    finish(oracle, again)
    assert statuses(oracle) == ["COMPLETED"] and oracle.trials[trial.trial_id].message is None
    for _ in range(2):
        run(oracle, "a", "INVALID", "again")
    assert statuses(oracle) == ["COMPLETED", "FAILED"] and oracle.error is None
    fatal = oracle.create_trial("a")
    folder = tmp_path / "search" / f"trial_{fatal.trial_id}"
    (folder / FATAL).write_text("FatalTypeError: no model")
    finish(oracle, fatal, "FAILED")
    assert "a fatal error" in oracle.error and "no model" in oracle.error


def test_nan_is_a_failure(make):
    oracle = make(max_retries_per_trial=0)
    trial = oracle.create_trial("a")
    oracle.update_trial(trial.trial_id, {"value": float("nan")})
    oracle.end_trial(keras_tuner.engine.trial.Trial(trial.hyperparameters, trial.trial_id,
                                                    "COMPLETED"))  # fmt: skip
    assert statuses(oracle) == ["FAILED"]
    assert oracle.trials[trial.trial_id].message == "The objective 'value' is NaN."


def test_chief_that_is_restarted(make):
    """Running trials stay with their workers, if these are heard of within the lease."""
    oracle = make(lease_s=10)
    run(oracle, "a")
    running = [oracle.create_trial(worker) for worker in ("a", "b")]
    again = make(lease_s=10)
    assert {w: t.trial_id for w, t in again.ongoing_trials.items()} == {
        "a": running[0].trial_id,
        "b": running[1].trial_id,
    }
    finish(again, running[0])
    assert again._run_times[running[0].trial_id] == 1
    again.leases.clock.now = 11
    assert again.create_trial("a").trial_id == running[1].trial_id


def undisturbed(make):
    oracle = make(initial_trials=2, refit_every=2)
    while run(oracle).status != "STOPPED":
        pass
    return configs(oracle)


@pytest.mark.parametrize("moment", ("created", "ended", "between"))
@pytest.mark.parametrize("file", ("oracle.json", "none"))
def test_resumes_with_the_same_choices(make, tmp_path, moment, file, monkeypatch):
    expected = undisturbed(make)
    for path in sorted((tmp_path / "search").rglob("*.json")):
        path.unlink()
    oracle = make(initial_trials=2, refit_every=2)
    [run(oracle) for _ in range(3)]
    trial = oracle.create_trial("tuner0")
    if moment != "created":
        if moment == "between":  # the trial's end is saved, the oracle's state is not
            monkeypatch.setattr(oracle, "save", lambda: None)
        finish(oracle, trial)
    if file != "none":
        os.truncate(tmp_path / "search" / file, 40)
    again = make(initial_trials=2, refit_every=2)
    while run(again).status != "STOPPED":
        pass
    assert statuses(again) == ["COMPLETED"] * 6
    assert configs(again) == expected


def test_state_that_is_lost_is_rebuilt_of_the_trials(make, tmp_path):
    oracle = make()
    [run(oracle) for _ in range(3)]
    oracle.create_trial("tuner0")
    for path in (tmp_path / "search").glob("oracle*.json"):
        path.unlink()
    again = make()
    assert statuses(again) == ["COMPLETED"] * 3 + ["RUNNING"]
    assert again.create_trial("tuner0").trial_id == "3"
    while run(again).status != "STOPPED":
        pass
    assert statuses(again) == ["COMPLETED"] * 6
    assert len({str(config) for config in configs(again)}) == 6


def test_bad_input(make, tmp_path):
    for options, message in (
        ({"max_trials": 5}, r"`max_trials` must be .* at least `initial_trials`.*=5"),
        ({"failure_policy": "raise"}, r"`failure_policy` must be one of .*'raise'"),
        ({"lease_s": -1}, "`lease_s` must be"),
    ):
        with pytest.raises(ValueError, match=message):
            make(**options)
    run(make())
    other = tuners.NARSOracle(
        tuners.SearchSpace([tuners.Integer("depth", 1, 9)]), keras_tuner.Objective("value", "max"),
        pretrain=False,
    )  # fmt: skip
    other._set_project_dir(tmp_path, "search")
    with pytest.raises(ValueError, match=r"must be of this search: .*same space"):
        other.reload()
