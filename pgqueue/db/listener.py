"""The doorbell's other end: LISTEN on one connection, with reconnection.

A notification is only a hint. It may be lost with the connection; whoever listens looks
for work again when the listener says that it is ready.
"""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, Final

import psycopg
from psycopg import sql as pgsql

from pgqueue import telemetry
from pgqueue.db.pool import connect
from pgqueue.db.translate import one_line

if TYPE_CHECKING:
    from collections.abc import Callable

    from pgqueue.config import Settings
    from pgqueue.db.run import AsyncConnection

PROBE: Final = 15.0
ANSWER: Final = 5.0
LONGEST_PAUSE: Final = 10.0


class Listener:
    """LISTEN for one event loop.

    Args:
        rung: called with a queue's id for each notification.
        changed: called when listening begins and when it ends.
        cancelled: called with a job's id when somebody cancels it while it runs.
        paused: called with a queue's id when somebody pauses or resumes it.
        lost: called with what ended a connection, or kept it from being opened.
    """

    def __init__(
        self,
        settings: Settings,
        rung: Callable[[int], None],
        changed: Callable[[], None],
        *,
        cancelled: Callable[[int], None] | None = None,
        paused: Callable[[int], None] | None = None,
        lost: Callable[[BaseException], None] = lambda _: None,
    ) -> None:
        self._settings = settings
        self._rung = rung
        self._changed = changed
        self._words = {"cancel": cancelled, "pause": paused}
        self._lost = lost
        self.ready = False

    async def run(self) -> None:
        """Listen until cancelled; a lost connection is replaced."""
        failures = 0
        while True:
            try:
                async with await connect(self._settings) as connection:
                    await self._listen(connection)
                    failures = 0
                    await self._follow(connection)
            except (psycopg.Error, OSError, TimeoutError) as error:
                telemetry.emit("listener.lost", error=one_line(error))
                self._lost(error)
            finally:
                if self.ready:
                    self.ready = False
                    self._changed()
            failures += 1
            pause = min(LONGEST_PAUSE, 0.1 * 2 ** min(failures, 10))
            await asyncio.sleep(random.uniform(0, pause))  # noqa: S311

    async def _listen(self, connection: AsyncConnection) -> None:
        channel = pgsql.Identifier(f"{self._settings.schema}.doorbell")
        await connection.execute(pgsql.SQL("LISTEN {}").format(channel))
        self.ready = True
        telemetry.emit("listener.ready")
        self._changed()

    async def _follow(self, connection: AsyncConnection) -> None:
        """Pass notifications on; between them see that the connection is alive."""
        while True:
            async for notice in connection.notifies(timeout=PROBE):
                if notice.payload.isdecimal():
                    self._rung(int(notice.payload))
                    continue
                word, _, number = notice.payload.partition(" ")
                told = self._words.get(word)
                if told is not None and number.isdecimal():
                    told(int(number))
            async with asyncio.timeout(ANSWER):
                await connection.execute("SELECT 1")
