"""Shows jobs: several as a table, one with everything about it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from rich.text import Text

from pgqueue.cli.output import Output, compact, escape, instant, one_line, table
from pgqueue.types import Attempt, Job, JobState

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

STYLES: Final = {
    JobState.ACTIVE: "cyan",
    JobState.COMPLETED: "green",
    JobState.FAILED: "red",
}
DETAIL: Final = 300
SHORT: Final = 60
NEWEST: Final = 5
"""So many failed attempts are shown."""


def show_job(
    job: Job, children: Sequence[Job] = (), failures: Sequence[Attempt] = ()
) -> None:
    """Print what there is to say about a job, a line each, then what belongs to it."""
    shown = table("", " ", wide=[" "])
    shown.show_header = False
    below = "\n".join(
        f"{child.id} {child.name} in {child.queue}: {child.state}" for child in children
    )
    more = [("children", below)] if below else []
    for label, value in (*facts(job), *more, *failed_attempts(failures)):
        style = STYLES.get(job.state, "") if label in ("state", "error") else ""
        text = "\n".join(escape(line) for line in value.splitlines())
        shown.add_row(Text(label, "dim"), Text(text, style))
    Output().show(shown)


def facts(job: Job) -> list[tuple[str, str]]:
    """Return what there is to say about a job, a label and a text each."""
    ran = job.finished_at and job.started_at and job.finished_at - job.started_at
    values = {
        "job": str(job.id),
        "queue": job.queue,
        "name": job.name,
        "state": job.state,
        "priority": str(job.priority or ""),
        "attempt": f"{job.attempt} of {job.attempts}",
        "stalled": str(job.stalled or ""),
        "key": job.key or "",
        "parent": str(job.parent_id or ""),
        "worker": job.worker or "",
        "added": instant(job.created_at),
        "due": instant(job.run_at),
        "started": instant(job.started_at),
        "finished": instant(job.finished_at),
        "took": f"{ran.total_seconds():.3f} s" if ran else "",
        "timeout": f"{job.timeout:g} s" if job.timeout else "",
        "progress": pretty(job.progress),
        "data": pretty(job.data),
        "result": pretty(job.result),
        "error": job.error or "",
    }
    return [(label, value) for label, value in values.items() if value]


def failed_attempts(failures: Sequence[Attempt]) -> list[tuple[str, str]]:
    """Return a label and a text for each of the newest, with its traceback."""
    shown = []
    if hidden := len(failures[:-NEWEST]):
        shown.append(("failed", f"{hidden} earlier attempts: --json has them"))
    for one in failures[-NEWEST:]:
        where = f" in {one.worker}" if one.worker else ""
        lines = [f"{instant(one.finished_at)}{where}: {one.error}", one.stack or ""]
        shown.append((f"failed {one.attempt}", "\n".join(lines).rstrip()))
    return shown


def pretty(value: Any) -> str:
    """Return JSON for people: short values on one line."""
    if value is None:
        return ""
    line = json.dumps(value, ensure_ascii=False)
    return (
        line if len(line) <= SHORT else json.dumps(value, ensure_ascii=False, indent=2)
    )


def show_jobs(found: list[Job]) -> None:
    """Print a table of jobs."""
    last = "error or data" if any(job.error for job in found) else "data"
    columns = ("id", "state", "name", "runs", "when", last)
    shown = table(*columns, right=["id", "runs"], wide=["name", last])
    for job in found:
        prioritized = job.state == JobState.WAITING and job.priority
        state = f"priority {job.priority}" if prioritized else job.state
        data = "" if job.data is None else compact(job.data)
        detail = (job.error or data)[:DETAIL]
        verb, when = moment(job)
        shown.add_row(
            str(job.id),
            Text(state, STYLES.get(job.state, "")),
            one_line(job.name),
            f"{job.attempt}/{job.attempts}",
            Text.assemble((f"{verb} ", "dim"), instant(when)),
            one_line(detail, "red" if job.error else ""),
        )
    Output().show(shown)


def moment(job: Job) -> tuple[str, datetime | None]:
    """Return the moment that matters about a job in its state."""
    if job.state == JobState.DELAYED:
        return "due", job.run_at
    if job.state == JobState.ACTIVE:
        return "started", job.started_at
    if job.finished_at:
        return "finished", job.finished_at
    return "added", job.created_at
