"""`pgqueue queue groups`, and `--group` of the commands beside it."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from pgqueue.cli.output import print_json, say
from pgqueue.cli.params import given_dsn, json_option
from pgqueue.cli.queue_view import check_queue
from pgqueue.queue import Queue
from pgqueue.shells.grouping import STATES

if TYPE_CHECKING:
    from pgqueue.observed import Group

NONE = "none"


@click.command("groups")
@click.argument("queue")
@click.option("--state", type=click.Choice(STATES), help="Only groups in this state.")
@click.option("--limit", default=100, show_default=True, help="At most so many.")
@click.option("--after", metavar="NAME", help="Only those behind this name.")
@json_option
def groups(
    queue: str, *, state: Any, limit: int, after: str | None, as_json: bool
) -> None:
    """List groups with jobs that wait or run, or with a limit of their own."""
    check_queue(queue)
    with Queue(queue, dsn=given_dsn()) as it:
        found = it.groups(state, limit, after)
    if as_json:
        print_json([asdict(one) for one in found])
        return
    for one in found:
        say(words(one))
    if not found:
        say("no groups")


def limit_group(
    queue: str, group: str | None, concurrency: Any, rate: Any, *, as_json: bool
) -> None:
    """Change the limits of one group, or of each without its own; show them."""
    with Queue(queue, dsn=given_dsn()) as it:
        if concurrency is not None:
            it.set_group_concurrency(
                group, None if concurrency == NONE else concurrency
            )
        if rate is not None:
            it.set_group_rate_limit(group, *((None,) if rate == NONE else rate))
        found = None if group is None else it.group(group)
    if as_json:
        print_json(asdict(found) if found else {})
    elif found is None:
        say(f"set for each group of queue {queue} that has no limit of its own")
    else:
        say(words(found))


def words(group: Group) -> str:
    """Return a group as a line."""
    parts = [f"{group.waiting} waiting, {group.active} active"]
    if group.concurrency is not None:
        parts.append(f"at most {group.concurrency} at once")
    if group.max is not None:
        parts.append(f"at most {group.max} starts in {group.per:g} s")
    return f"{group.name}: {group.state}, {', '.join(parts)}"


def pause_or_resume(queue: str, group: str, *, pause: bool, as_json: bool) -> None:
    """Pause a group or let it go on, and say what is so."""
    with Queue(queue, dsn=given_dsn()) as it:
        it.pause_group(group) if pause else it.resume_group(group)
    if as_json:
        print_json({"queue": queue, "group": group, "paused": pause})
        return
    state = "is paused; running jobs go on" if pause else "is not paused"
    say(f"group {group} of queue {queue} {state}")
