"""`pgqueue queue …`: list queues and look after them."""

from __future__ import annotations

from typing import Any

import click

from pgqueue.cli.groups import groups, pause_or_resume
from pgqueue.cli.limit import limit
from pgqueue.cli.output import confirm, jobs, print_json, say
from pgqueue.cli.params import DURATION, Group, given_dsn, json_option, yes_option
from pgqueue.cli.queue_view import (
    check_queue,
    find_queue,
    list_queues,
    observed,
    plain,
    show_observed,
    show_queues,
)
from pgqueue.cli.retention import retention
from pgqueue.errors import QueueNotEmpty
from pgqueue.ops.queues import CLEANABLE
from pgqueue.queue import Queue


@click.group("queue", cls=Group)
def command() -> None:
    """List, pause and empty queues."""


command.add_command(limit)
command.add_command(retention)
command.add_command(groups)


@command.command("ls")
@json_option
def ls(*, as_json: bool) -> None:
    """List all queues and how many jobs stand where."""
    found = list_queues()
    if as_json:
        print_json([plain(info) for info in found])
    elif found:
        show_queues(found)
    else:
        say("no queues yet; the first add makes one: pgqueue job add QUEUE NAME")


@command.command("show")
@click.argument("queue")
@json_option
def show(queue: str, *, as_json: bool) -> None:
    """Show one queue, its workers, and what was done in the last hour."""
    info = find_queue(queue)
    with Queue(queue, dsn=given_dsn()) as it:
        workers, minutes = it.workers(), it.metrics(60)
    if as_json:
        print_json(plain(info) | observed(workers, minutes))
    else:
        show_queues([info])
        show_observed(workers, minutes)


@command.command("pause")
@click.argument("queue")
@click.option("--group", help="This group of the queue only.")
@json_option
def pause(queue: str, *, group: str | None, as_json: bool) -> None:
    """Let no worker start another job."""
    check_queue(queue)
    if group is not None:
        pause_or_resume(queue, group, pause=True, as_json=as_json)
        return
    with Queue(queue, dsn=given_dsn()) as it:
        it.pause()
    if as_json:
        print_json({"queue": queue, "paused": True})
    else:
        say(f"queue {queue} is paused; running jobs go on")


@command.command("resume")
@click.argument("queue")
@click.option("--group", help="This group of the queue only.")
@json_option
def resume(queue: str, *, group: str | None, as_json: bool) -> None:
    """Undo pause."""
    check_queue(queue)
    if group is not None:
        pause_or_resume(queue, group, pause=False, as_json=as_json)
        return
    with Queue(queue, dsn=given_dsn()) as it:
        it.resume()
    if as_json:
        print_json({"queue": queue, "paused": False})
    else:
        say(f"queue {queue} is not paused")


@command.command("drain")
@click.argument("queue")
@click.option("--keep-delayed", is_flag=True, help="Leave delayed jobs in.")
@json_option
@yes_option
def drain(queue: str, *, keep_delayed: bool, as_json: bool, yes: bool) -> None:
    """Remove the jobs that wait; what runs or has finished stays."""
    counts = find_queue(queue).counts
    waiting = counts.waiting + counts.prioritized
    delayed = "" if keep_delayed else f" and {counts.delayed} delayed"
    confirm(f"Remove {waiting} waiting{delayed} jobs of queue {queue}?", yes=yes)
    with Queue(queue, dsn=given_dsn()) as it:
        removed = it.drain(delayed=not keep_delayed)
    print_json({"removed": removed}) if as_json else say(f"removed {jobs(removed)}")


@command.command("clean")
@click.argument("queue")
@click.option("--grace", type=DURATION, default="0s", help="Only jobs older than this.")
@click.option("--limit", default=0, help="At most so many, the oldest; 0: all.")
@click.option(
    "--state",
    type=click.Choice(list(CLEANABLE)),
    default="completed",
    show_default=True,
)
@json_option
@yes_option
def clean(
    queue: str, *, grace: float, limit: int, state: Any, as_json: bool, yes: bool
) -> None:
    """Remove old jobs of one state."""
    check_queue(queue)
    most = f"at most {limit}" if limit else "all"
    old = f" older than {grace:g} s" if grace else ""
    confirm(f"Remove {most} {state} jobs{old} of queue {queue}?", yes=yes)
    with Queue(queue, dsn=given_dsn()) as it:
        removed = it.clean(grace, limit, state)
    print_json(removed) if as_json else say(f"removed {jobs(len(removed))}")


@command.command("obliterate")
@click.argument("queue")
@click.option("--force", is_flag=True, help="Remove jobs that run now, too.")
@json_option
@yes_option
def obliterate(queue: str, *, force: bool, as_json: bool, yes: bool) -> None:
    """Remove everything in a queue, whatever its state."""
    total = find_queue(queue).counts.total
    confirm(f"Remove everything in queue {queue}, {jobs(total)}?", yes=yes)
    with Queue(queue, dsn=given_dsn()) as it:
        try:
            it.obliterate(force=force)
        except QueueNotEmpty as error:
            raise click.UsageError(
                f"queue {queue} has {jobs(error.active)} that run now, so nothing was "
                "removed and it stays paused; wait for them, or pass --force"
            ) from error
    if as_json:
        print_json({"removed": total})
    else:
        say(f"queue {queue} is empty; {jobs(total)} removed")
