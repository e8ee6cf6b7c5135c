"""Runs a job that has lost its worker before in a process of its own.

A job that kills its process takes all that run beside it along, and each of them is
charged a stall. The second time it runs alone, so the guilty one is known.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from pgqueue.worker.active_job import ActiveJob
    from pgqueue.worker.batches import BatchExecutor
    from pgqueue.worker.executor import AsyncExecutor, ThreadExecutor
    from pgqueue.worker.processes import ProcessExecutor
    from pgqueue.worker.sorting import SortingExecutor


class IsolatingExecutor:
    """An executor beside which jobs that stalled run in child processes."""

    def __init__(
        self,
        usual: AsyncExecutor | ThreadExecutor | SortingExecutor | BatchExecutor,
        isolated: Callable[[], ProcessExecutor],
    ) -> None:
        self._usual = usual
        self._make = isolated
        self._isolated: ProcessExecutor | None = None

    def __len__(self) -> int:
        return len(self._usual) + (len(self._isolated) if self._isolated else 0)

    def running(self) -> Iterable[ActiveJob]:
        """Return the jobs that run now."""
        apart = self._isolated.running() if self._isolated else ()
        return [*self._usual.running(), *apart]

    def start(self, job: ActiveJob) -> None:
        """Start a job, apart from the others if it stalled before."""
        if not job.stalled:
            self._usual.start(job)
            return
        if self._isolated is None:
            self._isolated = self._make()
        self._isolated.start(job)

    def resize(self, most: int) -> None:
        """Follow the worker's concurrency."""
        self._usual.resize(most)
        if self._isolated is not None:
            self._isolated.resize(most)

    def abandon(self, job: ActiveJob) -> None:
        """End a running job; nobody will hear its outcome."""
        self._usual.abandon(job)
        if self._isolated is not None:
            self._isolated.abandon(job)

    def cancel(self, job: ActiveJob) -> None:
        """Tell a running job to stop."""
        self._usual.cancel(job)
        if self._isolated is not None:
            self._isolated.cancel(job)

    def close(self) -> None:
        """End what still runs."""
        self._usual.close()
        if self._isolated is not None:
            self._isolated.close()
