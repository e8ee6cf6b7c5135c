"""Runs a job that has lost its worker before in a process of its own.

A job that kills its process takes all that run beside it along, and each of them is
charged a stall. The second time it runs alone, so the guilty one is known. When a whole
machine halts for longer than the lease, everything that ran stalls at once: so only a
few processes run at a time, and none is kept.
"""

from __future__ import annotations

import os
from collections import deque
from typing import TYPE_CHECKING, Final

from pgqueue.worker.outcome import CANCELLED, RELEASED

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from pgqueue.worker.active_job import ActiveJob
    from pgqueue.worker.batches import BatchExecutor
    from pgqueue.worker.executor import AsyncExecutor, Settle, ThreadExecutor
    from pgqueue.worker.outcome import Outcome
    from pgqueue.worker.processes import ProcessExecutor
    from pgqueue.worker.sorting import SortingExecutor

APART: Final = max(2, os.cpu_count() or 1)
"""How many jobs run in processes of their own at once; each process is an application."""


class IsolatingExecutor:
    """An executor beside which jobs that stalled run in child processes.

    Args:
        isolated: makes what runs them, when the first one comes.
        settle: called with the outcome of each run.
    """

    def __init__(
        self,
        usual: AsyncExecutor | ThreadExecutor | SortingExecutor | BatchExecutor,
        isolated: Callable[[Settle], ProcessExecutor],
        settle: Settle,
    ) -> None:
        self._usual = usual
        self._make = isolated
        self._settle = settle
        self._isolated: ProcessExecutor | None = None
        self._waiting: deque[ActiveJob] = deque()

    def __len__(self) -> int:
        apart = len(self._isolated) if self._isolated else 0
        return len(self._usual) + apart + len(self._waiting)

    def running(self) -> Iterable[ActiveJob]:
        """Return the jobs that run now, or will when a process ends."""
        apart = self._isolated.running() if self._isolated else ()
        return [*self._usual.running(), *apart, *self._waiting]

    def start(self, job: ActiveJob) -> None:
        """Start a job, apart from the others if it stalled before."""
        if not job.stalled:
            self._usual.start(job)
            return
        self._waiting.append(job)
        self._start_apart()

    def stop(self) -> None:
        """Give back what has not got its process."""
        while self._waiting:
            self._settle(self._waiting.popleft(), RELEASED, 0.0)

    def resize(self, most: int) -> None:
        """Follow the worker's concurrency."""
        self._usual.resize(most)

    def abandon(self, job: ActiveJob) -> None:
        """End a running job; nobody will hear its outcome."""
        if job in self._waiting:
            self._waiting.remove(job)
            job.cancelled = job.dropped = True
            return
        self._usual.abandon(job)
        if self._isolated is not None:
            self._isolated.abandon(job)

    def cancel(self, job: ActiveJob) -> None:
        """Tell a running job to stop."""
        if job in self._waiting:
            self._waiting.remove(job)
            self._settle(job, CANCELLED, 0.0)
            return
        self._usual.cancel(job)
        if self._isolated is not None:
            self._isolated.cancel(job)

    def close(self) -> None:
        """End what still runs."""
        self._waiting.clear()
        self._usual.close()
        if self._isolated is not None:
            self._isolated.close()

    def _start_apart(self) -> None:
        if self._isolated is None:
            self._isolated = self._make(self._ended_apart)
        while self._waiting and len(self._isolated) < APART:
            self._isolated.start(self._waiting.popleft())

    def _ended_apart(self, job: ActiveJob, outcome: Outcome, ran: float) -> None:
        self._settle(job, outcome, ran)
        self._start_apart()
        if self._isolated is not None and not self._waiting:
            self._isolated.resize(0)
