"""Operations under a lease: announce a worker, renew, report, sign off."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pgqueue.errors import LeaseLost, SchemaError
from pgqueue.ops.core import Op, Statement
from pgqueue.ops.queues import queue_id
from pgqueue.schema import HEAD

if TYPE_CHECKING:
    from collections.abc import Sequence


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
    """Announce a worker before its first claim; return its queues' ids by name.

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
    found = {}
    for queue in queues:
        found[queue] = yield from queue_id(queue)
    return found


def renew(worker_id: int) -> Op[bool]:
    """Extend all leases of a worker; False says that it was declared dead."""
    rows = yield Statement("renew_leases", {"worker_id": worker_id})
    return bool(rows)


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
