"""Gathers claimed jobs into batches, until there are enough or the first waited."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from pgqueue.worker.dispatch import Dispatch

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from pgqueue.worker.active_job import ActiveJob
    from pgqueue.worker.batch import Batch
    from pgqueue.worker.batches import BatchExecutor
    from pgqueue.worker.dispatch import Executor
    from pgqueue.worker.emitter import Emitter
    from pgqueue.worker.finisher import Finisher


class Gathering(Dispatch):
    """The claimed jobs of a worker of batches; what has not started can be given back.

    Args:
        executor: runs jobs that stalled, one by one, and knows of all that run.
        batches: runs the others.
        limit: returns how many batches may run at once, now.
        due: called when jobs have waited long enough; it calls `start`, if it is time.
    """

    def __init__(
        self,
        executor: Executor,
        batches: BatchExecutor,
        finisher: Finisher,
        emitter: Emitter,
        limit: Callable[[], int],
        *,
        batch: Batch,
        due: Callable[[], None],
    ) -> None:
        self._loop = asyncio.get_running_loop()
        super().__init__(
            executor, finisher, emitter, limit, self._loop.time(), refuse=None
        )
        self._batches = batches
        self._due = due
        self._size, self._min_size = batch.size, batch.min_size
        self._wait = batch.patience
        self._came: dict[ActiveJob, float] = {}
        self._timer: asyncio.TimerHandle | None = None

    def _room(self) -> int:
        """Return how many batches could start now."""
        apart = len(self._executor) - len(self._batches)
        return self._limit() - self._batches.batches - apart

    @property
    def free(self) -> int:
        """How many more jobs could start now."""
        return self._room() * self._size - len(self._buffer)

    def add(self, job: ActiveJob) -> None:
        """Take a claimed job."""
        super().add(job)
        self._came[job] = self._loop.time()
        if job.stalled:
            # It took its worker along the last time: it runs alone, and first.
            self._buffer.appendleft(self._buffer.pop())

    def start(self) -> None:
        """Start the batches that are big enough, or old enough, if there is room."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        while self._buffer and self._room() > 0:
            if self._buffer[0].stalled:
                stalled = self._buffer.popleft()
                self._told(stalled)
                self._executor.start(stalled)
                continue
            if len(self._buffer) < self._min_size:
                due = self._came[self._buffer[0]] + self._wait
                if due > self._loop.time():
                    self._timer = self._loop.call_at(due, self._due)
                    return
            count = min(self._size, len(self._buffer))
            jobs = [self._buffer.popleft() for _ in range(count)]
            for job in jobs:
                self._told(job)
            self._batches.start_batch(jobs)

    def cancel(self, job_ids: Collection[int]) -> int:
        """Stop the jobs of these ids that run, and do not start those that wait to."""
        found = super().cancel(job_ids)
        self._came = {job: self._came[job] for job in self._buffer}
        return found

    def release(self) -> None:
        """Give back what has not started, and claim nothing ahead for a while."""
        super().release()
        self._came.clear()

    def _told(self, job: ActiveJob) -> None:
        del self._came[job]
        if self._emitter.heard("active"):
            self._emitter.emit("active", job.loaded().snapshot())
