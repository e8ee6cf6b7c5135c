"""`pgqueue job …`: add, read, retry and remove jobs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click
from rich.text import Text

from pgqueue.cli.output import (
    Output,
    compact,
    confirm,
    escape,
    instant,
    note,
    print_json,
    say,
    table,
)
from pgqueue.cli.params import (
    DATA,
    DURATION,
    INSTANT,
    Group,
    given_dsn,
    json_option,
    yes_option,
)
from pgqueue.cli.queue import find_queue
from pgqueue.errors import JobNotFound
from pgqueue.queue import STATES, Queue
from pgqueue.types import Job, JobState

if TYPE_CHECKING:
    from datetime import datetime

STYLES = {JobState.ACTIVE: "cyan", JobState.COMPLETED: "green", JobState.FAILED: "red"}
ERROR_WIDTH = 200


@click.group("job", cls=Group)
def command() -> None:
    """Add, read, retry and remove jobs."""


@command.command("add")
@click.argument("queue")
@click.argument("name")
@click.argument("data", type=DATA, default="null")
@click.option("--delay", type=DURATION, help="Do not start before: 500ms, 5s, 2h.")
@click.option("--run-at", type=INSTANT, help="Do not start before this instant.")
@click.option("--priority", default=0, help="0 first, then 1, and so on.")
@click.option("--lifo", is_flag=True, help="Go before those that wait already.")
@click.option("--attempts", default=1, help="How many runs there may be.")
@click.option("--backoff", type=DURATION, help="The wait before a retry.")
@click.option("--timeout", type=DURATION, help="How long one run may take.")
@click.option("--key", help="Add nothing if the queue has a job with this key.")
@json_option
def add(queue: str, name: str, data: Any, *, as_json: bool, **options: Any) -> None:
    """Add a job; DATA is JSON, or - for stdin."""
    with Queue(queue, dsn=given_dsn()) as it:
        job = it.add(name, data, **options)
    if as_json:
        print_json(job.to_dict())
    else:
        due = f", due {instant(job.run_at)}" if job.run_at else ""
        say(f"job {job.id} in queue {queue} is {job.state}{due}")


@command.command("show")
@click.argument("queue")
@click.argument("job_id", metavar="ID", type=int)
@json_option
def show(queue: str, job_id: int, *, as_json: bool) -> None:
    """Show everything about a job."""
    with Queue(queue, dsn=given_dsn()) as it:
        job = it.get(job_id)
    if as_json:
        print_json(job.to_dict())
        return
    shown = table("", "", last=False)
    shown.show_header = False
    for label, value in facts(job):
        style = STYLES.get(job.state, "") if label in ("state", "error") else ""
        text = "\n".join(escape(line) for line in value.splitlines())
        shown.add_row(Text(label, "dim"), Text(text, style))
    Output().print(shown)


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


def pretty(value: Any) -> str:
    """Return JSON for people: short values on one line."""
    if value is None:
        return ""
    line = json.dumps(value, ensure_ascii=False)
    fits = len(line) <= 60  # noqa: PLR2004
    return line if fits else json.dumps(value, ensure_ascii=False, indent=2)


@command.command("ls")
@click.argument("queue")
@click.option(
    "--state", "states", type=click.Choice(STATES), multiple=True, help="All if none."
)
@click.option("--limit", default=20, show_default=True, help="At most so many.")
@click.option("--after", metavar="CURSOR", help="Go on where a listing ended.")
@json_option
def ls(
    queue: str, *, states: tuple[str, ...], limit: int, after: str | None, as_json: bool
) -> None:
    """List jobs; the cursor of the next page goes to stderr."""
    find_queue(queue)
    with Queue(queue, dsn=given_dsn()) as it:
        page = it.jobs(states or None, limit=limit, after=after)
    if as_json:
        print_json([job.to_dict() for job in page])
    elif page:
        show_jobs(list(page))
    else:
        say("no jobs")
    if page.cursor:
        note(f"more: --after {page.cursor}")


def show_jobs(found: list[Job]) -> None:
    """Print a table of jobs."""
    shown = table("id", "state", "name", "runs", "when", "data", right=["id", "runs"])
    for job in found:
        prioritized = job.state == JobState.WAITING and job.priority
        state = f"priority {job.priority}" if prioritized else job.state
        data = "" if job.data is None else compact(job.data)
        detail = job.error[:ERROR_WIDTH] if job.error else data
        verb, when = moment(job)
        shown.add_row(
            str(job.id),
            Text(state, STYLES.get(job.state, "")),
            escape(job.name),
            f"{job.attempt}/{job.attempts}",
            Text.assemble((f"{verb} ", "dim"), instant(when)),
            Text(escape(detail), "red" if job.error else ""),
        )
    Output().print(shown)


def moment(job: Job) -> tuple[str, datetime | None]:
    """Return the moment that matters about a job in its state."""
    if job.state == JobState.DELAYED:
        return "due", job.run_at
    if job.state == JobState.ACTIVE:
        return "started", job.started_at
    if job.finished_at:
        return "finished", job.finished_at
    return "added", job.created_at


@command.command("retry")
@click.argument("queue")
@click.argument("job_ids", metavar="ID…", type=int, nargs=-1, required=True)
def retry(queue: str, job_ids: tuple[int, ...]) -> None:
    """Put finished jobs back to waiting."""
    with Queue(queue, dsn=given_dsn()) as it:
        for job_id in job_ids:
            job = it.retry(job_id)
            say(f"job {job.id} in queue {queue} is {job.state}")


@command.command("rm")
@click.argument("queue")
@click.argument("job_ids", metavar="ID…", type=int, nargs=-1, required=True)
@yes_option
def rm(queue: str, job_ids: tuple[int, ...], *, yes: bool) -> None:
    """Remove jobs that are not running."""
    which = ", ".join(map(str, job_ids))
    confirm(f"Remove job {which} of queue {queue}?", yes=yes)
    with Queue(queue, dsn=given_dsn()) as it:
        for job_id in job_ids:
            if not it.remove(job_id):
                raise JobNotFound(job_id, queue)
            say(f"job {job_id} is removed")
