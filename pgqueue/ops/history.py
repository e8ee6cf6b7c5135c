"""Operations on what a job leaves behind: its failed attempts and its log."""

from __future__ import annotations

from typing import Final

from pgqueue import payload
from pgqueue.errors import ConfigError, JobNotFound, LeaseLost
from pgqueue.ops.core import Op, Statement
from pgqueue.ops.jobs import get
from pgqueue.types import Attempt, LogLine

MAX_LINE: Final = 64 * 1024


def attempts(queue: str, job_id: int) -> Op[list[Attempt]]:
    """Return the failed runs of a job, the oldest first."""
    rows = yield Statement("list_attempts", {"queue": queue, "job_id": job_id})
    if not rows:
        yield from get(queue, job_id)
    return [
        Attempt(
            attempt=row[0],
            started_at=row[1],
            finished_at=row[2],
            error=row[3],
            stack=row[4],
            worker=row[5],
        )
        for row in rows
    ]


def clean_line(line: object) -> str:
    """Return a line as it is stored: what PostgreSQL cannot hold is replaced.

    Raises:
        ConfigError: it is no text.
    """
    if not isinstance(line, str):
        raise ConfigError.bad("line", line, "a text")
    return payload.clean_text(line, MAX_LINE)


def save_log(
    queue_id: int, lease_id: int, job_id: int, line: object, keep: int | None
) -> Op[None]:
    """Add a line to the log of a job that runs, or raise `LeaseLost`."""
    text = clean_line(line)

    def op() -> Op[None]:
        params = {
            "queue_id": queue_id,
            "lease_id": lease_id,
            "job_id": job_id,
            "line": text,
            "keep": keep,
        }
        rows = yield Statement("save_log", params)
        if not rows:
            raise LeaseLost(job_id)

    return op()


def log(queue: str, job_id: int, line: str) -> Op[None]:
    """Add a line to the log of a job."""
    params = {"queue": queue, "job_id": job_id, "line": line}
    rows = yield Statement("add_log", params)
    if not rows:
        raise JobNotFound(job_id, queue)


def logs(
    queue: str, job_id: int, start: int, limit: int, after: int
) -> Op[list[LogLine]]:
    """Return lines of the log of a job, the oldest first."""
    params = {
        "queue": queue,
        "job_id": job_id,
        "start": start,
        "limit": limit,
        "after": after,
    }
    rows = yield Statement("list_logs", params)
    if not rows:
        yield from get(queue, job_id)
    return [LogLine(*row) for row in rows]
