"""Facts: code says what happened, one subscriber writes the log.

Tests wait for the same facts instead of sleeping. Subscribers are called in the thread
that emits; one that raises is logged and does not disturb the others.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, Final

Subscriber = Callable[[str, dict[str, Any]], None]

logger: Final = logging.getLogger("pgqueue")

LEVELS: Final = {
    "job.started": logging.DEBUG,
    "job.completed": logging.DEBUG,
    "job.retrying": logging.WARNING,
    "job.failed": logging.ERROR,
    "job.interrupted": logging.WARNING,
    "job.released": logging.DEBUG,
    "job.unhandled": logging.ERROR,
    "job.stalled": logging.WARNING,
    "lease.lost": logging.WARNING,
    "worker.started": logging.INFO,
    "worker.stopping": logging.INFO,
    "worker.stopped": logging.INFO,
    "worker.fenced": logging.ERROR,
    "worker.error": logging.ERROR,
    "worker.died": logging.WARNING,
    "worker.drained": logging.DEBUG,
    "worker.sleeping": logging.DEBUG,
    "worker.woken": logging.DEBUG,
    "worker.claimed": logging.DEBUG,
    "worker.abandoned": logging.WARNING,
    "database.locked": logging.WARNING,
    "database.lost": logging.WARNING,
    "database.restored": logging.INFO,
    "listener.ready": logging.DEBUG,
    "listener.lost": logging.WARNING,
    "listener.off": logging.WARNING,
    "jobs.pruned": logging.DEBUG,
    "jobs.recovered": logging.WARNING,
}

_subscribers: tuple[Subscriber, ...] = ()


def emit(fact: str, **fields: Any) -> None:
    """Tell every subscriber, then the log, that something happened."""
    if _subscribers:
        for subscriber in _subscribers:
            try:
                subscriber(fact, fields)
            except Exception:
                logger.exception("a telemetry subscriber raised")
    level = LEVELS.get(fact, logging.INFO)
    if logger.isEnabledFor(level):
        text = " ".join(f"{name}={value}" for name, value in fields.items())
        # A handler that writes JSON wants the fields apart.
        extra = {"fact": fact, "fields": fields}
        logger.log(level, "%s %s", fact, text, extra=extra)


def wanted(fact: str) -> bool:
    """Whether anybody would hear the fact; spares hot paths building it."""
    return bool(_subscribers) or logger.isEnabledFor(LEVELS.get(fact, logging.INFO))


def subscribe(subscriber: Subscriber) -> Callable[[], None]:
    """Call *subscriber* with every fact from now on; returns how to stop that."""
    global _subscribers  # noqa: PLW0603  one registry a process, replaced whole
    _subscribers = (*_subscribers, subscriber)

    def stop() -> None:
        global _subscribers  # noqa: PLW0603
        _subscribers = tuple(s for s in _subscribers if s is not subscriber)

    return stop
