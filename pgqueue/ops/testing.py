"""Operations for tests: what was added, and time that passes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pgqueue.ops.core import Op, Statement, atomic
from pgqueue.ops.jobs import find

if TYPE_CHECKING:
    from pgqueue.types import Job

MOST = 1000


def list_added(queue: str | None, name: str | None) -> Op[list[Job]]:
    """Return up to `MOST` jobs that are stored, whatever became of them."""
    params = {"queue": queue, "name": name, "limit": MOST}
    rows = yield Statement("list_added", params)
    jobs = []
    for found_in, job_id in rows:
        job = yield from find(found_in, job_id)
        if job is not None:
            jobs.append(job)
    return jobs


def find_database() -> Op[str]:
    """Return the name of the database in which a call is."""
    [(name,)] = yield Statement("find_database", {})
    return str(name)


@atomic
def shift_clock(seconds: float) -> Op[None]:
    """Let so many seconds pass for everything that is stored; sleepers are rung."""
    yield Statement("shift_calendar", {"seconds": seconds})
    yield Statement("shift_clock", {"seconds": seconds})
