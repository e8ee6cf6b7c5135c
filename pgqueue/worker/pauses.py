"""Tells a worker's listeners that its queues were paused or resumed.

Claims need no telling: they look themselves. So this is looked up beside them, when the
doorbell says that something changed, and once in a while.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from pgqueue import telemetry
from pgqueue.db import pool
from pgqueue.db.run import arun
from pgqueue.ops.queues import list_paused

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pgqueue.config import Settings
    from pgqueue.ops.core import Op
    from pgqueue.worker.emitter import Emitter


class Pauses:
    """The paused queues of one worker, through all its lives."""

    def __init__(self, settings: Settings, emitter: Emitter) -> None:
        self._settings = settings
        self._emitter = emitter
        self._known: set[str] = set()

    def begin(self, queues: Mapping[str, int], interval: float) -> None:
        """Begin a life of the worker, on its loop."""
        self._names = {queue_id: name for name, queue_id in queues.items()}
        self._interval = interval
        self._changed = asyncio.Event()

    def rung(self, queue_id: int) -> None:
        """Somebody paused or resumed a queue."""
        if queue_id in self._names:
            self._changed.set()

    def look(self) -> Op[None]:
        """Look which queues are paused, and tell what is new since the last look."""
        found = yield from list_paused(list(self._names))
        paused = {self._names[queue_id] for queue_id in found}
        for event, queues in (
            ("paused", paused - self._known),
            ("resumed", self._known - paused),
        ):
            for queue in sorted(queues):
                telemetry.emit(f"queue.{event}", queue=queue)
                self._emitter.emit(event, queue)
        self._known = paused

    async def run(self) -> None:
        """Go on until cancelled; a failed look is reported and repeated."""
        while True:
            try:
                async with asyncio.timeout(self._interval):
                    await self._changed.wait()
            except TimeoutError:
                pass
            self._changed.clear()
            try:
                async with pool.aconnection(self._settings, self) as connection:
                    await arun(connection, self.look(), self._settings.schema)
            except Exception as error:  # noqa: BLE001  the next look tries again
                self._emitter.trouble(error, "look at pauses")
            else:
                self._emitter.outage.works("look at pauses")

    async def close(self) -> None:
        """Give the pool up."""
        await pool.async_pools.leave(self._settings, self)
