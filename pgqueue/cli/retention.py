"""`pgqueue queue retention`: show and change what a queue keeps."""

from __future__ import annotations

from dataclasses import asdict
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

import click

from pgqueue.cli.output import print_json, say, span
from pgqueue.cli.params import DURATION, AnyParam, given_dsn, json_option
from pgqueue.cli.queue_view import check_queue
from pgqueue.queue import Queue
from pgqueue.types import KeepJobs

if TYPE_CHECKING:
    from pgqueue.retention import QueueRetention

EXAMPLE: Final = "age=7d, count=1000, age=7d,count=1000 or none"


class Rule(AnyParam):
    """An age, a count, both or neither."""

    name = "rule"

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        if isinstance(value, KeepJobs):
            return value
        found: dict[str, Any] = {}
        for part in value.split(",") if value != "none" else ():
            word, _, bound = part.strip().partition("=")
            if word == "age":
                found[word] = DURATION.convert(bound, param, ctx)
            elif word == "count":
                found[word] = click.IntRange(min=0).convert(bound, param, ctx)
            else:
                self.fail(f"{value!r} is no rule; say {EXAMPLE}", param, ctx)
        return KeepJobs(**found)


RULE: Final = Rule()


@click.command("retention")
@click.argument("queue")
@click.option("--completed", type=RULE, help=f"Completed jobs: {EXAMPLE}.")
@click.option("--failed", type=RULE, help="The same for failed jobs.")
@click.option("--events", type=RULE, help="The same for events.")
@json_option
def retention(
    queue: str,
    *,
    completed: KeepJobs | None,
    failed: KeepJobs | None,
    events: KeepJobs | None,
    as_json: bool,
) -> None:
    """Show or change how long a queue keeps finished jobs and events."""
    check_queue(queue)
    with Queue(queue, dsn=given_dsn()) as it:
        if completed is not None:
            it.set_retention(completed=completed)
        if failed is not None:
            it.set_retention(failed=failed)
        if events is not None:
            it.set_event_bounds(age=events.age, count=events.count)
        found = it.retention()
    if as_json:
        print_json(asdict(found))
    else:
        say(f"queue {queue}: {words(found)}")


def words(found: QueueRetention) -> str:
    """Return what is kept as a sentence."""
    return "; ".join(
        f"{what} {rule_words(rule)}"
        for what, rule in (
            ("completed jobs", found.completed),
            ("failed jobs", found.failed),
            ("events", found.events),
        )
    )


def rule_words(rule: KeepJobs) -> str:
    """Return one rule as words."""
    parts = []
    if rule.age is not None:
        age = rule.age.total_seconds() if isinstance(rule.age, timedelta) else rule.age
        parts.append(f"for {span(age)}")
    if rule.count is not None:
        parts.append(f"the newest {rule.count}")
    return ", ".join(parts) or "for ever"
