"""Operations under a lease: announce a worker, claim, renew, report, finish, sign off.

A claim, and what finishes, are statements and not operations: a worker sends both in one
round trip, in one transaction.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

from pgqueue.errors import LeaseLost, SchemaError
from pgqueue.ops.core import Op, Statement
from pgqueue.ops.queues import queue_id
from pgqueue.schema import HEAD

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

Stretches = tuple[list[int], list[int], list[int], list[int]]
"""Parts of the claim index: from (priority, position) inclusive, to (…) exclusive."""

LOWEST: Final = -(2**62)
END: Final = 2**21
"""Past every priority; the jobs of groups stand above, where other claims look."""

WHOLE: Final[Stretches] = ([0], [LOWEST], [END], [0])
PROMOTED: Final = 1000
"""How many due jobs one statement promotes at most."""


class Leased(Protocol):
    """A job as the worker that runs it names it."""

    @property
    def queue_id(self) -> int: ...
    @property
    def lease_id(self) -> int: ...
    @property
    def id(self) -> int: ...


def register(
    worker_id: int,
    *,
    lease: float,
    pid: int,
    concurrency: int,
    host: str,
    name: str,
    queues: Sequence[str],
) -> Op[dict[str, int]]:
    """Announce a worker, and return its queues' ids by name; see `announce`."""
    yield from announce(
        worker_id,
        lease=lease,
        pid=pid,
        concurrency=concurrency,
        host=host,
        name=name,
        queues=queues,
    )
    return (yield from find_queues(queues))


def announce(
    worker_id: int,
    *,
    lease: float,
    pid: int,
    concurrency: int,
    host: str,
    name: str,
    queues: Sequence[str],
) -> Op[None]:
    """Announce a worker before its first claim.

    Raises:
        SchemaError: the schema is older than this release needs.
    """
    rows = yield Statement("schema_version", {})
    found = rows[0][0] if rows else "none"
    if found < HEAD or not rows:
        raise SchemaError(
            f"the schema is at revision {found}, this release needs {HEAD}; "
            "run: pgqueue migrate"
        )
    params = {
        "worker_id": worker_id,
        "lease": lease,
        "pid": pid,
        "concurrency": concurrency,
        "host": host,
        "name": name,
        "queues": list(queues),
    }
    yield Statement("register_worker", params)


def find_queues(queues: Sequence[str]) -> Op[dict[str, int]]:
    """Return the ids of queues by name; those that there are not yet are made."""
    found = {}
    for queue in queues:
        found[queue] = yield from queue_id(queue)
    return found


def promote(queue_id: int, low: float = 0.0) -> list[Statement]:
    """Return what promotes due jobs, and asks for the next one and for limits and groups.

    Args:
        low: what is due before this second has been promoted.
    """
    place: dict[str, object] = {"queue_id": queue_id, "low": low}
    return [
        Statement("promote_jobs", {**place, "limit": PROMOTED}),
        Statement("next_due", place),
    ]


def lock_limits(queue_ids: Iterable[int]) -> Statement:
    """Return what must precede the claims of limited queues, in the transaction."""
    return Statement("lock_limits", {"queue_ids": sorted(queue_ids)})


def form_line(queue_id: int) -> Statement:
    """Return what puts the groups of a queue in line, before the claim."""
    return Statement("form_line", {"queue_id": queue_id})


def claim(
    queue_id: int,
    worker_id: int,
    limit: int,
    stretches: Stretches = WHOLE,
    *,
    limited: bool = False,
    from_turn: int | None = None,
) -> Statement:
    """Return what claims up to *limit* jobs, of those stretches of the index.

    Args:
        limited: the queue has limits; `lock_limits` goes before.
        from_turn: it has groups; of those in line from this turn on. `lock_limits` and
            `form_line` go before.
    """
    params: dict[str, object] = {
        "queue_id": queue_id,
        "worker_id": worker_id,
        "limit": limit,
        "from_priority": stretches[0],
        "from_seq": stretches[1],
        "to_priority": stretches[2],
        "to_seq": stretches[3],
    }
    if from_turn is not None:
        params["from_turn"] = from_turn
        return Statement("claim_grouped", params)
    return Statement("claim_limited" if limited else "claim_jobs", params)


def look(queue_id: int, *, ring: bool, from_turn: int | None = None) -> Statement:
    """Return what asks whether a job of a limited queue may start.

    Args:
        ring: wake a worker that sleeps, if one may.
        from_turn: the queue has groups; those in line from this turn on.
    """
    params: dict[str, object] = {"queue_id": queue_id, "ring": ring}
    if from_turn is not None:
        params["from_turn"] = from_turn
        return Statement("look_at_groups", params)
    return Statement("look_at_limits", params)


def find(worker_id: int, queue_ids: list[int]) -> Statement:
    """Return what lists the jobs that a worker has claimed, as its claims did."""
    return Statement("list_leases", {"worker_id": worker_id, "queue_ids": queue_ids})


def remove(worker_id: int, jobs: Sequence[Leased]) -> Statement:
    """Return what removes completed jobs that leave nothing but their bodies."""
    params = guard(worker_id, jobs)
    # Arrays as PostgreSQL's own text: no list has to be adapted.
    params["leases"] = f"{{{','.join([str(job.lease_id) for job in jobs])}}}"
    params["jobs"] = f"{{{','.join([str(job.id) for job in jobs])}}}"
    return Statement("remove_completed", params)


def finish(worker_id: int, jobs: Sequence[Leased], outcomes: list[str]) -> Statement:
    """Return what applies outcomes, each as JSON, in the order of *jobs*."""
    place = guard(worker_id, jobs)
    return Statement("finish_jobs", {**place, "outcomes": f"[{','.join(outcomes)}]"})


def guard(worker_id: int, jobs: Sequence[Leased]) -> dict[str, object]:
    """Return the parameters by which a statement finds, and locks, the leases."""
    return {
        "worker_id": worker_id,
        "queue_ids": list({job.queue_id for job in jobs}),
        "lease_ids": sorted({job.lease_id for job in jobs}),
    }


def renew(worker_id: int) -> Op[bool]:
    """Extend all leases of a worker; False says that it was declared dead."""
    rows = yield renewal(worker_id)
    return bool(rows)


def renewal(worker_id: int) -> Statement:
    """Return what extends all leases of a worker; no row says that it was declared dead."""
    return Statement("renew_leases", {"worker_id": worker_id})


def look_for_cancelled(worker_id: int) -> Op[list[int]]:
    """Return the jobs that a worker runs and is asked to stop."""
    rows = yield Statement("look_for_cancelled", {"worker_id": worker_id})
    return [row[0] for row in rows]


def sign_off(worker_id: int) -> Op[None]:
    """Remove a worker that has no lease left."""
    yield Statement("remove_worker", {"worker_id": worker_id})


def save_progress(
    worker_id: int, queue_id: int, lease_id: int, job_id: int, value: str
) -> Op[None]:
    """Store a job's progress, or raise `LeaseLost`."""
    params = {
        "worker_id": worker_id,
        "queue_id": queue_id,
        "lease_id": lease_id,
        "job_id": job_id,
        "value": value,
    }
    rows = yield Statement("save_progress", params)
    if not rows:
        raise LeaseLost(job_id)
