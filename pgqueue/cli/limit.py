"""`pgqueue queue limit`: show and change the limits of a queue."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from pgqueue.cli.groups import NONE, limit_group
from pgqueue.cli.output import instant, print_json, say
from pgqueue.cli.params import DURATION, AnyParam, given_dsn, json_option
from pgqueue.cli.queue_view import check_queue
from pgqueue.queue import Queue

if TYPE_CHECKING:
    from pgqueue.types import Limits


class MaybeInt(AnyParam):
    """A number, or none."""

    name = "n|none"

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        if value == NONE:
            return NONE
        return click.IntRange(min=1).convert(value, param, ctx)


class Rate(AnyParam):
    """A number of starts in a time, or none."""

    name = "n/duration|none"

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        if value == NONE or isinstance(value, tuple):
            return value
        most, slash, per = value.partition("/")
        if not slash:
            self.fail(f"{value!r} is no rate; say 100/1m, or none", param, ctx)
        number = click.IntRange(min=1).convert(most, param, ctx)
        return number, DURATION.convert(per, param, ctx)


@click.command("limit")
@click.argument("queue")
@click.option("--concurrency", type=MaybeInt(), help="Jobs active at once.")
@click.option("--rate", type=Rate(), help="Starts in any such time, as in 100/1m.")
@click.option("--hold", type=DURATION, help="Start nothing for so long; 0s: go on.")
@click.option("--group", help="Of this group of the queue only.")
@click.option("--all-groups", is_flag=True, help="Of each group without its own.")
@json_option
def limit(
    queue: str,
    *,
    concurrency: Any,
    rate: Any,
    hold: float | None,
    group: str | None,
    all_groups: bool,
    as_json: bool,
) -> None:
    """Show or change how much of a queue may run, over all workers."""
    check_queue(queue)
    if group is not None or all_groups:
        if hold is not None or (group is not None and all_groups):
            raise click.UsageError(
                "--group, --all-groups and --hold exclude each other"
            )
        limit_group(queue, group, concurrency, rate, as_json=as_json)
        return
    with Queue(queue, dsn=given_dsn()) as it:
        if concurrency is not None:
            it.set_concurrency(None if concurrency == NONE else concurrency)
        if rate is not None:
            it.set_rate_limit(*((None,) if rate == NONE else rate))
        if hold is not None:
            it.rate_limit(hold)
        found = it.limits()
    if as_json:
        until = found.limited_until
        print_json(
            {
                "concurrency": found.concurrency,
                "max": found.max,
                "per": found.per,
                "limited_until": until.isoformat() if until else None,
            }
        )
    else:
        say(f"queue {queue}: {words(found)}")


def words(limits: Limits) -> str:
    """Return the limits as a sentence."""
    parts = []
    if limits.concurrency is not None:
        parts.append(f"at most {limits.concurrency} at once")
    if limits.max is not None:
        parts.append(f"at most {limits.max} starts in {limits.per:g} s")
    if limits.limited_until is not None:
        parts.append(f"nothing starts before {instant(limits.limited_until)}")
    return ", ".join(parts) or "no limits"
