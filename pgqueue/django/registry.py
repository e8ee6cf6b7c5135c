"""What `jobs.py` of every app says: which function runs which jobs of which queue."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

from pgqueue.errors import ConfigError
from pgqueue.worker.handlers import check_handler, decorated_name, is_async

if TYPE_CHECKING:
    from collections.abc import Callable

H = TypeVar("H", bound="Callable[..., Any]")


class Entry(NamedTuple):
    """One function, and the one in the source that it was made of."""

    handler: Callable[[Any], Any]
    function: Callable[..., Any]


ENTRIES: Final[dict[str, dict[str, Entry]]] = {}
"""By the name of a job, then by the name of its queue."""


def add(
    queue: str, name: str, handler: Callable[[Any], Any], function: Callable[..., Any]
) -> None:
    """Let a function run the jobs of a name in a queue.

    Raises:
        ConfigError: another one does already, or of two queues with that name one has
            an `async def` function and the other a `def` function.
    """
    queues = ENTRIES.setdefault(name, {})
    known = queues.get(queue)
    if known is not None and place(known.function) != place(function):
        raise ConfigError.bad("name", name, f"one function for each in queue {queue!r}")
    for other in queues.values():
        if is_async(other.handler) != is_async(handler):
            raise ConfigError.bad(
                "name", name, "in all queues either `async def` functions or `def` ones"
            )
    queues[queue] = Entry(handler, function)


def registering(queue: str, name: str) -> Callable[[H], H]:
    """Return the decorator that lets a handler run the jobs of a name in a queue."""
    decorated_name(name, '@queue.handler("{}")')

    def register(handler: H) -> H:
        check_handler(handler)
        add(queue, name, handler, handler)
        return handler

    return register


def place(function: Callable[..., Any]) -> tuple[str | None, str]:
    """Say where a function is; after a reload of its module another one is there."""
    inner = inspect.unwrap(function)
    return inner.__module__, getattr(inner, "__qualname__", repr(inner))


def queues() -> list[str]:
    """Return the names of all queues that have a function."""
    return sorted({queue for by_queue in ENTRIES.values() for queue in by_queue})
