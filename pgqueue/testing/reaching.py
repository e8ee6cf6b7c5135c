"""How the helpers reach the database: as the queue they are given does."""

from __future__ import annotations

from typing import Any

from pgqueue.errors import ConfigError
from pgqueue.options import check_name
from pgqueue.shells.base import AsyncCaller, AsyncShell, Caller, Shell


def name_of(queue: Any) -> str | None:
    """Return the name of a queue that is given as one, or by name.

    Raises:
        ConfigError: it is neither.
    """
    if queue is None:
        return None
    if isinstance(queue, (Shell, AsyncShell)):
        return queue.name
    if not isinstance(queue, str):
        raise ConfigError.bad("queue", queue, "a queue or its name")
    return check_name(queue, "queue name")


def caller(queue: Any, dsn: str | None) -> Caller:
    """Return what runs operations: the queue itself, which knows its own database."""
    return queue if isinstance(queue, Caller) else Caller(dsn=dsn)


def acaller(queue: Any, dsn: str | None) -> AsyncCaller:
    """Return what runs operations and awaits them."""
    return queue if isinstance(queue, AsyncCaller) else AsyncCaller(dsn=dsn)
