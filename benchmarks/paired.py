"""Ours and a peer in one run.

The two sides are processes of one thread each that take turns, so that the frameworks share neither
threads nor memory, and what counts is CPU seconds, so that other load on the machine does not. A side
is a picklable function, imported frameworks and all, that prepares a task and returns it as a callable
of no arguments; the frameworks are imported inside.
"""

import contextlib
import dataclasses
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


@dataclasses.dataclass(frozen=True)
class Row:
    """One line of the table; times in CPU seconds a call, the minimum of all rounds."""

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


def compare(name, ours, theirs, target=None, tolerance=None, rounds=ROUNDS):
    """Measure two sides in turns.

    Args:
        name: What the row is called.
        ours, theirs: The sides, see above.
        target: The ratio ours / theirs to reach.
        tolerance: What the sides return must agree to this absolute difference before they are
            timed. None: they do not compute the same thing.
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
    row = Row(
        name, *map(min, zip(*turns, strict=True)), tuple(a / b for a, b in turns), target
    )
    print(f"  {name}: {row.ours:.5f} / {row.theirs:.5f} = {row.ratio:.3f}", flush=True)
    return row


def apart(function):
    """Run a function in a process of its own; returns its result and the peak memory in bytes."""
    with _process(_run_once, function) as pipe:
        return _receive(pipe)


def table(rows):
    """The rows as a Markdown table, the ratio last."""
    lines = [
        "| CPU milliseconds, one thread | ours | peer | target | ratio (range of the rounds) |",
        "|---|---|---|---|---|",
    ]
    for row in rows:
        target = "" if row.target is None else f"{row.target:.2f}" + (" missed" * (not row.met))
        low, high = min(row.ratios), max(row.ratios)
        lines.append(
            f"| {row.name} | {1e3 * row.ours:.2f} | {1e3 * row.theirs:.2f} | {target} "
            f"| **{row.ratio:.2f}** ({low:.2f} to {high:.2f}) |"
        )
    return "\n".join(lines)


def machine():
    """The processor and its instruction set, as Linux names them."""
    name, flags = platform.processor() or platform.machine(), ""
    with contextlib.suppress(OSError), open("/proc/cpuinfo", encoding="utf-8") as file:
        info = dict(line.split(":", 1) for line in file if ":" in line)
        info = {key.strip(): value.strip() for key, value in info.items()}
        name = info.get("model name", name)
        flags = [f for f in ("avx2", "avx512f") if f in info.get("flags", "").split()]
        flags = f", {' '.join(flags)}"
    return f"{name}{flags}, {os.cpu_count()} CPUs"


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
    before = {key: os.environ.get(key) for key in ONE_THREAD}
    os.environ.update(ONE_THREAD)
    process = context.Process(target=target, args=(function, other), daemon=True)
    process.start()
    for key, value in before.items():
        os.environ.pop(key) if value is None else os.environ.__setitem__(key, value)
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
