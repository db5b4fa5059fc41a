"""KerasTuner's lock of an oracle, released also when what it guards raises."""

import contextlib
import threading

from keras_tuner.src.engine.oracle import LOCKS, THREADS


@contextlib.contextmanager
def locked(oracle):
    """Hold the lock that `keras_tuner.synchronized` takes, so that both exclude one another.

    A thread that holds it already goes on, as there.

    Args:
        oracle: A `keras_tuner.Oracle`.

    Example:

    ```python
    with locked(oracle):
        oracle.trials.clear()
    ```
    """
    thread = threading.current_thread().name
    if THREADS[oracle] == thread:
        yield
        return
    with LOCKS[oracle]:
        THREADS[oracle] = thread
        try:
            yield
        finally:
            THREADS[oracle] = None
