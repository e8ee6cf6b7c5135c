"""`pgqueue schedule …`: make, list, pause and remove schedules."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from pgqueue.cli.output import confirm, instant, note, print_json, say
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
from pgqueue.cli.schedule_view import plain, show_schedule, show_schedules
from pgqueue.errors import ScheduleNotFound
from pgqueue.queue import Queue

if TYPE_CHECKING:
    from pgqueue.schedule import Schedule


@click.group("schedule", cls=Group)
def command() -> None:
    """Make, list, pause and remove schedules."""


@command.command("ls")
@click.argument("queue")
@click.option("--limit", default=100, show_default=True, help="At most so many.")
@click.option("--after", metavar="CURSOR", help="Go on where a listing ended.")
@json_option
def ls(queue: str, *, limit: int, after: str | None, as_json: bool) -> None:
    """List schedules by next occurrence; the next page's cursor goes to stderr."""
    check_queue(queue)
    with Queue(queue, dsn=given_dsn()) as it:
        page = it.schedules(limit=limit, after=after)
    if as_json:
        print_json([plain(one) for one in page])
    elif page:
        show_schedules(list(page))
    else:
        say("no schedules")
    if page.cursor:
        note(f"more: --after {page.cursor}")


@command.command("show")
@click.argument("queue")
@click.argument("key")
@click.option(
    "--next", "count", default=5, show_default=True, help="So many next runs."
)
@json_option
def show(queue: str, key: str, *, count: int, as_json: bool) -> None:
    """Show a schedule and when it fires next."""
    with Queue(queue, dsn=given_dsn()) as it:
        found = it.get_schedule(key)
    print_json(plain(found, count)) if as_json else show_schedule(found, count)


@command.command("set")
@click.argument("queue")
@click.argument("key")
@click.argument("data", type=DATA, default="null")
@click.option("--cron", help="A pattern, five fields, or six with seconds in front.")
@click.option("--every", type=DURATION, help="The time between occurrences: 30s, 2h.")
@click.option("--tz", help="The zone of the pattern; UTC by default.")
@click.option("--start", type=INSTANT, help="No occurrence before this instant.")
@click.option("--end", type=INSTANT, help="None after this one.")
@click.option("--limit", type=int, help="How many occurrences in all.")
@click.option("--offset", type=DURATION, help="Shift the grid of --every.")
@click.option("--immediately", is_flag=True, help="The first occurrence is now.")
@click.option(
    "--missed",
    type=click.Choice(["skip", "all"]),
    default="skip",
    show_default=True,
    help="Occurrences that nobody ran in time.",
)
@click.option("--name", help="The name of its jobs; KEY by default.")
@click.option("--priority", default=0, help="0 first, then 1, and so on.")
@click.option("--lifo", is_flag=True, help="Go before those that wait already.")
@click.option("--attempts", default=1, help="How many runs each job may have.")
@click.option("--backoff", type=BACKOFF, help="The wait before a retry, or its name.")
@click.option("--timeout", type=DURATION, help="How long one run may take.")
@click.option("--expires", type=DURATION, help="Do not start a job later than this.")
@click.option("--group", help="The group of its jobs; groups take turns.")
@click.option("--keep-logs", type=int, help="Keep so many log lines of each job.")
@click.option("--stack-limit", type=int, help="Keep so many failed attempts of each.")
@click.option("--size-limit", type=int, help="The largest data, in bytes.")
@click.option("--header", "headers", type=HEADER, multiple=True, help="name=value")
@click.option("--tag", "tags", multiple=True, help="A word to find its jobs by.")
@click.option("--remove-on-complete", type=RULE, help=f"Of its jobs: {EXAMPLE}.")
@click.option("--remove-on-fail", type=RULE, help="The same for those that fail.")
@json_option
def set_(queue: str, key: str, data: Any, *, as_json: bool, **options: Any) -> None:
    """Make a schedule, or replace one; DATA is JSON, or - for stdin."""
    check_rule(options)
    options["headers"] = dict(options["headers"]) or None
    with Queue(queue, dsn=given_dsn()) as it:
        made = it.upsert_schedule(key, data=data, **options)
    tell(made, as_json=as_json)


def check_rule(options: dict[str, Any]) -> None:
    """Say in the words of the command line what does not go together."""
    cron, every = options["cron"], options["every"]
    if (cron is None) == (every is None):
        raise click.UsageError("give either --cron or --every, exactly one of them")
    if every is None and options["offset"] is not None:
        raise click.UsageError("--offset shifts the grid of --every; leave it out")
    if cron is None and options["tz"] is not None:
        raise click.UsageError("--tz is the zone of --cron; leave it out")


@command.command("pause")
@click.argument("queue")
@click.argument("key")
@json_option
def pause(queue: str, key: str, *, as_json: bool) -> None:
    """Remove the pending job and make no other."""
    with Queue(queue, dsn=given_dsn()) as it:
        found = it.pause_schedule(key)
    tell(found, as_json=as_json)


@command.command("resume")
@click.argument("queue")
@click.argument("key")
@json_option
def resume(queue: str, key: str, *, as_json: bool) -> None:
    """Undo pause, and go on with the next occurrence."""
    with Queue(queue, dsn=given_dsn()) as it:
        found = it.resume_schedule(key)
    tell(found, as_json=as_json)


@command.command("rm")
@click.argument("queue")
@click.argument("keys", metavar="KEY…", nargs=-1, required=True)
@json_option
@yes_option
def rm(queue: str, keys: tuple[str, ...], *, as_json: bool, yes: bool) -> None:
    """Remove schedules with their pending jobs."""
    confirm(f"Remove schedule {', '.join(keys)} of queue {queue}?", yes=yes)
    with Queue(queue, dsn=given_dsn()) as it:
        for key in keys:
            if not it.remove_schedule(key):
                raise ScheduleNotFound(key, queue)
            if not as_json:
                say(f"schedule {key} is removed")
    if as_json:
        print_json(keys)


def tell(schedule: Schedule, *, as_json: bool) -> None:
    """Print what became of a schedule."""
    if as_json:
        print_json(plain(schedule))
    elif schedule.paused:
        say(f"schedule {schedule.key} in queue {schedule.queue} is paused")
    elif schedule.ended:
        say(f"schedule {schedule.key} in queue {schedule.queue} has ended")
    else:
        due = instant(schedule.next_at)
        say(f"schedule {schedule.key} in queue {schedule.queue} fires next {due}")
