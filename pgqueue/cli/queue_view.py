"""Reads queues and shows them, for the commands of `queue` and `job`."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final

from rich.text import Text

from pgqueue.cli.output import Output, number, one_line, table
from pgqueue.cli.params import given_dsn
from pgqueue.config import Settings
from pgqueue.db import pool
from pgqueue.db.run import run
from pgqueue.errors import ConfigError
from pgqueue.ops import queues as queue_ops

if TYPE_CHECKING:
    from pgqueue.types import QueueInfo

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


def list_queues(dsn: str | None) -> list[QueueInfo]:
    """Return every queue of the database."""
    settings, user = Settings.load(dsn), Reader()
    try:
        with pool.connection(settings, user) as connection:
            return run(connection, queue_ops.list_queues(), settings.schema)
    finally:
        pool.pools.leave(settings, user)


def find_queue(name: str) -> QueueInfo:
    """Return a queue that exists: a mistyped name must not look like an empty one.

    Raises:
        ConfigError: no queue has this name.
    """
    for info in list_queues(given_dsn()):
        if info.name == name:
            return info
    raise ConfigError(f"there is no queue {name!r}; see: pgqueue queue ls")


def plain(info: QueueInfo) -> dict[str, Any]:
    """Return what --json prints about a queue."""
    return {"name": info.name, "paused": info.paused, **asdict(info.counts)}


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
