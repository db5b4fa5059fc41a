"""Searches as real processes on loopback, which are killed."""

import os
import random
import signal
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

import tuners
from tuners.state import load_state

sys.path.insert(0, str(Path(__file__).parent))
black_box = pytest.importorskip("black_box")
pytestmark = pytest.mark.slow

LIMIT_S = 120


@pytest.fixture
def start(processes, tmp_path):
    """`start(role, ...)`: one process of a search in the test's folder, killed at its end."""
    begun = []

    def start(role="tuner0", port=None, target="search", **options):
        target = getattr(black_box, target)
        process = processes.Process(target=target, args=(tmp_path, role, port), kwargs=options)
        process.start()
        begun.append(process)
        return process

    yield start
    for process in begun:
        process.kill()


@pytest.fixture
def port(free_ports):
    return free_ports(1)[0]


def wait_for(condition, seconds=LIMIT_S):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"not within {seconds} s"
        time.sleep(0.05)


def end_of(process, seconds=LIMIT_S):
    process.join(seconds)
    return process.exitcode


def runs(folder, what="begin"):
    """The trials that began, or ended: `(trial, worker, time)`."""
    place = Path(folder) / "runs.txt"
    lines = place.read_text().splitlines() if place.exists() else []
    return [line.split()[1:] for line in lines if line.split()[0] == what]


def trials(folder):
    found = [load_state(p / "trial.json") for p in sorted(Path(folder).glob("search/trial_*"))]
    return {trial["trial_id"]: trial for trial in found}


def outcome(folder):
    """What was tried, in order, and how it came out."""
    found = trials(folder)
    order = load_state(Path(folder) / "search" / "oracle.json")["start_order"]
    return [(found[i]["hyperparameters"]["values"], found[i]["score"]) for i in order]


def statuses(folder):
    return Counter(trial["status"] for trial in trials(folder).values())


def test_killed_worker(start, port, tmp_path):
    """Its trial goes to the other, and the chief ends."""
    options = dict(port=port, max_trials=6, lease_s=3)
    chief = start("chief", **options)
    first, second = (start(f"worker{i}", **options) for i in (1, 2))
    wait_for(lambda: any(worker == "worker1" for _, worker, _ in runs(tmp_path)))
    os.kill(first.pid, signal.SIGKILL)
    killed = time.monotonic()
    assert end_of(second) == 0 and end_of(chief) == 0
    print(f"the chief left {time.monotonic() - killed:.1f} s after the kill")
    assert statuses(tmp_path) == {"COMPLETED": 6}


def test_killed_chief(start, port, tmp_path):
    """The workers go on with what they have, and nothing is done twice."""
    options = dict(port=port, max_trials=8, lease_s=30)
    chief = start("chief", **options)
    workers = [start(f"worker{i}", **options) for i in (1, 2)]
    wait_for(lambda: len(runs(tmp_path)) >= 4)
    os.kill(chief.pid, signal.SIGKILL)
    time.sleep(1)
    chief = start("chief", **options)
    assert [end_of(process) for process in (*workers, chief)] == [0, 0, 0]
    assert statuses(tmp_path) == {"COMPLETED": 8}
    assert set(Counter(trial for trial, _, _ in runs(tmp_path)).values()) == {1}


@pytest.fixture(scope="module")
def undisturbed(processes, tmp_path_factory):
    folder = tmp_path_factory.mktemp("undisturbed")
    kwargs = dict(max_trials=8, seconds=0.05)
    process = processes.Process(target=black_box.search, args=(folder,), kwargs=kwargs)
    process.start()
    assert end_of(process) == 0
    return outcome(folder)


def test_killed_lone_process(start, tmp_path, undisturbed):
    """Five times, at random moments: the same trials, the same best."""
    chance = random.Random(0)
    options = dict(max_trials=8, seconds=0.3)
    for kill in range(5):
        process = start(**options)
        wait_for(lambda kill=kill: len(runs(tmp_path)) > kill)
        time.sleep(chance.uniform(0, 0.6))
        os.kill(process.pid, signal.SIGKILL)
        process.join()
    assert end_of(start(**options)) == 0
    assert outcome(tmp_path) == undisturbed


@pytest.mark.parametrize("size", (0, 100))
def test_torn_state(start, tmp_path, undisturbed, size):
    options = dict(max_trials=8, seconds=0.3)
    process = start(**options)
    wait_for(lambda: len(runs(tmp_path)) == 4)
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    os.truncate(tmp_path / "search" / "oracle.json", size)
    assert end_of(start(**options)) == 0
    assert outcome(tmp_path) == undisturbed


def test_worker_that_always_raises(start, port, tmp_path):
    """The chief and the other workers end, and say why."""
    options = dict(port=port, max_trials=20, lease_s=5, error="the objective is broken")
    began = time.monotonic()
    everyone = {role: start(role, **options) for role in ("chief", "worker1", "worker2")}
    for role, process in everyone.items():
        assert end_of(process, 60) == 1, role
        log = (tmp_path / f"{role}.log").read_text()
        assert "RuntimeError: The search was stopped by 3 failed trials in a row" in log
        assert "ArithmeticError: the objective is broken" in log
    print(f"over after {time.monotonic() - began:.1f} s")


def test_two_workers_take_half_the_time(start, tmp_path, free_ports):
    spans = []
    for workers, port in zip((1, 2), free_ports(2)):
        options = dict(max_trials=8, initial_trials=8, seconds=1, overwrite=workers == 2, port=port)
        team = [start("chief", **options)]
        wait_for(lambda: (tmp_path / "chief.log").exists())
        time.sleep(1)  # for the chief to have cleared the folder
        team += [start(f"worker{i}", **options | {"overwrite": False}) for i in range(workers)]
        assert [end_of(process) for process in team] == [0] * len(team)
        times = [float(when) for what in ("begin", "end") for *_, when in runs(tmp_path, what)]
        spans.append(max(times) - min(times))
        (tmp_path / "runs.txt").unlink()
    print(f"one worker {spans[0]:.1f} s, two {spans[1]:.1f} s")
    assert 0.35 <= spans[1] / spans[0] <= 0.65


def test_cluster_of_two_processes(start, port, tmp_path, free_ports):
    """Each trial is trained by both, under `MultiWorkerMirroredStrategy`."""
    options = dict(target="train", port=port, max_trials=5, max_epochs=2)
    cluster = [f"127.0.0.1:{p}" for p in free_ports(2)]
    team = [start("chief", **options)]
    team += [start("cluster", cluster=cluster, index=i, **options) for i in range(2)]
    assert [end_of(process) for process in team] == [0, 0, 0]
    assert statuses(tmp_path) == {"COMPLETED": 5}


def test_failure_in_one_process_of_a_cluster(start, port, tmp_path, free_ports):
    """The trial fails in both, and both end: started again, they finish the search."""
    options = dict(target="train", port=port, max_trials=4, max_epochs=1, lease_s=60)
    chief = start("chief", **options)
    for failing in (1, None):
        cluster = [f"127.0.0.1:{p}" for p in free_ports(2)]
        team = [
            start("cluster", cluster=cluster, index=i, failing=failing, **options) for i in range(2)
        ]
        codes = [end_of(process) for process in team]
        assert None not in codes
        assert (codes == [0, 0]) is (failing is None)
    assert end_of(chief) == 0
    assert statuses(tmp_path) == {"COMPLETED": 4}


def test_what_a_worker_knows(start, port, tmp_path, monkeypatch):
    """After the search it reads what the chief has saved."""
    options = dict(port=port, max_trials=4)
    team = [start("chief", **options), start("worker1", **options)]
    assert [end_of(process) for process in team] == [0, 0]
    monkeypatch.setenv("KERASTUNER_TUNER_ID", "worker1")
    monkeypatch.setenv("KERASTUNER_ORACLE_IP", "127.0.0.1")
    monkeypatch.setenv("KERASTUNER_ORACLE_PORT", str(port))
    tuner = black_box.BlackBox(
        None, black_box.SPACE, black_box.OBJECTIVE, max_trials=4, directory=tmp_path,
        project_name="search", **black_box.SETTINGS,
    )  # fmt: skip
    assert isinstance(tuner, tuners.NARS)
    best = tuner.get_best_hyperparameters()[0]
    scores = [trial["score"] for trial in trials(tmp_path).values()]
    assert black_box.value(black_box.SPACE.from_hyperparameters(best)) == pytest.approx(max(scores))
