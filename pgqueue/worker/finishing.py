"""What writes outcomes: one statement for most of them, and what a few need besides."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from pgqueue.ops import leases
from pgqueue.ops.core import Statement
from pgqueue.retention import Retention, resolve
from pgqueue.worker.outcome import CANCELLED, Outcome

if TYPE_CHECKING:
    from pgqueue.types import Keep
    from pgqueue.worker.active_job import ActiveJob


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


@dataclass(frozen=True, slots=True)
class Keeps:
    """What a worker keeps of jobs that do not say it themselves."""

    completed: Keep | None = None
    failed: Keep | None = None
    forgets: bool = field(init=False)
    """Whether it removes those that complete."""

    def __post_init__(self) -> None:
        keep = resolve(None, self.completed)
        object.__setattr__(self, "forgets", keep is not None and keep.remove)


def statements(worker_id: int, taken: list[Ended], keeps: Keeps) -> list[Statement]:
    """Return what applies outcomes; if some were sent before, are we still alive?"""
    if not taken:
        return []
    plain: list[ActiveJob] = []
    others: list[Ended] = []
    for ended in taken:
        if leaves_nothing(ended, keeps):
            plain.append(ended.job)
        else:
            others.append(ended)
    made = []
    if plain:
        made.append(leases.remove(worker_id, plain))
    if others:
        elements = [element(*ended[:3], keeps) for ended in others]
        made.append(leases.finish(worker_id, [one.job for one in others], elements))
    made += settle_dedup(others)
    made += trim_attempts(others)
    made += limit_queues(others)
    if any(ended.uncertain for ended in taken):
        made.append(leases.renewal(worker_id))
    return made


def leaves_nothing(ended: Ended, keeps: Keeps) -> bool:
    """Whether a job completed, is not kept, and has nothing but its body."""
    job = ended.job
    if ended.outcome.ending != "completed" or job.traces or job.child:
        return False
    # Followers of the queue are told the result; only finish_jobs carries one.
    if job.options.dedup or ended.outcome.encoded != "null":
        return False
    own = job.options.remove_on_complete
    if own is None:
        return keeps.forgets
    keep = resolve(own, None)
    return keep is not None and keep.remove


def element(job: ActiveJob, outcome: Outcome, ran: float, keeps: Keeps) -> str:
    """Return one outcome as JSON; the plainest case is written by hand."""
    ending = outcome.ending
    if ending in ("completed", "failed"):
        completed = ending == "completed"
        keep = resolve(
            job.options.remove_on_complete if completed else job.options.remove_on_fail,
            keeps.completed if completed else keeps.failed,
        )
        if keep is not None and keep.remove:
            left = ',"traces":true' if job.traces else ""
            left += ended_fields(job, outcome)
            return f'{{"lease":{job.lease_id},"job":{job.id},"state":"removed"{left}}}'
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
