"""Facts: code says what happened, one subscriber writes the log.

Tests wait for the same facts instead of sleeping. Subscribers are called in the thread
that emits; one that raises is logged and does not disturb the others.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, Final, NamedTuple

Subscriber = Callable[[str, dict[str, Any]], None]

logger: Final = logging.getLogger("pgqueue")
job_logger: Final = logging.getLogger("pgqueue.job")
"""Of the facts about one job, so that these can be had without the others."""

LEVELS: Final = {
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
    "worker.claimed": logging.DEBUG,
    "worker.abandoned": logging.WARNING,
    "database.locked": logging.WARNING,
    "database.lost": logging.WARNING,
    "database.away": logging.DEBUG,
    "database.restored": logging.INFO,
    "listener.ready": logging.DEBUG,
    "listener.lost": logging.DEBUG,
    "jobs.pruned": logging.DEBUG,
    "queue.missing": logging.WARNING,
    "queue.paused": logging.INFO,
    "queue.resumed": logging.INFO,
}

PLACES: Final = {
    fact: (job_logger if fact.startswith("job.") else logger, level)
    for fact, level in LEVELS.items()
}
ELSEWHERE: Final = (logger, logging.INFO)

_subscribers: tuple[Subscriber, ...] = ()


class Raised(NamedTuple):
    """An exception for the log: itself, if it is of this process, and its traceback."""

    error: BaseException | None
    stack: str


def emit(fact: str, raised: Raised | None = None, /, **fields: Any) -> None:
    """Tell every subscriber, then the log, that something happened."""
    if _subscribers:
        for subscriber in _subscribers:
            try:
                subscriber(fact, fields)
            except Exception:
                logger.exception("a telemetry subscriber raised")
    log, level = PLACES.get(fact, ELSEWHERE)
    if log.isEnabledFor(level):
        text = " ".join(f"{name}={value}" for name, value in fields.items())
        # A handler that writes JSON wants the fields apart.
        extra = {"fact": fact, "fields": fields}
        if raised is None:
            log.log(level, "%s %s", fact, text, extra=extra)
            return
        error = raised.error
        exception = None
        if error is not None:
            exception = type(error), error, error.__traceback__
        record = log.makeRecord(
            log.name, level, __file__, 0, "%s %s", (fact, text), exception, extra=extra
        )
        # Formatters take this for what they would make of the exception: bounded here.
        record.exc_text = raised.stack
        log.handle(record)


def wanted(fact: str) -> bool:
    """Whether anybody would hear the fact; spares hot paths building it."""
    log, level = PLACES.get(fact, ELSEWHERE)
    return bool(_subscribers) or log.isEnabledFor(level)


def subscribe(subscriber: Subscriber) -> Callable[[], None]:
    """Call *subscriber* with every fact from now on; returns how to stop that."""
    global _subscribers  # noqa: PLW0603  one registry a process, replaced whole
    _subscribers = (*_subscribers, subscriber)

    def stop() -> None:
        global _subscribers  # noqa: PLW0603
        _subscribers = tuple(s for s in _subscribers if s is not subscriber)

    return stop
