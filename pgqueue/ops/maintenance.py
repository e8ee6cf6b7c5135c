"""Operations that keep a database healthy: recover, prune, trim; in short batches."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from pgqueue.ops.core import Op, Statement, atomic
from pgqueue.ops.releasing import Parent, overlooked, release

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

BATCH: Final = 1000

STALLED: Final = "stalled more often than max_stalled allows"


class Recovered(NamedTuple):
    """One job whose worker was gone."""

    job_id: int
    queue: str
    failed: bool
    rung: object
    parent_queue_id: int | None
    parent_id: int | None


class Upkeep(NamedTuple):
    """What there is to do about one queue, or may be; the first two about all of them.

    Attributes:
        lost: workers have died.
        parents: jobs wait for children.
        scheduled: schedules have pending jobs.
        followed: events are written.
        told: there are events, or will be.
        over: the age of a finished job is over.
        counted: finished jobs are kept by number.
        unsettled: there are cancelled jobs, or deduplication ids.
        rated: groups have a rate, or are held.
        traced: there are lines of a log, or progress.
    """

    queue_id: int
    lost: bool
    parents: bool
    scheduled: bool
    followed: bool
    told: bool
    over: bool
    counted: bool
    unsettled: bool
    rated: bool
    traced: bool


def find_upkeep(lows: Mapping[int, float]) -> Op[list[Upkeep]]:
    """Return what there is to do.

    Args:
        lows: the queues, and where `prune` is to begin in each.
    """
    params = {"queue_ids": list(lows), "lows": list(lows.values())}
    return [Upkeep(*row) for row in (yield Statement("find_upkeep", params))]


@atomic
def recover(max_stalled: int) -> Op[list[Recovered]]:
    """Bury dead workers and put back what they held.

    Parents of jobs that failed are released afterwards, in a transaction of its own.
    """
    yield Statement("bury_workers", {})
    params = {"max_stalled": max_stalled, "reason": STALLED}
    rows = yield Statement("recover_jobs", params)
    return [Recovered(*row) for row in rows]


def parents_of(recovered: Sequence[Recovered]) -> list[Parent]:
    """Return the parents of jobs that failed, which may go on or fail now."""
    return [
        Parent(job.parent_queue_id, job.parent_id)
        for job in recovered
        if job.parent_queue_id is not None and job.parent_id is not None
    ]


def prune(queue_id: int, low: float) -> Op[tuple[int, float]]:
    """Remove finished jobs whose age is over.

    Returns:
        How many went, and where the next call may begin: seconds since the epoch.
    """
    pruned = 0
    while True:
        params = {"queue_id": queue_id, "low": low, "limit": BATCH}
        rows = yield Statement("prune_finished", params)
        count, last = rows[0]
        pruned += count
        low = low if last is None else last
        if count < BATCH:
            return pruned, low


def trim(queue_id: int) -> Op[int]:
    """Remove the oldest finished jobs beyond the number to keep; return how many."""
    trimmed = 0
    for state in ("completed", "failed"):
        count = BATCH
        while count == BATCH:
            params = {"queue_id": queue_id, "state": state, "limit": BATCH}
            rows = yield Statement("trim_finished", params)
            count = rows[0][0]
            trimmed += count
    return trimmed


def sweep_traces(queue_id: int, after: int) -> Op[int]:
    """Remove what was told of jobs that are gone; return where the next call begins."""
    params = {"queue_id": queue_id, "after": after, "limit": BATCH}
    rows = yield Statement("sweep_traces", params)
    return rows[0][0] or 0


def settle_queue(queue_id: int) -> Op[None]:
    """Cancel what was put back instead; free ids, and add what was kept back, too late.

    A job that was failed by recovery, or by its child, settles here what a worker settles
    when it finishes one.
    """
    cancelled = yield Statement("settle_cancelled", {"queue_id": queue_id})
    yield from release(overlooked(cancelled))
    yield Statement("unmark_cancelled", {"queue_id": queue_id})
    yield Statement("expire_dedup", {"queue_id": queue_id, "limit": BATCH})
    rows = yield Statement("find_kept_back", {"queue_id": queue_id, "limit": BATCH})
    if rows:
        job_ids = [row[0] for row in rows]
        yield Statement("settle_dedup", {"queue_id": queue_id, "job_ids": job_ids})
