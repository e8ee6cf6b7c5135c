"""Operations that look at a queue from outside: priorities, workers, metrics."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pgqueue.observed import Histogram, Metric, WorkerInfo
from pgqueue.ops.core import Op, Statement, atomic
from pgqueue.ops.jobs import find
from pgqueue.types import Job, Page

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from pgqueue.query import Query

BATCH: Final = 1000


def counts_per_priority(queue: str, priorities: Sequence[int]) -> Op[dict[int, int]]:
    """Return how many jobs wait with each of these priorities."""
    params = {"queue": queue, "priorities": list(priorities)}
    rows = yield Statement("count_priorities", params)
    return dict.fromkeys(priorities, 0) | {row[0]: row[1] for row in rows}


def workers(queue: str) -> Op[list[WorkerInfo]]:
    """Return the workers of a queue, the oldest first."""
    rows = yield Statement("list_workers", {"queue": queue})
    return [
        WorkerInfo(
            id=row[0],
            name=row[1],
            host=row[2],
            pid=row[3],
            queues=tuple(row[4]),
            concurrency=row[5],
            started_at=row[6],
            heartbeat_at=row[7],
            active=row[8],
            alive=row[9],
        )
        for row in rows
    ]


def beating(host: str) -> Op[tuple[int, int]]:
    """Return how many workers of a host renew their leases, and how many there are."""
    [(well, known)] = yield Statement("count_beating", {"host": host})
    return well, known


def metrics(queue: str, minutes: int) -> Op[list[Metric]]:
    """Return the last minutes in which jobs ended, over all workers, newest first."""
    rows = yield Statement("list_metrics", {"queue": queue, "minutes": minutes})
    found: dict[datetime, Metric] = {}
    for minute, completed, failed, latency, duration in rows:
        before = found.get(minute, Metric(minute=minute))
        found[minute] = Metric(
            minute=minute,
            completed=before.completed + completed,
            failed=before.failed + failed,
            latency=before.latency + Histogram(tuple(latency)),
            duration=before.duration + Histogram(tuple(duration)),
        )
    return list(found.values())


@atomic
def search(
    queue: str, query: Query, limit: int, before: int, timeout: float
) -> Op[Page]:
    """Return the newest jobs that satisfy a query, within so many seconds."""
    milliseconds = str(max(1, int(timeout * 1000)))
    [(usual, _)] = yield Statement("bound_statement", {"timeout": milliseconds})
    params = {
        "queue": queue,
        "name": query.name,
        "state": query.state,
        "group": query.group,
        "tags": list(query.tags),
        "paths": [path for path, _ in query.data],
        "expected": [value for _, value in query.data],
        "before": before,
        "limit": limit + 1,
    }
    rows = yield Statement("search_jobs", params)
    yield Statement("bound_statement", {"timeout": usual})
    found: list[Job] = []
    for (job_id,) in rows[:limit]:
        job = yield from find(queue, job_id)
        # Removed since, or gone to another state; that it matched is old news then.
        if job is not None:
            found.append(job)
    more = len(rows) > limit
    return Page(tuple(found), str(rows[limit - 1][0]) if more else None)


def save_metric(
    worker_id: int, queue_id: int, completed: int, failed: int, **histograms: list[int]
) -> Op[None]:
    """Add what a worker did since it last said so."""
    params = {
        "worker_id": worker_id,
        "queue_id": queue_id,
        "completed": completed,
        "failed": failed,
        **histograms,
    }
    yield Statement("save_metric", params)


def trim_metrics(queue_id: int) -> Op[int]:
    """Remove minutes that are older than a week; return how many."""
    trimmed: int = 0
    while True:
        params = {"queue_id": queue_id, "limit": BATCH}
        rows = yield Statement("trim_metrics", params)
        count: int = rows[0][0]
        trimmed += count
        if count < BATCH:
            return trimmed
