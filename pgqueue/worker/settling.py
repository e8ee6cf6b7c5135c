"""Where every run of one life of a worker ends, whichever way it ran."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

from pgqueue.worker.completion import afterthought, instead
from pgqueue.worker.outcome import Outcome, interrupted
from pgqueue.worker.strategies import Strategies

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pgqueue.worker.active_job import ActiveJob
    from pgqueue.worker.claimer import Claimer
    from pgqueue.worker.emitter import Emitter
    from pgqueue.worker.finisher import Finisher
    from pgqueue.worker.worker import Worker


class Settling:
    """Hands outcomes to the finisher, unless the job has settled itself.

    Attributes:
        claimer: what is woken to write them.
    """

    claimer: Claimer

    def __init__(self, worker: Worker, finisher: Finisher) -> None:
        self._max_stalled = worker.max_stalled
        self._emitter: Emitter = worker.emitter
        self._finisher = finisher
        self._strategies = Strategies(worker.backoffs, worker.emitter, self.settle)
        self._loop = asyncio.get_running_loop()

    def settle(self, job: ActiveJob, outcome: Outcome, ran: float) -> None:
        """Take the outcome of a run."""
        done = job.completion
        if done is not None:
            outcome = instead(job, outcome)
        if done is not None and done.committed:
            self._tell(job)
            if error := afterthought(job, done, outcome):
                self._emitter.error(error, f"job {job.id}, which had completed")
        elif outcome.strategy is not None:
            self._finisher.expect(job)
            self._strategies.ask(job, outcome, ran)
        else:
            self._finisher.add(job, outcome, ran)
        self.claimer.ended()

    def committed(self, job: ActiveJob) -> None:
        """Hear, in any thread, that a handler has committed its job's completion."""
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._tell, job)

    def cut_off(self, running: Iterable[ActiveJob]) -> None:
        """Settle jobs of which nobody will hear any more."""
        for job in (*running, *self._strategies.abandon()):
            if job.completion is not None and job.completion.committed:
                self._tell(job)
            else:
                self._finisher.add(job, interrupted(job, self._max_stalled), 0.0)

    def lost(self, running: Iterable[ActiveJob]) -> None:
        """Report jobs whose leases are gone."""
        for job in (*running, *self._strategies.abandon()):
            if job.completion is not None and job.completion.committed:
                self._tell(job)
            else:
                self._finisher.lost(job)

    def _tell(self, job: ActiveJob) -> None:
        if job.completion is not None:
            self.claimer.committed(job, job.completion)
