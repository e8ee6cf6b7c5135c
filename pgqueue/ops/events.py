"""Operations on events: subscribe, read on from a place, save it, trim.

Events are read in the order of (xid, id), and only below the oldest open transaction:
nothing can appear before a place that was passed. What depends on something else comes
after it (`pgqueue.horizon` in the migrations).
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final, NamedTuple

from pgqueue import payload
from pgqueue.ops.core import Course, Op, Pause, Row, Statement, atomic
from pgqueue.ops.queues import queue_id
from pgqueue.types import Event

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

PAGE: Final = 500
ALIVE: Final = 10.0
"""How often a follower with nothing to read says that it is still there (seconds)."""

FIRST_PAUSE: Final = 0.01
LONGEST_PAUSE: Final = 0.5
TRIM: Final = 5000
WAITER: Final = "result:"
"""How the consumers begin that a call of `result` makes for itself."""


class Place(NamedTuple):
    """Where a consumer is in the events of a queue: after this one."""

    xid: int = 0
    event_id: int = 0


class Patience:
    """How long to pause between two looks, and when to give up.

    Args:
        timeout: seconds without news; None never gives up.
    """

    def __init__(self, timeout: float | None) -> None:
        self._timeout = timeout
        self.renew()

    def renew(self) -> None:
        """Begin anew: there was something."""
        self._since = time.monotonic()
        self._pause = FIRST_PAUSE

    def pause(self) -> float | None:
        """Return how long to wait before the next look; None: give up."""
        pause = self._pause
        self._pause = min(LONGEST_PAUSE, pause * 1.5)
        if self._timeout is None:
            return pause
        left = self._since + self._timeout - time.monotonic()
        return None if left <= 0 else min(pause, left)


class Reader:
    """The place of one consumer, and how it moves.

    Attributes:
        handed: after the event that was handed out last.
        consumed: after the last event that the consumer is done with.
    """

    def __init__(self, queue: str, consumer: str, *, begin: bool) -> None:
        self._queue = queue
        self._consumer = consumer
        self._begin = begin
        self._queue_id: int | None = None
        self.handed = self.consumed = self._saved = Place()
        self._told = False
        self._seen = 0.0

    def subscribe(self, pause: Callable[[], Pause] | None = None) -> Course[None]:
        """Register the consumer, and wait for those who may not have noticed.

        Args:
            pause: gives the pauses between two looks; it may give up.
        """
        self._queue_id = yield queue_id(self._queue)
        params = {"begin": self._begin, **self._key()}
        [row] = yield statement("subscribe", params)
        self.handed = self.consumed = self._saved = Place(*row)
        self._seen = time.monotonic()
        asked, patience = None, Patience(None)
        pause = pause or (lambda: Pause(patience.pause() or 0))
        while rows := (yield statement("writers_under_way", {"asked": asked})):
            asked = [row[0] for row in rows]
            yield pause()

    def hand(self, place: Place) -> None:
        """Note that the event before *place* is handed out, and the last one done."""
        self.consumed, self.handed = self.handed, place

    def page(self) -> Op[list[tuple[Event, Place]] | None]:
        """Note that all before was consumed, and return what comes next.

        Returns:
            Events, each with the place after it; None once the consumer is gone.
        """
        self.consumed = self.handed
        yield from self.save(self.consumed)
        params = {**self._key(), **self.handed._asdict(), "limit": PAGE}
        rows = yield Statement("read_events", params)
        if not rows:
            return None
        found: list[tuple[Event, Place]] = []
        lost, now = rows[0][:2]
        if lost and not self._told:
            self._told = True
            fields = {"id": 0, "at": now, "job_id": None, "name": "lost"}
            found.append((Event(queue=self._queue, **fields), self.handed))
        found += [(self._event(row), Place(row[2], row[3])) for row in rows if row[3]]
        return found

    def save(self, place: Place) -> Op[None]:
        """Write the place down, if it has moved or nothing was heard for a while."""
        alive = time.monotonic() - self._seen < ALIVE
        if self._queue_id is None or (
            place <= self._saved and alive and not self._told
        ):
            return
        params = {**self._key(), **place._asdict(), "told": self._told}
        yield Statement("save_place", params)
        self._saved, self._told, self._seen = place, False, time.monotonic()

    def ending(self, job_id: int) -> Op[list[Row]]:
        """Return the name and the data of a job's last terminal event, if any."""
        params = {**self._key(), **self.handed._asdict(), "job_id": job_id}
        return (yield Statement("find_ending", params))

    def _key(self) -> dict[str, object]:
        return {"queue_id": self._queue_id, "consumer": self._consumer}

    def _event(self, row: Row) -> Event:
        return Event(
            id=row[3],
            at=row[4],
            queue=self._queue,
            job_id=row[5],
            name=row[6],
            data=payload.decode(row[7]),
        )


def statement(name: str, params: dict[str, object]) -> Op[Sequence[Row]]:
    """Return an operation of one statement."""
    return (yield Statement(name, params))


@atomic
def unsubscribe(queue: str, consumer: str) -> Op[bool]:
    """Forget a consumer; without any other no more events are written."""
    found = yield from queue_id(queue)
    return (yield from drop(found, consumer))


def drop(queue_id: int, consumer: str) -> Op[bool]:
    """Forget a consumer of a queue, in one transaction."""
    params: dict[str, object] = {"queue_id": queue_id, "consumer": consumer}
    yield Statement("hold_queue", params)
    gone = yield Statement("unsubscribe", params)
    yield Statement("unfollow_queue", params)
    return bool(gone)


drop_atomic = atomic(drop)


@atomic
def note_drained(queue_id: int) -> Op[bool]:
    """Tell followers that a queue has run empty, if it has, and once."""
    yield Statement("hold_queue", {"queue_id": queue_id})
    rows = yield Statement("note_drained", {"queue_id": queue_id})
    return bool(rows)


def list_followed(queue_ids: Sequence[int]) -> Op[dict[int, bool]]:
    """Return the queues that have events: whether they are followed now."""
    rows = yield Statement("list_followed", {"queue_ids": list(queue_ids)})
    return {row[0]: row[1] for row in rows}


def list_gone_waiters(queue_id: int) -> Op[list[tuple[int, str]]]:
    """Return consumers that calls of `result` left behind when they died."""
    rows = yield Statement("list_gone_waiters", {"queue_id": queue_id})
    return [(row[0], row[1]) for row in rows]


def trim_events(queue_id: int, *, by_count: bool) -> Op[int]:
    """Remove events beyond the age, and the number, that a queue keeps."""
    trimmed: int = 0
    while True:
        params = {"queue_id": queue_id, "by_count": by_count, "limit": TRIM}
        rows = yield Statement("trim_events", params)
        count: int = rows[0][0]
        trimmed += count
        if count < TRIM:
            return trimmed
