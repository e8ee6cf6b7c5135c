"""Operations on whole queues: count, pause, drain, clean, obliterate.

What may be long runs in batches, each a transaction of its own on our connections, so
that ten million jobs never hold one open and a killed call leaves a consistent queue.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pgqueue import payload
from pgqueue.errors import QueueNotEmpty
from pgqueue.ops.core import Op, Statement
from pgqueue.ops.jobs import HIGHEST, LISTS, removal
from pgqueue.ops.releasing import overlooked, release
from pgqueue.types import Counts, QueueInfo

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pgqueue.types import JsonValue

BATCH: Final = 1000
LAST: Final = 2**63 - 1
CLAIM_PAUSE: Final = 0.01
CLAIM_LOOKS: Final = 200
"""A claim takes milliseconds; what writes leases for two seconds is none."""

CLEANABLE: Final[dict[str, tuple[str, dict[str, object], str]]] = {
    "waiting": ("find_waiting", {"low": 0, "high": 0, "only_paused": False}, "waiting"),
    "prioritized": (
        "find_waiting",
        {"low": 1, "high": HIGHEST, "only_paused": False},
        "waiting",
    ),
    "paused": (
        "find_waiting",
        {"low": 0, "high": HIGHEST, "only_paused": True},
        "waiting",
    ),
    "delayed": ("find_delayed", {}, "delayed"),
    "active": ("find_expired", {}, "active"),
    "completed": ("find_finished", {"state": "completed"}, "completed"),
    "failed": ("find_finished", {"state": "failed"}, "failed"),
}
"""How `clean` finds the jobs of each state, and the state they must still be in."""


def queue_id(queue: str) -> Op[int]:
    """Return the id of a queue, made on first use."""
    rows = yield Statement("find_queue", {"queue": queue})
    found: int = rows[0][0]
    return found


def count(queue: str) -> Op[int]:
    """Return how many jobs wait to be processed."""
    rows = yield Statement("count_backlog", {"queue": queue})
    return rows[0][0] if rows else 0


def counts(queue: str, states: Sequence[str] = tuple(LISTS)) -> Op[Counts]:
    """Return how many jobs stand in each of the states; 0 for the others."""
    params = {"queue": queue, "states": list(states)}
    rows = yield Statement("count_jobs", params)
    if not rows:
        return Counts()
    waiting, prioritized, delayed, active, children, completed, failed = rows[0]
    return Counts(
        waiting=waiting,
        prioritized=prioritized,
        delayed=delayed,
        active=active,
        waiting_children=children,
        completed=completed,
        failed=failed,
    )


def list_queues(only: str | None = None) -> Op[list[QueueInfo]]:
    """Return every queue that was ever used, or one, with its counts, by name."""
    rows = yield Statement("list_queues", {})
    found = []
    for name, paused in rows:
        if only not in {None, name}:
            continue
        standing = yield from counts(name)
        found.append(QueueInfo(name=name, paused=paused, counts=standing))
    return found


def list_names() -> Op[list[str]]:
    """Return the names of all queues, without a look at their jobs."""
    rows = yield Statement("list_queues", {})
    return [name for name, _ in rows]


def pause(queue: str) -> Op[None]:
    """Stop claims of the queue, for every worker."""
    found = yield from queue_id(queue)
    yield Statement("pause_queue", {"queue_id": found})


def resume(queue: str) -> Op[None]:
    """Allow claims of the queue again, and wake its workers."""
    found = yield from queue_id(queue)
    yield Statement("resume_queue", {"queue_id": found})


def is_paused(queue: str) -> Op[bool]:
    """Return whether the queue is paused."""
    rows = yield Statement("is_paused", {"queue": queue})
    return bool(rows and rows[0][0])


def list_paused(queue_ids: Sequence[int]) -> Op[list[int]]:
    """Return those of the queues that are paused."""
    rows = yield Statement("list_paused", {"queue_ids": list(queue_ids)})
    return [row[0] for row in rows]


def drain(queue: str, *, delayed: bool) -> Op[int]:
    """Remove the waiting jobs, and the delayed ones if asked; return how many."""
    found = yield from queue_id(queue)
    mark = yield from mark_position()
    # Delayed jobs first: one that becomes due meanwhile is then among the waiting.
    drained = 0
    if delayed:
        drained += yield from drain_by_id("drain_delayed", found)
    drained += yield from drain_waiting(found, mark)
    return drained


def mark_position() -> Op[int]:
    """Return a position that jobs which become ready from here on have behind it."""
    rows = yield Statement("mark_position", {})
    mark: int = rows[0][0]
    return mark


def drain_waiting(queue_id: int, mark: int = LAST) -> Op[int]:
    """Remove waiting jobs in claim order; each batch begins where the last ended.

    Args:
        mark: parents that were released behind this position stay.
    """
    drained = 0
    priority, seq = -1, 0
    while True:
        params = {
            "queue_id": queue_id,
            "priority": priority,
            "seq": seq,
            "mark": mark,
            "limit": BATCH,
        }
        rows = yield Statement("drain_waiting", params)
        yield from release(overlooked(rows))
        drained += len(rows)
        if len(rows) < BATCH:
            return drained
        _, priority, seq = rows[0][:3]


def drain_by_id(statement: str, queue_id: int) -> Op[int]:
    """Remove jobs of one state in the order of their ids."""
    drained = after = 0
    while True:
        params = {"queue_id": queue_id, "after": after, "limit": BATCH}
        rows = yield Statement(statement, params)
        yield from release(overlooked(rows))
        drained += len(rows)
        if len(rows) < BATCH:
            return drained
        after = rows[0][0]


def clean(queue: str, grace: float, limit: int, state: str) -> Op[list[int]]:
    """Remove jobs of one state that are older than *grace*, oldest first.

    They are looked up once and removed in batches; each removal checks the state
    again, so a job that was claimed or retried meanwhile stays.
    """
    statement, fixed, standing = CLEANABLE[state]
    most = limit or None
    if state == "active":
        # A worker that is late with its heartbeat is dead from here on: it cannot renew
        # its lease between the look and the removal.
        yield Statement("bury_workers", {})
    rows = yield Statement(
        statement, {"queue": queue, **fixed, "grace": grace, "limit": most}
    )
    found = [row[0] for row in rows]
    removed: list[int] = []
    for begin in range(0, len(found), BATCH):
        batch = found[begin : begin + BATCH]
        gone = yield from remove_batch(queue, batch, standing)
        removed += [job_id for job_id in batch if job_id in gone]
    if removed:
        told = {"state": state, "count": len(removed)}
        yield from note(queue, "cleaned", told)
    return removed


def note(queue: str, name: str, data: JsonValue = None) -> Op[None]:
    """Tell followers what happened to a queue as a whole."""
    params = {"queue": queue, "name": name, "data": payload.encode(data, "event")}
    yield Statement("note_event", params)


def remove_batch(queue: str, job_ids: Sequence[int], state: str) -> Op[set[int]]:
    """Remove those of the jobs that still are in the state; return their ids."""
    if state == "active":
        params: dict[str, object] = {"queue": queue, "job_ids": list(job_ids)}
        rows = yield Statement("remove_expired", params)
    else:
        rows = yield Statement("remove_jobs", removal(queue, job_ids, [state]))
    yield from release(overlooked(rows))
    return {row[0] for row in rows}


def obliterate(queue: str, *, force: bool) -> Op[None]:
    """Pause the queue, then remove everything in it; its id stays."""
    found = yield from queue_id(queue)
    yield Statement("pause_queue", {"queue_id": found})
    yield from await_claims()
    while True:
        active = yield from count_active(found)
        if active and not force:
            raise QueueNotEmpty(queue, active)
        if active:
            rows = yield Statement("drop_leases", {"queue_id": found})
            yield from release(overlooked(rows))
        # First, so that none makes another job, and their pending jobs go too.
        yield Statement("drop_schedules", {"queue_id": found})
        # Parents first, or their children's removal would make them ready.
        yield from drain_by_id("drain_blocked", found)
        yield from drain_by_id("drain_delayed", found)
        yield from drain_waiting(found)
        yield from drain_by_id("drain_finished", found)
        # None is left, unless a claim outlasted our patience.
        if not (yield from count_active(found)):
            break
    yield Statement("reset_queue", {"queue_id": found})
    yield Statement("forget_groups", {"queue_id": found})
    yield from note(queue, "obliterated")


def await_claims() -> Op[None]:
    """Wait for the claims under way, which may have begun before a pause, to end."""
    pause, asked = 0.0, None
    for _ in range(CLAIM_LOOKS):
        params = {"pause": pause, "asked": asked}
        rows = yield Statement("claims_under_way", params)
        if not rows:
            break
        pause, asked = CLAIM_PAUSE, [row[0] for row in rows]


def count_active(queue_id: int) -> Op[int]:
    """Return how many jobs the leases of a queue list."""
    rows = yield Statement("count_active", {"queue_id": queue_id})
    active: int = rows[0][0]
    return active
