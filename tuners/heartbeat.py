"""A worker's sign of life while it trains."""

import threading


class Heartbeat:
    """Calls a function every few seconds, in a thread of its own, within a `with` block.

    Args:
        beat: Function without arguments.
        every_s: Seconds between calls.

    Example:

    >>> import time
    >>> beats = []
    >>> with Heartbeat(lambda: beats.append(1), every_s=0.01):
    ...     time.sleep(0.2)
    >>> len(beats) > 2
    True
    """

    def __init__(self, beat, every_s):
        self.beat = beat
        self.every_s = every_s

    def __enter__(self):
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *error):
        self._over.set()
        self._thread.join()

    def _run(self):
        while not self._over.wait(self.every_s):
            self.beat()
