"""Operations that steer jobs: retry, promote, and change what has not started."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from pgqueue.errors import JobStateError, LeaseLost
from pgqueue.ops.core import Atomic, Op, Statement, atomic
from pgqueue.ops.jobs import get
from pgqueue.ops.queues import BATCH, queue_id
from pgqueue.ops.releasing import Parent, overlooked, release

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pgqueue.types import Job

FINISHED: Final = ("completed", "failed")
UNSTARTED: Final = ("waiting", "delayed", "waiting_children")
YEAR_ONE: Final = datetime(1, 1, 1, tzinfo=UTC)


def change(
    job_id: int, statement: Statement, states: Sequence[str], verb: str
) -> Op[Job]:
    """Run a statement about one job that must be in one of the states.

    In one transaction with the look that follows: a worker may otherwise have run and
    removed the job before it.

    Raises:
        JobNotFound: the queue has no job with this id.
        JobStateError: it is in another state.
    """
    while True:
        done = yield statement
        job = yield from get(statement.params["queue"], job_id)
        if done:
            return job
        if job.state not in states:
            raise JobStateError(job_id, job.state, " or ".join(states), verb)
        # It changed state between the two statements: look again.


@atomic
def retry(queue: str, job_id: int, *, reset: bool) -> Op[Job]:
    """Put a completed or failed job back to waiting."""
    params = {
        "queue": queue,
        "job_id": job_id,
        "states": list(FINISHED),
        "reset": reset,
    }
    return (
        yield from change(job_id, Statement("retry_job", params), FINISHED, "retried")
    )


def retry_all(
    queue: str,
    state: str,
    *,
    before: datetime | None,
    name: str | None,
    limit: int | None,
    reset: bool,
) -> Op[int]:
    """Put finished jobs back, the oldest first, in batches; return how many.

    Of failed ones, children go before their parents, whatever failed first.
    """
    found = yield from queue_id(queue)
    [(now, _)] = yield Statement("read_moment", {})
    asked = {
        "queue_id": found,
        "state": state,
        "before": now if before is None else min(before, now),
        "name": name,
        "reset": reset,
    }
    count, deferred = 0, 1
    # A completed parent waits for no child that is retried.
    defer = state == "failed"
    while deferred and (limit is None or count < limit):
        room = None if limit is None else limit - count
        back, deferred = yield from retry_round({**asked, "defer": defer}, room)
        count += back
        # Those left wait for a child that somebody else holds: they have to go without.
        defer = back > 0
    return count


def retry_round(asked: dict[str, object], limit: int | None) -> Op[tuple[int, int]]:
    """Go once through all that is finished.

    Returns:
        How many jobs were put back, and how many are left because failed children of
        theirs had to be put back before them.
    """
    after, after_id, count, deferred = YEAR_ONE, 0, 0, 0
    while limit is None or count < limit:
        params = {
            **asked,
            "after": after,
            "after_id": after_id,
            "batch": BATCH,
            "limit": BATCH if limit is None else limit - count,
        }
        rows = yield Statement("retry_jobs", params)
        if not rows:
            break
        back, left, after, after_id = rows[0][:4]
        count += back
        deferred += left
    return count, deferred


@atomic
def promote(queue: str, job_id: int) -> Op[Job]:
    """Let a delayed job run now."""
    statement = Statement("promote_job", {"queue": queue, "job_id": job_id})
    return (yield from change(job_id, statement, ["delayed"], "promoted"))


def promote_all(queue: str) -> Op[int]:
    """Let all delayed jobs run now, in batches; return how many."""
    found = yield from queue_id(queue)
    [(_, last)] = yield Statement("read_moment", {})
    after, count = 0, 0
    while True:
        params = {"queue_id": found, "after": after, "last": last, "limit": BATCH}
        rows = yield Statement("promote_delayed", params)
        moved: int = rows[0][0]
        count += moved
        if moved < BATCH:
            return count
        after = rows[0][1]


@atomic
def update_data(queue: str, job_id: int, data: str) -> Op[Job]:
    """Replace the data of a job that is not active."""
    statement = Statement(
        "update_data", {"queue": queue, "job_id": job_id, "data": data}
    )
    states = [*UNSTARTED, *FINISHED]
    return (yield from change(job_id, statement, states, "given other data"))


@atomic
def change_priority(queue: str, job_id: int, priority: int, *, lifo: bool) -> Op[Job]:
    """Give a job that has not started another priority."""
    params = {"queue": queue, "job_id": job_id, "priority": priority, "lifo": lifo}
    statement = Statement("change_priority", params)
    return (yield from change(job_id, statement, UNSTARTED, "given another priority"))


@atomic
def change_delay(queue: str, job_id: int, delay: float) -> Op[Job]:
    """Count the delay of a delayed job anew."""
    statement = Statement(
        "change_delay", {"queue": queue, "job_id": job_id, "delay": delay}
    )
    return (yield from change(job_id, statement, ["delayed"], "given another delay"))


def save_data(in_queue: int, lease_id: int, job_id: int, data: str) -> Op[None]:
    """Replace the data of a job that runs, or raise `LeaseLost`."""
    params = {
        "queue_id": in_queue,
        "lease_id": lease_id,
        "job_id": job_id,
        "data": data,
    }
    rows = yield Statement("save_data", params)
    if not rows:
        raise LeaseLost(job_id)


def cancel(queue: str, job_id: int) -> Atomic[Job]:
    """Fail a job that waits; ask the worker of one that runs to stop it."""
    parents: list[Parent] = []
    return Atomic(cancel_one(queue, job_id, parents), then=release(parents))


def cancel_one(queue: str, job_id: int, parents: list[Parent]) -> Op[Job]:
    """Cancel a job; add to *parents* what is to be looked at after the commit."""
    place = {"queue": queue, "job_id": job_id}
    while True:
        done = yield Statement("cancel_job", place)
        parents += overlooked(done)
        if not done:
            done = yield Statement("mark_cancelled", place)
        job = yield from get(queue, job_id)
        if done:
            return job
        if job.state in FINISHED:
            expected = "waiting, delayed or active"
            raise JobStateError(job_id, job.state, expected, "cancelled")
        # It changed state between the statements: look again.
