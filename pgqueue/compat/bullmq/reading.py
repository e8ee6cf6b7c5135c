"""Operations that BullMQ's calls need beside pgqueue's own."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from pgqueue import payload
from pgqueue.compat.bullmq.custom_errors import MissingParent
from pgqueue.compat.bullmq.options import REPEAT, call_by
from pgqueue.compat.bullmq.units import instant, millis
from pgqueue.errors import ConfigError, JobNotFound, JobStateError
from pgqueue.ops import control, history, jobs, queues
from pgqueue.ops.core import Op, Statement, atomic
from pgqueue.ops.releasing import Parent, release
from pgqueue.types import JobState

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pgqueue.types import Job
    from pgqueue.worker.active_job import ActiveJob

STATES: Final = {
    "wait": "waiting",
    "waiting": "waiting",
    "paused": "waiting",
    "prioritized": "prioritized",
    "delayed": "delayed",
    "active": "active",
    "waiting-children": "waiting_children",
    "completed": "completed",
    "failed": "failed",
}
"""pgqueue's listing for each of BullMQ's types; those of a paused queue are waiting."""

ALL_TYPES: Final = (
    "active",
    "completed",
    "delayed",
    "failed",
    "prioritized",
    "waiting",
    "waiting-children",
)
NEWEST_FIRST: Final = ("completed", "failed")


class Read(NamedTuple):
    """A job and the tracebacks of its failed runs."""

    job: Job
    stacks: list[str]


def state_name(job: Job) -> str:
    """Return the state as BullMQ calls it."""
    if job.state is JobState.WAITING and job.priority:
        return "prioritized"
    return job.state.value.replace("_", "-")


def number_of(queue: str, job_id: str) -> Op[int | None]:
    """Return the number of the job with this id, if the queue has it."""
    rows = yield Statement("find_key", {"queue": queue, "key": job_id})
    if not rows and (match := REPEAT.fullmatch(job_id)):
        due = instant(int(match[2]))
        text = due.strftime("%Y-%m-%dT%H:%M:%S.%f")[:23] if due else ""
        params = {"queue": queue, "key": match[1], "millis": int(match[2])}
        rows = yield Statement("find_occurrence", {**params, "instant": text})
    if rows:
        number: int = rows[0][0]
        return number
    if job_id.isascii() and job_id.isdigit() and 0 < int(job_id) < 2**63:
        return int(job_id)
    return None


def read(queue: str, job_id: str) -> Op[Read | None]:
    """Return a job by its id."""
    number = yield from number_of(queue, str(job_id))
    job = None if number is None else (yield from jobs.find(queue, number))
    if job is None:
        return None
    [found] = yield from with_stacks(queue, [job])
    return found


def with_stacks(queue: str, found: Sequence[Job]) -> Op[list[Read]]:
    """Return jobs with the tracebacks of their failed runs."""
    stacks: dict[int, list[str]] = {}
    ids = [
        job.id
        for job in found
        if job.stalled or job.attempt > (job.state is JobState.ACTIVE)
    ]
    if ids:
        params = {"queue": queue, "job_ids": ids}
        for job_id, stack in (yield Statement("list_stacks", params)):
            stacks.setdefault(job_id, []).append(stack)
    return [Read(job, stacks.get(job.id, [])) for job in found]


def stretch(start: int, end: int, total: int) -> tuple[int, int]:
    """Return the first index and the number of items; as Redis counts, from the end."""
    first = max(0, start + total if start < 0 else start)
    last = min(total - 1, end + total if end < 0 else end)
    return first, max(0, last - first + 1)


def list_type(
    queue: str, kind: str, start: int, end: int, *, asc: bool
) -> Op[list[Read]]:
    """Return a stretch of the jobs of one type, in either direction."""
    state = STATES[kind]
    forward = asc != (state in NEWEST_FIRST)
    counts = yield from queues.counts(queue)
    total = getattr(counts, state)
    first, count = stretch(start, end, total)
    if not forward:
        first = total - first - count
    found: list[Job] = []
    cursor: str | None = None
    while len(found) < count:
        most = min(1000, count - len(found))
        skip = 0 if cursor else first
        page = yield from jobs.list_page(queue, [state], skip, most, cursor)
        found += page.items
        cursor = page.cursor
        if cursor is None:
            break
    if not forward:
        found.reverse()
    return (yield from with_stacks(queue, found))


def parent_place(
    parent: dict[str, Any], default_queue: str = ""
) -> Op[tuple[str, int]]:
    """Return a parent's queue and number.

    Raises:
        TypeError: there is no such job.
    """
    queue, job_id = str(parent.get("queue", default_queue)), str(parent.get("id"))
    number = yield from number_of(queue, job_id)
    found = None if number is None else (yield from jobs.find(queue, number))
    if found is None:
        raise MissingParent(queue, job_id)
    return queue, found.id


def remove(queue: str, job_id: str, *, children: bool) -> Op[bool]:
    """Remove a job that is not active; return whether there was one."""
    number = yield from number_of(queue, job_id)
    if number is None:
        return False
    parents: list[Parent] = []
    op = jobs.remove_tree(queue, number, parents, children=children)
    try:
        removed = yield from op
    except JobStateError:
        return False
    yield from release(parents)
    return removed


def log(queue: str, number: int, text: str) -> Op[int]:
    """Add a line to a job's log; return how many it has."""
    yield from history.log(queue, number, history.clean_line(text))
    return (yield from count_logs(queue, number))


def count_logs(queue: str, number: int) -> Op[int]:
    """Return how many lines a job's log has."""
    rows = yield Statement("count_logs", {"queue": queue, "job_id": number})
    count: int = rows[0][0]
    return count


def logs(queue: str, job_id: str, start: int, end: int, *, asc: bool) -> Op[Any]:
    """Return lines of a job's log, and how many there are."""
    number = yield from number_of(queue, job_id)
    if number is None:
        return {"logs": [], "count": 0}
    total = yield from count_logs(queue, number)
    first, count = stretch(start, end, total)
    if not asc:
        first = total - first - count
    if not count:
        return {"logs": [], "count": total}
    lines = yield from history.logs(queue, number, first, count, 0)
    found = [one.line for one in lines]
    return {"logs": found if asc else found[::-1], "count": total}


def check_finished(state: str) -> str:
    """Return a state that a job can be retried from."""
    if state not in NEWEST_FIRST:
        raise ConfigError.bad("state", state, "completed or failed")
    return state


@atomic
def retry(queue: str, number: int, state: str, *, reset: bool) -> Op[Job]:
    """Put a job that is in this finished state back to waiting."""
    params = {"queue": queue, "job_id": number, "states": [state], "reset": reset}
    statement = Statement("retry_job", params)
    return (yield from control.change(number, statement, [state], "retried"))


def retry_jobs(queue: str, state: str, timestamp: int | None) -> Op[int]:
    """Put all jobs of a finished state back that finished by then."""
    check_finished(state)
    before = instant(timestamp)
    if before is not None:
        before += timedelta(microseconds=999)
    return (
        yield from control.retry_all(
            queue, state, before=before, name=None, limit=None, reset=False
        )
    )


def set_data(queue: str, number: int, value: Any) -> Op[None]:
    """Replace the data of a job in whatever state."""
    text = payload.encode(value, f"data of job {number}")
    while True:
        params: dict[str, object] = {"queue": queue, "job_id": number}
        held = yield Statement("find_lease", params)
        if held:
            lease = {"queue_id": held[0][0], "lease_id": held[0][1]}
            if (yield Statement("save_data", {**params, **lease, "data": text})):
                return
        elif (yield Statement("update_data", {**params, "data": text})):
            return
        yield from jobs.get(queue, number)


def set_progress(queue: str, number: int, value: Any) -> Op[None]:
    """Store how far a job is, in whatever state."""
    text = payload.encode(value, f"progress of job {number}")
    params = {"queue": queue, "job_id": number, "value": text}
    if not (yield Statement("set_progress", params)):
        raise JobNotFound(number, queue)


def children_values(queue: str, number: int) -> Op[dict[str, Any]]:
    """Return what completed children returned, by queue and id."""
    params = {"queue": queue, "job_id": number}
    rows = yield Statement("list_results", params)
    return {
        f"{row[0]}:{row[1] if row[2] is None else row[2]}": payload.decode(row[3])
        for row in rows
    }


def is_pending(queue: str, number: int) -> Op[bool]:
    """Return whether a job still waits for a child."""
    rows = yield Statement("count_pending", {"queue": queue, "job_id": number})
    return bool(rows[0][0])


def names(queue: str, numbers: Sequence[int]) -> Op[dict[int, str]]:
    """Return the ids of those jobs that are not called by their number."""
    params = {"queue": queue, "job_ids": list(numbers)}
    found: dict[int, str] = {}
    for number, key, schedule, due in (yield Statement("name_jobs", params)):
        at = None if due is None else millis(datetime.fromisoformat(due))
        found[number] = call_by(number, key, schedule, at)
    return found


def dues(queue: str, numbers: Sequence[int | None]) -> Op[dict[int, int]]:
    """Return when those jobs that are delayed are due, in milliseconds."""
    if not numbers:
        return {}
    rows = yield Statement("get_jobs", {"queue": queue, "job_ids": list(numbers)})
    found = [jobs.from_row(queue, row) for row in rows]
    return {job.id: due for job in found if (due := millis(job.run_at)) is not None}


def ending(queue_id: int, number: int) -> Op[datetime]:
    """Return when a job finished; the database's time if it has not."""
    params = {"queue_id": queue_id, "job_id": number}
    rows = yield Statement("read_ending", params)
    at: datetime = rows[0][0]
    return at.astimezone(UTC)


def moment() -> Op[datetime]:
    """Return the database's time."""
    rows = yield Statement("read_moment", {})
    now: datetime = rows[0][0]
    return now.astimezone(UTC)


def read_number(queue: str, number: int) -> Op[Read | None]:
    """Return a job by its number."""
    job = yield from jobs.find(queue, number)
    if job is None:
        return None
    [found] = yield from with_stacks(queue, [job])
    return found


def read_numbers(queue: str, numbers: Sequence[int]) -> Op[dict[int, Read]]:
    """Return jobs by their numbers."""
    rows = yield Statement("get_jobs", {"queue": queue, "job_ids": list(numbers)})
    found = yield from with_stacks(queue, [jobs.from_row(queue, row) for row in rows])
    return {one.job.id: one for one in found}


def claimed(cores: Sequence[ActiveJob]) -> Op[dict[int, Read]]:
    """Return jobs that were just claimed from one queue, by their numbers.

    Those that run for the first time are read from the claim: a slot is free meanwhile.
    """
    again = [
        one.id for one in cores if one.attempt > 1 or one.stalled or one.options.ran
    ]
    found = (yield from read_numbers(cores[0].queue, again)) if again else {}
    first = {one.id: one for one in cores if one.id not in found}
    params = {"queue_id": cores[0].queue_id, "job_ids": list(first)}
    rows = (yield Statement("describe_jobs", params)) if first else []
    told = {number: (key, progress) for number, key, progress in rows}
    for number, core in first.items():
        key, progress = told.get(number, (None, None))
        core.data, core.progress = (
            payload.decode(core.raw_data),
            payload.decode(progress),
        )
        found[number] = Read(replace(core.snapshot(JobState.ACTIVE), key=key), [])
    return found


def clean(queue: str, grace: float, limit: int, state: str) -> Op[list[str]]:
    """Remove jobs of one state that are older than *grace*; return their ids."""
    statement, fixed, _ = queues.CLEANABLE[state]
    params = {"queue": queue, **fixed, "grace": grace, "limit": limit or None}
    rows = yield Statement(statement, params)
    called = yield from names(queue, [row[0] for row in rows])
    removed = yield from queues.clean(queue, grace, limit, state)
    return [called.get(number, str(number)) for number in removed]
