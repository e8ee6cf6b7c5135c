"""Wait for a job to end, and return or raise what came of it.

The job itself is the truth, looked at every now and then; no notification is relied on.
The events of the queue are written while somebody waits for one that its own policy
removes as it ends: when it is gone, its terminal event says what came of it.
"""

from __future__ import annotations

import secrets
from contextlib import suppress
from typing import TYPE_CHECKING

from pgqueue import payload, retention
from pgqueue.errors import JobFailed, JobNotFound, PgQueueError
from pgqueue.ops.core import Course, Pause
from pgqueue.ops.events import WAITER, Patience, Reader, unsubscribe
from pgqueue.ops.jobs import find
from pgqueue.types import Job, JobState

if TYPE_CHECKING:
    from pgqueue.types import JsonValue


def result(
    queue: str, job_id: int, timeout: float | None, *, borrowed: bool
) -> Course[JsonValue]:
    """Return a job's result once it has completed.

    Args:
        borrowed: on a caller's connection, which may be in a transaction: only look.

    Raises:
        JobFailed: it failed for good.
        JobNotFound: it is not there, or was removed meanwhile.
        TimeoutError: it has not ended in time.
    """
    patience = Patience(timeout)
    job = yield find(queue, job_id)
    if job is not None and not ended(job) and vanishes(job) and not borrowed:
        return (yield from by_events(queue, job_id, patience))
    while job is not None:
        if ended(job):
            return outcome(job)
        yield pause(patience, job_id)
        job = yield find(queue, job_id)
    raise JobNotFound(job_id, queue)


def by_events(queue: str, job_id: int, patience: Patience) -> Course[JsonValue]:
    """Do the same for a job that will be gone as soon as it has ended."""
    consumer = f"{WAITER}{secrets.token_hex(8)}"
    reader = Reader(queue, consumer, begin=False)
    try:
        yield from reader.subscribe(lambda: pause(patience, job_id))
        while (job := (yield find(queue, job_id))) is not None:
            if ended(job):
                return outcome(job)
            yield reader.save(reader.handed)
            yield pause(patience, job_id)
        rows = yield reader.ending(job_id)
    finally:
        # Maintenance forgets a consumer that is left behind.
        with suppress(PgQueueError):
            yield unsubscribe(queue, consumer)
    name, data = rows[0] if rows else ("removed", None)
    if name == "removed":
        raise JobNotFound(job_id, queue)
    told = payload.decode(data)
    if name == "failed":
        raise JobFailed(job_id, told["reason"] or "")
    return told["result"]


def pause(patience: Patience, job_id: int) -> Pause:
    """Return the next pause, or raise `TimeoutError`."""
    seconds = patience.pause()
    if seconds is None:
        raise TimeoutError(f"job {job_id} has not ended within the timeout")
    return Pause(seconds)


def vanishes(job: Job) -> bool:
    """Whether the job's own policy may remove it in the moment in which it ends."""
    rules = (job.remove_on_complete, job.remove_on_fail)
    found = [retention.resolve(rule, None) for rule in rules]
    return any(rule is not None and rule.remove for rule in found)


def ended(job: Job) -> bool:
    """Whether a job has completed or failed for good."""
    return job.state in (JobState.COMPLETED, JobState.FAILED)


def outcome(job: Job) -> JsonValue:
    """Return the result of a job that has ended, or raise `JobFailed`."""
    if job.state == JobState.FAILED:
        raise JobFailed(job.id, job.error or "")
    return job.result
