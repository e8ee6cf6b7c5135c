"""`pgqueue job change`: give a job that has not started other data, a priority, a delay."""

from __future__ import annotations

from typing import Any

import click

from pgqueue.cli.output import print_json, say
from pgqueue.cli.params import DATA, DURATION, given_dsn, json_option
from pgqueue.cli.queue_view import check_queue
from pgqueue.queue import Queue


@click.command("change")
@click.argument("queue")
@click.argument("job_id", metavar="ID", type=int)
@click.option("--priority", type=int, help="0 first, then 1, and so on.")
@click.option("--lifo", is_flag=True, help="With --priority: before those of it.")
@click.option("--delay", type=DURATION, help="Of a delayed job: so long from now.")
@click.option("--data", type=DATA, help="JSON, or - for stdin; not while it runs.")
@json_option
def change(queue: str, job_id: int, *, lifo: bool, as_json: bool, **asked: Any) -> None:
    """Give a job another priority, delay or data, one of them at a time."""
    given = [name for name in asked if was_given(name)]
    if len(given) != 1:
        raise click.UsageError("give one of --priority, --delay and --data")
    if lifo and given != ["priority"]:
        raise click.UsageError("--lifo goes with --priority")
    check_queue(queue)
    with Queue(queue, dsn=given_dsn()) as it:
        if given == ["priority"]:
            job = it.change_priority(job_id, asked["priority"], lifo=lifo)
        elif given == ["delay"]:
            job = it.change_delay(job_id, asked["delay"])
        else:
            job = it.update_data(job_id, asked["data"])
    if as_json:
        print_json(job.to_dict())
    else:
        say(f"job {job.id} in queue {job.queue} is changed")


def was_given(name: str) -> bool:
    """Whether an option was on the command line; the data may be `null`."""
    source = click.get_current_context().get_parameter_source(name)
    return source is not click.core.ParameterSource.DEFAULT
