"""`pgqueue job …`: add, read, retry and remove jobs."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from pgqueue.cli.job_change import change
from pgqueue.cli.job_search import search
from pgqueue.cli.job_view import show_job, show_jobs
from pgqueue.cli.output import (
    confirm,
    escape,
    instant,
    jobs,
    note,
    print_json,
    say,
)
from pgqueue.cli.params import (
    BACKOFF,
    DATA,
    DURATION,
    HEADER,
    INSTANT,
    Group,
    given_dsn,
    json_option,
    yes_option,
)
from pgqueue.cli.queue_view import check_queue
from pgqueue.cli.retention import EXAMPLE, RULE
from pgqueue.errors import JobNotFound
from pgqueue.flow import FlowProducer
from pgqueue.queue import Queue
from pgqueue.shells.checks import STATES
from pgqueue.types import Dedup

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pgqueue.types import FinishedState, Job


@click.group("job", cls=Group)
def command() -> None:
    """Add, read, retry and remove jobs."""


command.add_command(search)
command.add_command(change)


@command.command("add")
@click.argument("queue")
@click.argument("name")
@click.argument("data", type=DATA, default="null")
@click.option("--delay", type=DURATION, help="Do not start before: 500ms, 5s, 2h.")
@click.option("--run-at", type=INSTANT, help="Do not start before this instant.")
@click.option("--priority", default=0, help="0 first, then 1, and so on.")
@click.option("--lifo", is_flag=True, help="Go before those that wait already.")
@click.option("--attempts", default=1, help="How many runs there may be.")
@click.option("--backoff", type=BACKOFF, help="The wait before a retry, or its name.")
@click.option("--timeout", type=DURATION, help="How long one run may take.")
@click.option("--expires", type=DURATION, help="Do not start after: 10m, 2h.")
@click.option("--key", help="Add nothing if the queue has a job with this key.")
@click.option("--dedup", metavar="ID", help="One job stands for all with this id.")
@click.option("--dedup-ttl", type=DURATION, help="For so long, finished or not.")
@click.option("--dedup-replace", is_flag=True, help="Replace it while it is delayed.")
@click.option("--dedup-extend", is_flag=True, help="Each add starts the time anew.")
@click.option("--dedup-keep-last", is_flag=True, help="While it runs, keep the last.")
@click.option("--group", help="Its group; groups take turns.")
@click.option("--keep-logs", type=int, help="Keep so many log lines.")
@click.option("--stack-limit", type=int, help="Keep so many failed attempts.")
@click.option("--size-limit", type=int, help="The largest data, in bytes.")
@click.option("--remove-on-complete", type=RULE, help=f"If it completes: {EXAMPLE}.")
@click.option("--remove-on-fail", type=RULE, help="The same if it fails.")
@click.option("--header", "headers", type=HEADER, multiple=True, help="name=value")
@click.option("--tag", "tags", multiple=True, help="A word to find it by.")
@click.option(
    "--parent",
    type=(str, int),
    metavar="QUEUE ID",
    help="A job that is to wait for it.",
)
@click.option(
    "--on-child-failure",
    type=click.Choice(["fail", "continue", "ignore", "remove"]),
    default="fail",
    show_default=True,
    help="What its failure does to its parent.",
)
@json_option
def add(queue: str, name: str, data: Any, *, as_json: bool, **options: Any) -> None:
    """Add a job; DATA is JSON, or - for stdin."""
    options["dedup"] = asked_dedup(
        options.pop("dedup"),
        options.pop("dedup_ttl"),
        replace=options.pop("dedup_replace"),
        extend=options.pop("dedup_extend"),
        keep_last_if_active=options.pop("dedup_keep_last"),
    )
    options["headers"] = dict(options["headers"]) or None
    with Queue(queue, dsn=given_dsn()) as it:
        job = it.add(name, data, **options)
    if as_json:
        print_json(job.to_dict())
    else:
        due = f", due {instant(job.run_at)}" if job.run_at else ""
        say(f"job {job.id} in queue {queue} is {job.state}{due}")


def asked_dedup(dedup_id: str | None, ttl: float | None, **flags: bool) -> Dedup | None:
    """Return the rule that the options of `add` make."""
    if dedup_id is None:
        if ttl is not None or any(flags.values()):
            raise click.UsageError("what begins with --dedup- goes with --dedup ID")
        return None
    return Dedup(dedup_id, ttl=ttl, **flags)


@command.command("show")
@click.argument("queue")
@click.argument("job_id", metavar="ID", type=int)
@json_option
def show(queue: str, job_id: int, *, as_json: bool) -> None:
    """Show everything about a job, its failed attempts and its first 20 children."""
    check_queue(queue)
    with FlowProducer(dsn=given_dsn()) as flows:
        flow = flows.get(queue, job_id, depth=1)
    with Queue(queue, dsn=given_dsn()) as it:
        failures = it.attempts(job_id)
    children = [child.job for child in flow.children]
    if as_json:
        shown = flow.job.to_dict()
        if failures:
            shown["failed_attempts"] = [asdict(failure) for failure in failures]
        if children:
            shown["children"] = [child.to_dict() for child in children]
        print_json(shown)
        return
    show_job(flow.job, children, failures)


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
    check_queue(queue)
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


@command.command("retry")
@click.argument("queue")
@click.argument("job_ids", metavar="ID…", type=int, nargs=-1)
@click.option("--all", "every", is_flag=True, help="All that have failed by now.")
@click.option(
    "--state",
    type=click.Choice(["failed", "completed"]),
    help="With --all: completed instead of failed.",
)
@click.option("--name", help="With --all: only jobs of this name.")
@click.option("--before", type=INSTANT, help="With --all: that finished by then.")
@click.option("--limit", type=int, help="With --all: at most so many, the oldest.")
@click.option("--reset-attempts", is_flag=True, help="Count attempts from zero again.")
@json_option
def retry(
    queue: str,
    job_ids: tuple[int, ...],
    *,
    every: bool,
    state: FinishedState | None,
    reset_attempts: bool,
    as_json: bool,
    **which: Any,
) -> None:
    """Put finished jobs back to waiting: those named, or --all that failed."""
    if every == bool(job_ids) or (not every and any((state, *which.values()))):
        raise click.UsageError("give the ids of jobs, or --all")
    check_queue(queue)
    with Queue(queue, dsn=given_dsn()) as it:
        if every:
            count = it.retry_all(
                state or "failed", reset_attempts=reset_attempts, **which
            )
            if as_json:
                print_json({"retried": count})
            else:
                say(f"put {jobs(count)} of queue {queue} back to waiting")
            return
        retried = (it.retry(one, reset_attempts=reset_attempts) for one in job_ids)
        tell(retried, as_json=as_json)


@command.command("promote")
@click.argument("queue")
@click.argument("job_ids", metavar="ID…", type=int, nargs=-1)
@click.option("--all", "every", is_flag=True, help="All that are delayed now.")
@json_option
def promote(
    queue: str, job_ids: tuple[int, ...], *, every: bool, as_json: bool
) -> None:
    """Let delayed jobs run now: those named, or --all."""
    if every == bool(job_ids):
        raise click.UsageError("give the ids of jobs, or --all")
    check_queue(queue)
    with Queue(queue, dsn=given_dsn()) as it:
        if every:
            count = it.promote_all()
            if as_json:
                print_json({"promoted": count})
            else:
                say(f"promoted {jobs(count)} of queue {queue}")
            return
        tell((it.promote(one) for one in job_ids), as_json=as_json)


@command.command("cancel")
@click.argument("queue")
@click.argument("job_ids", metavar="ID…", type=int, nargs=-1, required=True)
@json_option
def cancel(queue: str, job_ids: tuple[int, ...], *, as_json: bool) -> None:
    """Stop jobs, also those that run: they end as failed."""
    check_queue(queue)
    with Queue(queue, dsn=given_dsn()) as it:
        tell((it.cancel(one) for one in job_ids), as_json=as_json)


def tell(changed: Iterator[Job], *, as_json: bool) -> None:
    """Print what became of jobs, each as soon as it did."""
    if as_json:
        print_json([job.to_dict() for job in changed])
        return
    for job in changed:
        # Only a cancelled one still runs; its worker has to hear of it.
        told = "is told to stop" if job.state == "active" else f"is {job.state}"
        say(f"job {job.id} in queue {job.queue} {told}")


@command.command("logs")
@click.argument("queue")
@click.argument("job_id", metavar="ID", type=int)
@click.option("--limit", default=100, show_default=True, help="At most so many.")
@click.option("--after", metavar="LINE", default=0, help="Go on where it ended.")
@json_option
def logs(queue: str, job_id: int, *, limit: int, after: int, as_json: bool) -> None:
    """Print the log of a job, the oldest line first."""
    check_queue(queue)
    with Queue(queue, dsn=given_dsn()) as it:
        lines = it.logs(job_id, after=after, limit=limit)
    if as_json:
        print_json(
            [
                {"id": line.id, "at": line.at.isoformat(), "line": line.line}
                for line in lines
            ]
        )
        return
    for line in lines:
        say(f"{instant(line.at)}  {escape(line.line)}")
    if len(lines) == limit:
        note(f"more: --after {lines[-1].id}")


@command.command("rm")
@click.argument("queue")
@click.argument("job_ids", metavar="ID…", type=int, nargs=-1, required=True)
@json_option
@yes_option
def rm(queue: str, job_ids: tuple[int, ...], *, as_json: bool, yes: bool) -> None:
    """Remove jobs that are not running."""
    check_queue(queue)
    which = ", ".join(map(str, job_ids))
    confirm(f"Remove job {which} of queue {queue}?", yes=yes)
    with Queue(queue, dsn=given_dsn()) as it:
        for job_id in job_ids:
            if not it.remove(job_id):
                raise JobNotFound(job_id, queue)
            if not as_json:
                say(f"job {job_id} is removed")
    if as_json:
        print_json(job_ids)
