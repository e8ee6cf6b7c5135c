"""Runs `async def` and `def` handlers of one worker, each where it belongs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pgqueue.worker.handlers import Handlers, is_async

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pgqueue.worker.active_job import ActiveJob
    from pgqueue.worker.executor import AsyncExecutor, ThreadExecutor


class SortingExecutor:
    """An executor of each kind, and the job's name decides."""

    def __init__(
        self, handlers: Handlers, on_loop: AsyncExecutor, in_threads: ThreadExecutor
    ) -> None:
        self._handlers = handlers
        self._on_loop = on_loop
        self._in_threads = in_threads

    def __len__(self) -> int:
        return len(self._on_loop) + len(self._in_threads)

    def running(self) -> Iterable[ActiveJob]:
        """Return the jobs that run now."""
        return [*self._on_loop.running(), *self._in_threads.running()]

    def start(self, job: ActiveJob) -> None:
        """Start a job where its handler runs."""
        if is_async(self._handlers.find(job.name)):
            self._on_loop.start(job)
        else:
            self._in_threads.start(job)

    def resize(self, most: int) -> None:
        """Follow the worker's concurrency."""
        self._in_threads.resize(most)

    def abandon(self, job: ActiveJob) -> None:
        """End a running job; nobody will hear its outcome."""
        self._on_loop.abandon(job)
        self._in_threads.abandon(job)

    def cancel(self, job: ActiveJob) -> None:
        """Tell a running job to stop."""
        self._on_loop.cancel(job)
        self._in_threads.cancel(job)

    def close(self) -> None:
        """End what still runs."""
        self._on_loop.close()
        self._in_threads.close()
