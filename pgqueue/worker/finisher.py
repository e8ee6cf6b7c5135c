"""Collects outcomes and turns them into one statement; reports what was refused."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, NamedTuple

from pgqueue import telemetry
from pgqueue.errors import LeaseLost
from pgqueue.ops.core import Row, Statement
from pgqueue.ops.releasing import Parent
from pgqueue.retention import Retention, resolve
from pgqueue.worker.meter import Meter
from pgqueue.worker.outcome import CANCELLED, COMPLETED, Outcome
from pgqueue.worker.telling import report

if TYPE_CHECKING:
    from pgqueue.types import Keep
    from pgqueue.worker.active_job import ActiveJob
    from pgqueue.worker.completion import Completion
    from pgqueue.worker.emitter import Emitter

MAX_BATCH = 1000


class Ended(NamedTuple):
    """One run that ended, and how."""

    job: ActiveJob
    outcome: Outcome
    ran: float
    uncertain: bool = False
    """A write of it was sent, and the connection broke before the answer."""

    @property
    def puts_back(self) -> bool:
        """Whether the job is to run again."""
        return self.outcome.ending not in ("completed", "failed")


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
        self._on_complete = on_complete
        self._on_fail = on_fail
        self._pending: list[Ended] = []
        self._parked: list[Ended] = []
        self._expected: set[ActiveJob] = set()

    def __len__(self) -> int:
        return len(self._pending)

    def add(self, job: ActiveJob, outcome: Outcome, ran: float) -> None:
        """Note how a run ended; *ran* is seconds."""
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

    def park(self, ended: Ended) -> None:
        """Keep an outcome that cannot be written now, apart from the others."""
        self._parked.append(ended)

    def unpark(self) -> None:
        """Try the oldest of those again."""
        if self._parked:
            self._pending.append(self._parked.pop(0))

    def statements(self, worker_id: int, taken: list[Ended]) -> list[Statement]:
        """Return what applies outcomes; if some were sent before, are we still alive?"""
        if not taken:
            return []
        plain: list[ActiveJob] = []
        others: list[Ended] = []
        for ended in taken:
            if self._leaves_nothing(ended):
                plain.append(ended.job)
            else:
                others.append(ended)
        statements = []
        if plain:
            statements.append(remove_completed(worker_id, plain))
        if others:
            statements.append(self._finish(worker_id, others))
        statements += settle_dedup(others)
        statements += trim_attempts(others)
        statements += limit_queues(others)
        if any(ended.uncertain for ended in taken):
            statements.append(Statement("renew_leases", {"worker_id": worker_id}))
        return statements

    def _finish(self, worker_id: int, taken: list[Ended]) -> Statement:
        elements = ",".join([self._element(*ended[:3]) for ended in taken])
        place = guard(worker_id, [ended.job for ended in taken])
        return Statement("finish_jobs", {**place, "outcomes": f"[{elements}]"})

    def _leaves_nothing(self, ended: Ended) -> bool:
        """Whether a job completed, is not kept, and has nothing but its body."""
        job = ended.job
        if ended.outcome.ending != "completed" or job.traces or job.child:
            return False
        # Followers of the queue are told the result; only finish_jobs carries one.
        if job.options.dedup or ended.outcome.encoded != "null":
            return False
        keep = resolve(job.options.remove_on_complete, self._on_complete)
        return keep is not None and keep.remove

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
            for row in rows
            if len(row) > 1 and row[2] is not None
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

    def _element(self, job: ActiveJob, outcome: Outcome, ran: float) -> str:
        """Return one outcome as JSON; the plainest case is written by hand."""
        ending = outcome.ending
        if ending in ("completed", "failed"):
            completed = ending == "completed"
            keep = resolve(
                job.options.remove_on_complete
                if completed
                else job.options.remove_on_fail,
                self._on_complete if completed else self._on_fail,
            )
            if keep is not None and keep.remove:
                left = ',"traces":true' if job.traces else ""
                left += ended_fields(job, outcome)
                return (
                    f'{{"lease":{job.lease_id},"job":{job.id},"state":"removed"{left}}}'
                )
            child = f',"child":true,"ended":"{ending}"' if job.child else ""
            if completed:
                return (
                    f'{{"lease":{job.lease_id},"job":{job.id},"state":"completed",'
                    f'"attempt":{job.attempt},"ran":{ran:.6f},'
                    f'"result":{outcome.encoded}{keep_fields(keep)}{child}}}'
                )
            fields = json.dumps(
                {
                    "lease": job.lease_id,
                    "job": job.id,
                    "state": "failed",
                    "attempt": job.attempt,
                    "ran": ran,
                    "error": outcome.reason,
                    "stack": outcome.stack,
                    "failure": True,
                    "exhausted": exhausted(job, outcome),
                    "stalled": job.stalled + outcome.interrupted,
                }
            )
            return f"{fields[:-1]}{keep_fields(keep)}{child}}}"
        return json.dumps(put_back(job, outcome, ran))


def exhausted(job: ActiveJob, outcome: Outcome) -> bool:
    """Whether a job failed for want of attempts; one that was cancelled did not."""
    return outcome is not CANCELLED and job.attempt >= job.attempts


def ended_fields(job: ActiveJob, outcome: Outcome) -> str:
    """Return what a job that is not kept leaves to its parent, and to followers."""
    child = ',"child":true' if job.child else ""
    if outcome.ending == "completed":
        return f'{child},"ended":"completed","result":{outcome.encoded}'
    last = ',"exhausted":true' if exhausted(job, outcome) else ""
    reason = json.dumps(outcome.reason)
    return f'{child},"ended":"failed","error":{reason}{last}'


def settle_dedup(taken: list[Ended]) -> list[Statement]:
    """Return what frees the deduplication ids of jobs that have ended."""
    by_queue: dict[int, list[int]] = {}
    for ended in taken:
        if ended.job.options.dedup and not ended.puts_back:
            by_queue.setdefault(ended.job.queue_id, []).append(ended.job.id)
    return [
        Statement("settle_dedup", {"queue_id": queue_id, "job_ids": job_ids})
        for queue_id, job_ids in sorted(by_queue.items())
    ]


def trim_attempts(taken: list[Ended]) -> list[Statement]:
    """Return what keeps the newest attempts of failed jobs that limit them."""
    by_queue: dict[int, dict[int, int]] = {}
    for ended in taken:
        most = ended.job.options.stack_limit
        if most is not None and ended.outcome.ending in ("failed", "retry"):
            by_queue.setdefault(ended.job.queue_id, {})[ended.job.id] = most
    return [
        Statement(
            "trim_attempts",
            {"queue_id": queue_id, "job_ids": list(of), "limits": list(of.values())},
        )
        for queue_id, of in by_queue.items()
    ]


def limit_queues(taken: list[Ended]) -> list[Statement]:
    """Return what limits the queues and groups whose handlers raised `RateLimited`."""
    holds: dict[tuple[int, str], float] = {}
    for ended in taken:
        if ended.outcome.ending == "limited":
            place = (ended.job.queue_id, ended.job.group or "")
            holds[place] = max(holds.get(place, 0.0), ended.outcome.hold)
    # Sorted, because each locks a row.
    made = [
        Statement("limit_longer", {"queue_id": queue_id, "delay": holds[queue_id, ""]})
        for queue_id, group in sorted(holds)
        if not group
    ]
    for queue_id in sorted({queue_id for queue_id, group in holds if group}):
        held = [group for of, group in sorted(holds) if of == queue_id and group]
        delays = [holds[queue_id, group] for group in held]
        params = {"queue_id": queue_id, "groups": held, "delays": delays}
        made.append(Statement("limit_groups_longer", params))
    return made


def guard(worker_id: int, jobs: list[ActiveJob]) -> dict[str, object]:
    """Return the parameters by which a statement finds, and locks, the leases."""
    return {
        "worker_id": worker_id,
        "queue_ids": list({job.queue_id for job in jobs}),
        "lease_ids": sorted({job.lease_id for job in jobs}),
    }


def remove_completed(worker_id: int, jobs: list[ActiveJob]) -> Statement:
    """Return the statement that removes completed jobs; arrays as PostgreSQL's text."""
    params = guard(worker_id, jobs)
    params["leases"] = f"{{{','.join([str(job.lease_id) for job in jobs])}}}"
    params["jobs"] = f"{{{','.join([str(job.id) for job in jobs])}}}"
    return Statement("remove_completed", params)


def keep_fields(keep: Retention | None) -> str:
    """Return a keep rule as fields of an outcome; none leaves it to the queue."""
    if keep is None:
        return ""
    age = "" if keep.age is None else f',"age":{keep.age}'
    count = "" if keep.newest is None else f',"count":{keep.newest}'
    return f',"keep":true{age}{count}'


def put_back(job: ActiveJob, outcome: Outcome, ran: float) -> dict[str, object]:
    """Return the outcome of a job that will run again."""
    fields: dict[str, object] = {
        "lease": job.lease_id,
        "job": job.id,
        "state": "delayed" if outcome.delay > 0 else "waiting",
        "priority": job.priority,
        "stalled": job.stalled + outcome.interrupted,
        "attempt": job.attempt - 1,
        "ran": ran,
    }
    if outcome.delay > 0:
        fields["delay"] = outcome.delay
    if outcome.ending == "retry":
        fields |= {
            "attempt": job.attempt,
            "error": outcome.reason,
            "stack": outcome.stack,
            "failure": True,
        }
    if outcome.ending == "children":
        fields["state"] = "waiting_children"
    if outcome.ending in ("released", "limited"):
        # It goes back to the place it was taken from.
        fields["seq"] = job.seq
    return fields
