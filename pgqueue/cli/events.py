"""`pgqueue events`: print what happens to a queue."""

from __future__ import annotations

import json
import secrets
import sys
from contextlib import closing
from typing import TYPE_CHECKING, Final

import click

from pgqueue.cli.output import compact, instant, note, say
from pgqueue.cli.params import DURATION, given_dsn, json_option
from pgqueue.cli.queue_view import check_queue
from pgqueue.events import QueueEvents

if TYPE_CHECKING:
    from pgqueue.types import Event

UNHEARD: Final = (
    "no events: they are written only while somebody is subscribed; follow with -f, or "
    "subscribe with --consumer NAME and come back"
)


@click.command("events")
@click.argument("queue")
@click.option("--follow", "-f", is_flag=True, help="Go on until Ctrl-C.")
@click.option("--consumer", help="Go on where this consumer stopped.")
@click.option("--begin", is_flag=True, help="From the oldest event that is kept.")
@click.option("--timeout", type=DURATION, help="With -f: end after so long in silence.")
@json_option
def command(
    queue: str,
    *,
    follow: bool,
    consumer: str | None,
    begin: bool,
    timeout: float | None,
    as_json: bool,
) -> None:
    """Print events of a queue, one a line; with --json one JSON document a line.

    Events are written only while somebody is subscribed. Without --consumer this is
    a subscriber for as long as the command runs, and forgotten then.
    """
    check_queue(queue)
    name = consumer or f"cli-{secrets.token_hex(4)}"
    events = QueueEvents(queue, name, "begin" if begin else "new", dsn=given_dsn())
    with closing(events):
        try:
            stream = events.follow(timeout=timeout if follow else 0)
            if follow and not as_json:
                note(f"following {queue}; Ctrl-C ends it")
            silent = True
            for event in stream:
                silent = False
                show(event, as_json=as_json)
            if silent and not follow and consumer is None:
                note(UNHEARD)
        finally:
            if consumer is None:
                events.unsubscribe()


def show(event: Event, *, as_json: bool) -> None:
    """Print one event at once, whoever reads the other end of a pipe."""
    if as_json:
        click.echo(json.dumps(event.to_dict(), default=str))
        return
    job = "" if event.job_id is None else f"job {event.job_id}"
    data = "" if event.data is None else compact(event.data)
    say(f"{instant(event.at)}  {event.name:<18} {job:<12} {data}".rstrip())
    sys.stdout.flush()
