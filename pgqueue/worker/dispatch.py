"""Jobs that were claimed and have not started: how many to claim, when they start.

A few are claimed ahead, so that a slot which becomes free never waits for a round trip.
They follow the measured speed, and go back where they were when it deceived.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final, Protocol

from pgqueue.worker.outcome import CANCELLED, RELEASED

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

    from pgqueue.worker.active_job import ActiveJob
    from pgqueue.worker.emitter import Emitter
    from pgqueue.worker.finisher import Finisher
    from pgqueue.worker.outcome import Outcome

MAX_PREFETCH: Final = 2000
PREFETCH_AHEAD: Final = 0.05
"""Jobs are claimed ahead by at most as many as start within this many seconds."""

PREFETCH_TRIPS: Final = 6.0
"""And by what starts within so many round trips: the next batch is on its way, and the
one after it is being finished, while these run."""


class Executor(Protocol):
    """What starts the jobs that are claimed."""

    def __len__(self) -> int: ...
    def start(self, job: ActiveJob) -> None: ...
    def running(self) -> Iterable[ActiveJob]: ...
    def cancel(self, job: ActiveJob) -> None: ...


class Dispatch:
    """The claimed jobs of one worker on their way to the executor.

    Args:
        refuse: returns what becomes of a job that is not to start.
        limit: returns how many jobs may run at once, now.
    """

    def __init__(
        self,
        executor: Executor,
        finisher: Finisher,
        emitter: Emitter,
        limit: Callable[[], int],
        now: float,
        *,
        refuse: Callable[[ActiveJob], Outcome | None] | None,
    ) -> None:
        self._refuse = refuse
        self._executor = executor
        self._finisher = finisher
        self._emitter = emitter
        self._limit = limit
        self._buffer: deque[ActiveJob] = deque()
        self._rate = 0.0
        self._measured_at = now

    def __len__(self) -> int:
        """How many wait to start."""
        return len(self._buffer)

    @property
    def idle(self) -> bool:
        """Whether nothing runs or waits to."""
        return not self._buffer and not len(self._executor)

    def held(self) -> set[tuple[int, int]]:
        """Return the leases and ids of the jobs that run or wait to."""
        jobs = (*self._executor.running(), *self._buffer)
        return {(job.lease_id, job.id) for job in jobs}

    @property
    def free(self) -> int:
        """How many more could start now."""
        return self._limit() - len(self._executor) - len(self._buffer)

    def want(self, took: float) -> int:
        """Return how many to claim: the free slots, and a few to follow them.

        Args:
            took: how long a round trip lasts, in seconds.
        """
        ahead = self._rate * min(took * PREFETCH_TRIPS, PREFETCH_AHEAD)
        return self.free + min(MAX_PREFETCH, int(ahead))

    def add(self, job: ActiveJob) -> None:
        """Take a claimed job; `start` starts it, unless nobody here handles it."""
        refused = self._refuse(job) if self._refuse is not None else None
        if refused is None:
            self._buffer.append(job)
        else:
            self._finisher.add(job, refused, 0.0)

    def start(self) -> None:
        """Start as many as there is room for."""
        free = self._limit() - len(self._executor)
        heard = self._emitter.heard("active")
        while free > 0 and self._buffer:
            free -= 1
            job = self._buffer.popleft()
            if heard:
                self._emitter.emit("active", job.loaded().snapshot())
            self._executor.start(job)

    def cancel(self, job_ids: Collection[int]) -> int:
        """Stop the jobs of these ids that run, and do not start those that wait to.

        Returns:
            How many of them are here.
        """
        running = [job for job in self._executor.running() if job.id in job_ids]
        for job in running:
            self._executor.cancel(job)
        waiting = [job for job in self._buffer if job.id in job_ids]
        for job in waiting:
            self._buffer.remove(job)
            self._finisher.add(job, CANCELLED, 0.0)
        return len(running) + len(waiting)

    def release(self) -> None:
        """Give back what has not started, and claim nothing ahead for a while."""
        self._rate = 0.0
        while self._buffer:
            self._finisher.add(self._buffer.popleft(), RELEASED, 0.0)

    def measure(self, ended: int, now: float) -> None:
        """Follow how many runs end in a second."""
        passed = max(now - self._measured_at, 1e-6)
        self._measured_at = now
        weight = min(1.0, passed / 0.05)
        self._rate += (ended / passed - self._rate) * weight
