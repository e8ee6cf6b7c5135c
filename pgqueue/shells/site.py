"""Where the queues of the framework in use are, for what is told no place.

A project that has the Django app installed keeps its queues in a database of Django's;
its tests, above all, must not reach for the one that the environment names.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from pgqueue.config import Settings

    Place = tuple[Settings, str]
    """How to connect, and Django's alias of the same database."""

_places: Final[list[Callable[[], Place]]] = []


def register(place: Callable[[], Place]) -> None:
    """Let a framework say where its queues are; asked anew each time, as tests move it."""
    _places[:] = [place]


def place() -> Place | None:
    """Return where the framework's queues are; None without one."""
    return _places[0]() if _places else None
