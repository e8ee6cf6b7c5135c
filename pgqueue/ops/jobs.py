"""Operations on jobs: add, read, list, remove, retry."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

from pgqueue import options, payload
from pgqueue.errors import ConfigError, JobNotFound, JobStateError
from pgqueue.ops.core import Atomic, Op, Row, Statement
from pgqueue.ops.releasing import Parent, overlooked, release
from pgqueue.stored import (
    NO_HEADERS,
    Headers,
    Options,
    expiry,
    parse_expires,
    parse_options,
)
from pgqueue.types import Job, JobState, NewJob, Page, seconds

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

HIGHEST: Final = options.MAX_PRIORITY
FOREVER: Final = 2**31 - 1
YEAR_9999: Final = 253_370_764_800_000_000  # in microseconds since the epoch
CURSOR: Final = re.compile(r"([a-z_]+)/(-?[0-9]{1,19})/(-?[0-9]{1,19})")


class Listing(NamedTuple):
    """How the jobs of one state are listed: by which statement, from which key on."""

    statement: str
    fixed: dict[str, object]
    before_first: int


LISTS: Final = {
    "waiting": Listing("list_waiting", {"low": 0, "high": 0}, -1),
    "prioritized": Listing("list_waiting", {"low": 1, "high": HIGHEST}, -1),
    "delayed": Listing("list_delayed", {}, -1),
    "active": Listing("list_active", {}, -1),
    "waiting_children": Listing("list_blocked", {}, -1),
    "completed": Listing("list_finished", {"state": "completed"}, YEAR_9999),
    "failed": Listing("list_finished", {"state": "failed"}, YEAR_9999),
}
"""The listing of each state, in the order in which `jobs()` goes through them."""


class Added(NamedTuple):
    """What `pgqueue.add_jobs` says about one job."""

    id: int
    existing: bool
    created_at: datetime
    run_at: datetime | None

    @property
    def gone(self) -> bool:
        """Whether its id is held by the throttle of a job that is done, and not kept."""
        return self.existing and self.run_at is not None


def add_encoded(queue: str, elements: Sequence[str]) -> Op[list[Added]]:
    """Add jobs that `options.encode_job` made, and return them in the same order."""
    jobs = f"[{','.join(elements)}]"
    rows = yield Statement("add_jobs", {"queue": queue, "jobs": jobs})
    rows.sort()
    return [Added(*row[1:]) for row in rows]


def add(queue: str, new: NewJob, element: str) -> Op[Job]:
    """Add one job; with a key or an id that is taken, return the job that has it."""
    while True:
        [added] = yield from add_encoded(queue, [element])
        if not added.existing:
            return snapshot(queue, new, added)
        if added.gone:
            return gone(queue, new, added)
        found = yield from find(queue, added.id)
        if found is not None:
            return found
        # Removed since the key was looked at: it is free again.


def gone(queue: str, new: NewJob, added: Added) -> Job:
    """Return what stands for a job that is gone while its throttle still runs."""
    made = snapshot(queue, new, added._replace(run_at=None))
    # The key that was asked for is not that job's.
    return replace(made, state=JobState.COMPLETED, key=None)


def snapshot(
    queue: str,
    new: NewJob,
    added: Added,
    *,
    blocked: bool = False,
    parent_id: int | None = None,
) -> Job:
    """Return the snapshot of a job as it was just added.

    Args:
        blocked: it waits for children.
        parent_id: the job that waits for it.
    """
    later = added.run_at is not None and added.run_at > added.created_at
    expires = None
    if new.expires is not None:
        written = parse_expires(options.encode_expires(new.expires))
        expires = expiry(Options(expires=written), added.created_at)
    if new.parent is not None:
        parent_id = new.parent.id if isinstance(new.parent, Job) else new.parent[1]
    state = JobState.DELAYED if later else JobState.WAITING
    return Job(
        id=added.id,
        queue=queue,
        name=new.name,
        data=new.data,
        state=JobState.WAITING_CHILDREN if blocked else state,
        created_at=added.created_at,
        run_at=added.run_at if later else None,
        priority=new.priority,
        attempts=new.attempts,
        key=new.key,
        group=new.group,
        parent_id=parent_id,
        headers=Headers(new.headers) if new.headers else NO_HEADERS,
        tags=tuple(new.tags) if new.tags else (),
        backoff=options.check_backoff(new.backoff) if new.backoff is not None else None,
        expires=expires,
        timeout=None if new.timeout is None else seconds(new.timeout),
        remove_on_complete=new.remove_on_complete,
        remove_on_fail=new.remove_on_fail,
    )


def from_row(queue: str, row: Row) -> Job:
    """Return the job that a row of `get_job` or of a listing describes."""
    stored = parse_options(row[17])
    return Job(
        id=row[0],
        queue=queue,
        name=row[1],
        data=payload.decode(row[2]),
        state=JobState(row[3]),
        created_at=row[4],
        priority=row[5],
        attempt=row[6],
        attempts=row[7],
        stalled=row[8],
        run_at=row[9],
        started_at=row[10],
        finished_at=row[11],
        progress=payload.decode(row[12]),
        result=payload.decode(row[13]),
        error=row[14],
        key=row[15],
        worker=row[16],
        parent_id=row[18],
        group=row[19],
        schedule=stored.schedule,
        scheduled_at=stored.scheduled_at,
        headers=stored.headers,
        tags=stored.tags,
        expires=expiry(stored, row[4]),
        backoff=stored.backoff,
        timeout=stored.timeout,
        remove_on_complete=stored.remove_on_complete,
        remove_on_fail=stored.remove_on_fail,
    )


def find(queue: str, job_id: int) -> Op[Job | None]:
    """Return a job, or None if the queue has none with this id."""
    rows = yield Statement("get_job", {"queue": queue, "job_id": job_id})
    return from_row(queue, rows[0]) if rows else None


def get(queue: str, job_id: int) -> Op[Job]:
    """Return a job, or raise `JobNotFound`."""
    job = yield from find(queue, job_id)
    if job is None:
        raise JobNotFound(job_id, queue)
    return job


def list_page(
    queue: str, states: Sequence[str], start: int, limit: int, after: str | None
) -> Op[Page]:
    """Return up to *limit* jobs, one state after the other, from a place on.

    Each state has its own order: waiting as they will be claimed, delayed by due
    time, active by claim time, completed and failed newest first.
    """
    place = parse_cursor(after, states)
    todo = states[states.index(place.state) :] if place else states
    found: list[Job] = []
    cursor: str | None = None
    skip = start
    for state in todo:
        listing = LISTS[state]
        if place is None or place.state != state:
            place = Place(state, listing.before_first, 0)
        rows = yield Statement(
            listing.statement,
            {
                "queue": queue,
                **listing.fixed,
                "key": place.key,
                "id": place.id,
                "limit": limit - len(found) + 1,
                "offset": skip,
            },
        )
        if skip and not rows:
            skip = yield from still_to_skip(queue, state, skip)
        elif skip:
            skip = 0
        room = limit - len(found)
        found += [from_row(queue, row) for row in rows[:room]]
        if len(rows) > room:
            key, last_id = rows[room - 1][20:22] if room else place[1:]
            cursor = f"{state}/{key}/{last_id}"
            break
    return Page(tuple(found), cursor)


def still_to_skip(queue: str, state: str, skip: int) -> Op[int]:
    """Return how many jobs are left to skip after all of one state were."""
    rows = yield Statement("count_jobs", {"queue": queue, "states": [state]})
    return max(0, skip - (rows[0][list(LISTS).index(state)] if rows else 0))


class Place(NamedTuple):
    """Where in a listing a page ended: at this job of this state."""

    state: str
    key: int
    id: int


def parse_cursor(after: object, states: Sequence[str]) -> Place | None:
    """Return the place that a cursor stands for.

    Raises:
        ConfigError: it is the cursor of no page with these states.
    """
    if after is None:
        return None
    match = CURSOR.fullmatch(after) if isinstance(after, str) else None
    if match is not None and match[1] in states:
        place = Place(match[1], int(match[2]), int(match[3]))
        highest = FOREVER if "low" in LISTS[place.state].fixed else YEAR_9999
        if -1 <= place.key <= highest and -(2**63) <= place.id < 2**63:
            return place
    raise ConfigError.bad("after", after, "the cursor of a page with these states")


def remove(queue: str, job_id: int, *, children: bool) -> Atomic[bool]:
    """Remove one job that is not active; return whether there was one."""
    parents: list[Parent] = []
    op = remove_tree(queue, job_id, parents, children=children)
    return Atomic(op, then=release(parents))


def remove_tree(
    queue: str, job_id: int, parents: list[Parent], *, children: bool
) -> Op[bool]:
    """Remove a job; add to *parents* what is to be looked at after the commit."""
    level = (yield from offspring(queue, [job_id])) if children else []
    if not (yield from remove_one(queue, job_id, parents)):
        return False
    while level:
        level = yield from remove_level(level, parents)
    return True


Child: TypeAlias = "tuple[str, int]"
"""The queue and the id of a job under another."""


def offspring(queue: str, job_ids: Sequence[int]) -> Op[list[tuple[int, Child]]]:
    """Return the children of some jobs, each beside the id of its parent."""
    rows = yield Statement("list_offspring", {"queue": queue, "job_ids": list(job_ids)})
    return [(row[0], (row[1], row[2])) for row in rows]


def remove_level(
    level: Sequence[tuple[int, Child]], parents: list[Parent]
) -> Op[list[tuple[int, Child]]]:
    """Remove those of the jobs that are not active; return the children of those."""
    by_queue: dict[str, list[int]] = {}
    for _, (queue, job_id) in level:
        by_queue.setdefault(queue, []).append(job_id)
    following: list[tuple[int, Child]] = []
    for queue, job_ids in by_queue.items():
        below = yield from offspring(queue, job_ids)
        rows = yield Statement("remove_jobs", removal(queue, job_ids))
        parents += overlooked(rows)
        gone = {row[0] for row in rows}
        following += [(parent, child) for parent, child in below if parent in gone]
    return following


def remove_one(queue: str, job_id: int, parents: list[Parent]) -> Op[bool]:
    """Remove one job that is not active; return whether there was one."""
    while True:
        gone = yield Statement("remove_jobs", removal(queue, [job_id]))
        if gone:
            parents += overlooked(gone)
            return True
        job = yield from find(queue, job_id)
        if job is None:
            return False
        if job.state == JobState.ACTIVE:
            raise JobStateError(job_id, job.state, "waiting or finished", "removed")
        # It changed state between the two statements: look again.


def removal(
    queue: str, job_ids: Sequence[int], states: Sequence[str] | None = None
) -> dict[str, object]:
    """Return the parameters of `remove_jobs`; all states that can be, by default."""
    return {
        "queue": queue,
        "job_ids": list(job_ids),
        "waiting": states is None or "waiting" in states,
        "delayed": states is None or "delayed" in states,
        "blocked": states is None or "waiting_children" in states,
        "finished": [
            state
            for state in ("completed", "failed")
            if states is None or state in states
        ],
    }
