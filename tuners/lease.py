"""Who is alive: each worker holds its trial on a lease, which every sign of life renews."""

import time

SHORTEST = 60.0  # seconds; a step, or a refit of the predictor, may keep a worker silent that long
PATIENCE = 3  # times the longest silence that a worker came back from


class Leases:
    """When each worker was last heard of, and which have been silent for too long.

    Args:
        seconds: How long a worker may be silent. `None`: three times the longest silence seen of
            any, and at least 60 s. 0: for ever.
        clock: Returns the time in seconds.

    Example:

    >>> now = [0.0]
    >>> leases = Leases(seconds=10, clock=lambda: now[0])
    >>> leases.renew("worker1")
    >>> now[0] = 11.0
    >>> leases.renew("worker2")
    >>> leases.expired()
    ['worker1']
    """

    def __init__(self, seconds=None, clock=time.monotonic):
        if seconds is not None and not seconds >= 0:
            raise ValueError(f"`lease_s` must be None or >= 0. Received: lease_s={seconds!r}")
        self.seconds = seconds
        self.clock = clock
        self.last_seen = {}
        self.longest_silence = 0.0

    def renew(self, worker):
        """A sign of life."""
        now = self.clock()
        silence = now - self.last_seen.get(worker, now)
        self.longest_silence = max(self.longest_silence, silence)
        self.last_seen[worker] = now

    def drop(self, worker):
        """Nothing more is expected of this worker."""
        self.last_seen.pop(worker, None)

    def limit(self):
        """Seconds of silence after which a worker counts as dead; `inf`: never."""
        if self.seconds == 0:
            return float("inf")
        return self.seconds or max(SHORTEST, PATIENCE * self.longest_silence)

    def expired(self):
        """The workers that count as dead, those silent for longest first."""
        now, limit = self.clock(), self.limit()
        workers = sorted(self.last_seen, key=self.last_seen.get)
        return [worker for worker in workers if now - self.last_seen[worker] > limit]
