"""`QueueEvents` and `AsyncQueueEvents`: read what happens to a queue, without gaps."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any, Final, Literal

import psycopg

from pgqueue import options, telemetry
from pgqueue.db.translate import one_line
from pgqueue.errors import ConfigError, DatabaseUnavailable, PgQueueError
from pgqueue.ops import events as ops
from pgqueue.shells.base import AsyncShell, Shell
from pgqueue.shells.checks import check_timeout

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from psycopg_pool import AsyncConnectionPool, ConnectionPool

    from pgqueue.types import Duration, Event

STARTS: Final = ("new", "begin")


def check_consumer(consumer: object, start: object) -> str:
    """Return the name of a consumer.

    Raises:
        ConfigError: it is none, or the start is neither of the two.
    """
    if start not in STARTS:
        raise ConfigError.bad("start", start, f"one of {', '.join(STARTS)}")
    name = options.check_name(consumer, "consumer")
    if name.startswith(ops.WAITER):
        raise ConfigError.bad("consumer", name, f"a name without {ops.WAITER!r}")
    return name


class QueueEvents(Shell):
    """The events of a queue, for one consumer: each once, in order, none skipped.

    The consumer's place is kept in the database under its name, so it goes on where it
    stopped, in whatever process. One process at a time follows as one consumer.

    Args:
        queue: the name of the queue.
        consumer: 1 to 255 characters; two consumers read independently.
        start: where a consumer begins that is not known yet: at what happens from
            `new`, or at the oldest event that is kept (`begin`).
        dsn: as for `Queue`.
        pool: as for `Queue`; it lends a connection for each look, none in between.

    Raises:
        ConfigError: an argument is not valid. No I/O happens here.
    """

    def __init__(
        self,
        queue: str,
        consumer: str = "default",
        start: Literal["new", "begin"] = "new",
        *,
        dsn: str | None = None,
        pool: ConnectionPool[Any] | None = None,
    ) -> None:
        super().__init__(queue, dsn=dsn, pool=pool)
        self.consumer = check_consumer(consumer, start)
        self._reader = ops.Reader(queue, consumer, begin=start == "begin")
        self._subscribed = False
        self._inside = False

    def subscribe(self) -> None:
        """Let events be written from now on; `follow` does it too.

        Returns once every transaction has ended that may not have noticed: whatever is
        begun after it will be seen.
        """
        if not self._subscribed:
            self._walk(self._reader.subscribe(), None)
            self._subscribed = True

    def unsubscribe(self) -> bool:
        """Forget this consumer and its place; return whether it was known.

        Without another consumer no more events of the queue are written.
        """
        self._subscribed = False
        return self._run(ops.unsubscribe(self.name, self.consumer), None)

    def follow(self, timeout: Duration | None = None) -> Iterator[Event]:
        """Return the events from the consumer's place on, as they happen.

        An event counts as consumed when the next one is asked for, or when the loop is
        left; its place is saved a page at a time, so after a crash up to 500 events
        come again. In a `with` block that an exception leaves, the last one is not
        counted. An event named `lost` says that some were removed unread.

        Args:
            timeout: end after so many seconds without an event; 0 reads what is there.
        """
        patience = ops.Patience(check_timeout(timeout))
        self.subscribe()
        return self._follow(patience)

    def _follow(self, patience: ops.Patience) -> Iterator[Event]:
        self.subscribe()
        try:
            while (page := self._page()) is not None:
                for event, place in page:
                    self._reader.hand(place)
                    yield event
                if page:
                    patience.renew()
                elif pause := patience.pause():
                    threading.Event().wait(pause)
                else:
                    return
            self._subscribed = False
        finally:
            if not self._inside:
                self._save(self._reader.handed)

    def _page(self) -> list[tuple[Event, ops.Place]] | None:
        try:
            return self._run(self._reader.page(), None)
        except DatabaseUnavailable as error:
            telemetry.emit("database.lost", during="events", error=one_line(error))
            return []

    def _save(self, place: ops.Place) -> None:
        try:
            self._run(self._reader.save(place), None)
        except (PgQueueError, psycopg.Error) as error:
            telemetry.emit("database.lost", during="events", error=one_line(error))

    def close(self) -> None:
        """Save the consumer's place, and give the connections up."""
        if self._subscribed:
            self._save(self._reader.handed)
        super().close()

    def __enter__(self) -> QueueEvents:
        self._inside = True
        return self

    def __exit__(self, *exc: object) -> None:
        self._inside = False
        if exc[0] is not None:
            self._reader.handed = self._reader.consumed
        self.close()


class AsyncQueueEvents(AsyncShell):
    """The same, awaited; `async for event in events.follow(): …`."""

    def __init__(
        self,
        queue: str,
        consumer: str = "default",
        start: Literal["new", "begin"] = "new",
        *,
        dsn: str | None = None,
        pool: AsyncConnectionPool[Any] | None = None,
    ) -> None:
        super().__init__(queue, dsn=dsn, pool=pool)
        self.consumer = check_consumer(consumer, start)
        self._reader = ops.Reader(queue, consumer, begin=start == "begin")
        self._subscribed = False
        self._inside = False

    async def subscribe(self) -> None:
        """Let events be written from now on; `follow` does it too."""
        if not self._subscribed:
            await self._walk(self._reader.subscribe(), None)
            self._subscribed = True

    async def unsubscribe(self) -> bool:
        """Forget this consumer and its place; return whether it was known."""
        self._subscribed = False
        return await self._run(ops.unsubscribe(self.name, self.consumer), None)

    def follow(self, timeout: Duration | None = None) -> AsyncIterator[Event]:
        """Return the events from the consumer's place on, as they happen.

        Unlike the sync one it subscribes when the first event is asked for.
        """
        return self._follow(ops.Patience(check_timeout(timeout)))

    async def _follow(self, patience: ops.Patience) -> AsyncIterator[Event]:
        await self.subscribe()
        try:
            while (page := await self._page()) is not None:
                for event, place in page:
                    self._reader.hand(place)
                    yield event
                if page:
                    patience.renew()
                elif pause := patience.pause():
                    await asyncio.sleep(pause)
                else:
                    return
            self._subscribed = False
        finally:
            if not self._inside:
                await self._save(self._reader.handed)

    async def _page(self) -> list[tuple[Event, ops.Place]] | None:
        try:
            return await self._run(self._reader.page(), None)
        except DatabaseUnavailable as error:
            telemetry.emit("database.lost", during="events", error=one_line(error))
            return []

    async def _save(self, place: ops.Place) -> None:
        try:
            await self._run(self._reader.save(place), None)
        except (PgQueueError, psycopg.Error) as error:
            telemetry.emit("database.lost", during="events", error=one_line(error))

    async def close(self) -> None:
        """Save the consumer's place, and give the connections up."""
        if self._subscribed:
            await self._save(self._reader.handed)
        await super().close()

    async def __aenter__(self) -> AsyncQueueEvents:
        self._inside = True
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._inside = False
        if exc[0] is not None:
            self._reader.handed = self._reader.consumed
        await self.close()
