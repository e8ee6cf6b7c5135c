"""Collects outcomes until they are written; tells what was, and what was refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pgqueue import telemetry
from pgqueue.errors import LeaseLost
from pgqueue.ops.releasing import Parent
from pgqueue.worker.finishing import Ended, Keeps, statements
from pgqueue.worker.meter import Meter
from pgqueue.worker.outcome import COMPLETED
from pgqueue.worker.telling import report

if TYPE_CHECKING:
    from pgqueue.ops.core import Row, Statement
    from pgqueue.types import Keep
    from pgqueue.worker.active_job import ActiveJob
    from pgqueue.worker.completion import Completion
    from pgqueue.worker.emitter import Emitter
    from pgqueue.worker.outcome import Outcome

MAX_BATCH = 1000


class Finisher:
    """The outcomes that are to be written, of one worker.

    They are written together with the next claim. What was taken for a write that
    failed is given back, and written again: the lease guards against doing it twice.
    """

    def __init__(
        self, emitter: Emitter, on_complete: Keep | None, on_fail: Keep | None
    ) -> None:
        self._emitter = emitter
        self.meter = Meter()
        self._keeps = Keeps(on_complete, on_fail)
        self._pending: list[Ended] = []
        self._parked: list[Ended] = []
        self._expected: set[ActiveJob] = set()

    def __len__(self) -> int:
        return len(self._pending)

    def add(self, job: ActiveJob, outcome: Outcome, ran: float) -> None:
        """Note how a run ended; *ran* is seconds."""
        if self._expected:
            self._expected.discard(job)
        # What its own transaction said may count: no answer to the commit has come.
        self._pending.append(Ended(job, outcome, ran, job.completion is not None))

    def expect(self, job: ActiveJob) -> None:
        """Note that a run has ended whose outcome is still to be decided."""
        self._expected.add(job)

    @property
    def expecting(self) -> bool:
        """Whether an outcome is still to be decided."""
        return bool(self._expected)

    def take(self) -> list[Ended]:
        """Return the outcomes for the next write."""
        taken = self._pending[:MAX_BATCH]
        del self._pending[:MAX_BATCH]
        return taken

    def give_back(self, taken: list[Ended], *, uncertain: bool = False) -> None:
        """Keep outcomes whose write failed, or may have failed."""
        if uncertain:
            taken = [ended._replace(uncertain=True) for ended in taken]
        self._pending[:0] = taken

    def held(self) -> set[tuple[int, int]]:
        """Return the leases and ids of the jobs whose outcomes are to be written."""
        kept = (*self._pending, *self._parked)
        jobs = [ended.job for ended in kept] + list(self._expected)
        return {(job.lease_id, job.id) for job in jobs}

    def abandon(self) -> list[ActiveJob]:
        """Return the jobs whose outcomes are not written, and never will be."""
        kept = (*self._pending, *self._parked)
        self._pending, self._parked = [], []
        return [ended.job for ended in kept]

    def park(self, ended: Ended) -> None:
        """Keep an outcome that cannot be written now, apart from the others."""
        self._parked.append(ended)

    def unpark(self) -> None:
        """Try the oldest of those again."""
        if self._parked:
            self._pending.append(self._parked.pop(0))

    def statements(self, worker_id: int, taken: list[Ended]) -> list[Statement]:
        """Return what applies outcomes, by the worker's rules of what to keep."""
        return statements(worker_id, taken, self._keeps)

    def settle(self, taken: list[Ended], answers: list[list[Row]]) -> set[Parent]:
        """Tell listeners what was written, and which leases were lost.

        Args:
            answers: to `statements` for the same outcomes.

        Returns:
            The parents that may go on once this has committed.
        """
        alive = False
        if any(ended.uncertain for ended in taken):
            *answers, renewed = answers
            alive = bool(renewed)
        written = {row[0] for rows in answers for row in rows}
        parents = {
            Parent(row[1], row[2])
            for rows in answers
            if rows and len(rows[0]) > 1
            for row in rows
            if row[2] is not None
        }
        self.meter.note(taken, written)
        heard = telemetry.wanted("job.completed") or self._emitter.heard("completed")
        for ended in taken:
            if not heard and ended.outcome is COMPLETED and ended.job.id in written:
                continue
            # Sent twice, because the first answer was lost, by a worker that was alive
            # all the time: nobody can have taken the lease, so the first one counted.
            first = ended.uncertain and alive
            done = None if ended.job.id in written else ended.job.completion
            if done is not None and (done.committed or first):
                parents |= self.tell(ended.job, done)
            elif ended.job.id in written or first:
                report(ended.job, ended.outcome, ended.ran, self._emitter)
                if ended.outcome.ending == "children":
                    parents.add(Parent(ended.job.queue_id, ended.job.id))
            else:
                self.lost(ended.job)
        return parents

    def tell(self, job: ActiveJob, done: Completion) -> set[Parent]:
        """Tell listeners, once, of a completion that the handler itself committed.

        Returns:
            The parents that may go on.
        """
        if done.told:
            return set()
        done.told = True
        return self.settle([Ended(job, done.outcome, done.ran)], done.answers)

    def lost(self, job: ActiveJob) -> None:
        """Report that a lease ended before its outcome was written."""
        telemetry.emit("lease.lost", queue=job.queue, name=job.name, job_id=job.id)
        self._emitter.emit("lease_lost", job.id)
        if self._emitter.heard("error"):
            self._emitter.emit("error", LeaseLost(job.id))
