"""Reads queues and shows them, for the commands of `queue` and `job`."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final, TypeVar

from rich.text import Text

from pgqueue.cli.output import Output, instant, number, one_line, say, table
from pgqueue.cli.params import given_dsn
from pgqueue.config import Settings
from pgqueue.db import pool
from pgqueue.db.run import run
from pgqueue.errors import ConfigError
from pgqueue.observed import Histogram
from pgqueue.ops import queues as queue_ops

if TYPE_CHECKING:
    from pgqueue.observed import Metric, WorkerInfo
    from pgqueue.ops.core import Op
    from pgqueue.types import QueueInfo

T = TypeVar("T")

COLUMNS: Final = (
    "waiting",
    "prioritized",
    "delayed",
    "active",
    "waiting_children",
    "completed",
    "failed",
)
STYLES: Final = {"active": "cyan", "failed": "red"}


class Reader:
    """Who uses the pool where no `Queue` does."""


def read(op: Op[T]) -> T:
    """Return what an operation on all queues reads."""
    settings, user = Settings.load(given_dsn()), Reader()
    try:
        with pool.connection(settings, user) as connection:
            return run(connection, op, settings.schema)
    finally:
        pool.pools.leave(settings, user)


def list_queues() -> list[QueueInfo]:
    """Return every queue of the database, with its counts."""
    return read(queue_ops.list_queues())


def find_queue(name: str) -> QueueInfo:
    """Return a queue that exists, with its counts.

    Raises:
        ConfigError: no queue has this name.
    """
    for info in read(queue_ops.list_queues(name)):
        return info
    raise unknown(name)


def check_queue(name: str) -> None:
    """Refuse a mistyped name, which must not look like an empty queue; counts nothing.

    Raises:
        ConfigError: no queue has this name.
    """
    if name not in read(queue_ops.list_names()):
        raise unknown(name)


def unknown(name: str) -> ConfigError:
    """Return the error for a queue that is not there."""
    return ConfigError(f"there is no queue {name!r}; see: pgqueue queue ls")


def plain(info: QueueInfo) -> dict[str, Any]:
    """Return what --json prints about a queue."""
    return {"name": info.name, "paused": info.paused, **asdict(info.counts)}


def observed(workers: list[WorkerInfo], minutes: list[Metric]) -> dict[str, Any]:
    """Return what --json prints about workers and the last hour."""
    latency = sum((one.latency for one in minutes), Histogram())
    duration = sum((one.duration for one in minutes), Histogram())
    return {
        "workers": [asdict(worker) for worker in workers],
        "last_hour": {
            "completed": sum(one.completed for one in minutes),
            "failed": sum(one.failed for one in minutes),
            "latency_p50": latency.quantile(0.5),
            "latency_p95": latency.quantile(0.95),
            "duration_p50": duration.quantile(0.5),
            "duration_p95": duration.quantile(0.95),
        },
    }


def show_observed(workers: list[WorkerInfo], minutes: list[Metric]) -> None:
    """Print the workers of a queue, and its last hour."""
    for one in workers:
        state = "" if one.alive else ", not heard of"
        say(
            f"worker {one.name}: {one.active} of this queue's jobs, concurrency"
            f" {one.concurrency}, since {instant(one.started_at)}{state}"
        )
    hour = observed(workers, minutes)["last_hour"]
    said = f"last hour: {hour['completed']} completed, {hour['failed']} failed"
    for name in ("latency", "duration"):
        if hour[f"{name}_p95"] is not None:
            low, high = hour[f"{name}_p50"], hour[f"{name}_p95"]
            said += f"; {name} under {low:g} s for half, {high:g} s for 95 %"
    say(said)


def show_queues(found: list[QueueInfo]) -> None:
    """Print a table of queues; a state that nothing is in for years is left out."""
    states = [
        state
        for state in COLUMNS
        if state != "waiting_children" or any(q.counts.waiting_children for q in found)
    ]
    shown = table("queue", *states, "", right=states, wide=["queue"])
    for info in found:
        cells = [
            number(getattr(info.counts, state), STYLES.get(state, ""))
            for state in states
        ]
        paused = Text("paused" if info.paused else "", "yellow")
        shown.add_row(one_line(info.name, "bold"), *cells, paused)
    Output().show(shown)
