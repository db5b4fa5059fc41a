"""Ours and a peer in one run.

The two sides are processes of one thread each that take turns, so that the frameworks share neither
threads nor memory, and what counts is CPU seconds, so that other load hardly does. A side is a
picklable function that imports its framework, prepares a task and returns it: a callable of no
arguments whose result is an array.
"""

import contextlib
import dataclasses
import datetime
import importlib.metadata
import multiprocessing
import os
import platform
import time

import numpy as np

ROUNDS = 7
SECONDS = 1.0  # of one turn
ONE_THREAD = {
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "TF_NUM_INTRAOP_THREADS": "1",
    "TF_NUM_INTEROP_THREADS": "1",
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "CUDA_VISIBLE_DEVICES": "",
}
os.environ.update(ONE_THREAD)  # which the processes inherit


@dataclasses.dataclass(frozen=True)
class Row:
    """One line of the table; times in CPU seconds an example, the minimum of all rounds."""

    name: str
    ours: float
    theirs: float
    ratios: tuple  # of the rounds
    target: float | None = None

    @property
    def ratio(self):
        return self.ours / self.theirs

    @property
    def met(self):
        return self.target is None or self.ratio <= self.target


def compare(name, ours, theirs, target=None, tolerance=None, examples=1, rounds=ROUNDS):
    """Measure two sides in turns.

    Args:
        name: What the row is called.
        ours, theirs: The sides, see above.
        target: The ratio ours / theirs to reach.
        tolerance: What the sides return must agree to this absolute difference before they are
            timed. None: they do not compute the same thing.
        examples: Examples in one call.
        rounds: Number of turns of each side.

    Returns:
        A `Row`.

    Raises:
        AssertionError: The sides disagree.
    """
    with _side(ours) as first, _side(theirs) as second:
        (mine, one), (other, two) = first(None), second(None)
        if tolerance is not None:
            np.testing.assert_allclose(mine, other, rtol=0, atol=tolerance, err_msg=name)
        counts = [max(1, round(SECONDS / seconds)) for seconds in (one, two)]
        turns = [(first(counts[0]), second(counts[1])) for _ in range(rounds)]
    best = [min(times) / examples for times in zip(*turns, strict=True)]
    row = Row(name, *best, tuple(a / b for a, b in turns), target)
    print(
        f"  {name}: {1e3 * row.ours:.2f} / {1e3 * row.theirs:.2f} ms = {row.ratio:.3f}", flush=True
    )
    return row


def apart(function):
    """Run a function in a process of its own; returns its result and the peak memory in bytes."""
    with _process(_run_once, function) as pipe:
        return _receive(pipe)


def table(rows):
    """The rows as a Markdown table, the ratio last."""
    lines = [
        "| CPU ms an example | ours | peer | rounds | target | ratio |",
        "|---|---|---|---|---|---|",
    ]
    for row in rows:
        target = "" if row.target is None else f"{row.target:.2f}"
        ratio = f"**{row.ratio:.2f}**" + ("" if row.met else " missed")
        rounds = f"{min(row.ratios):.2f} to {max(row.ratios):.2f}"
        figures = f"{1e3 * row.ours:.2f} | {1e3 * row.theirs:.2f} | {rounds}"
        lines.append(f"| {row.name} | {figures} | {target} | {ratio} |")
    return "\n".join(lines)


def conditions(*packages):
    """Date, processor and the versions of importable packages, in one line."""
    processor = platform.processor() or platform.machine()
    with contextlib.suppress(OSError, StopIteration), open("/proc/cpuinfo") as file:
        line = next(line for line in file if line.startswith("model name"))
        processor = line.split(":")[1].strip()
    owners = importlib.metadata.packages_distributions()
    versions = [f"{name} {importlib.metadata.version(owners[name][0])}" for name in packages]
    parts = [f"{processor}, {os.cpu_count()} CPUs, one thread used", *versions]
    return f"{datetime.date.today()}: {'; '.join(parts)}"


@contextlib.contextmanager
def _side(function):
    """A function of the number of calls: seconds a call; None: the first result, seconds a call."""
    with _process(_take_turns, function) as pipe:

        def turn(count):
            pipe.send(count)
            return _receive(pipe)

        yield turn


@contextlib.contextmanager
def _process(target, function):
    context = multiprocessing.get_context("spawn")
    pipe, other = context.Pipe()
    process = context.Process(target=target, args=(function, other), daemon=True)
    process.start()
    other.close()
    try:
        yield pipe
    finally:
        process.kill()
        process.join()


def _receive(pipe):
    try:
        return pipe.recv()
    except EOFError:
        raise RuntimeError("The process of one side has failed; see its message above.") from None


def _take_turns(function, pipe):
    task = function()
    while True:
        count = pipe.recv()
        if count is None:
            result = np.asarray(task())
            pipe.send((result, min(_cpu_seconds(task) for _ in range(2))))
        else:
            pipe.send(_cpu_seconds(task, count))


def _cpu_seconds(task, count=1):
    start = time.process_time()
    for _ in range(count):
        task()
    return (time.process_time() - start) / count


def _run_once(function, pipe):
    import resource

    result = function()
    pipe.send((result, 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss))
