"""`QueueEvents`: follow what happens to a queue."""

from __future__ import annotations

import asyncio
import secrets
from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from pgqueue.compat.bullmq import reading
from pgqueue.compat.bullmq.emitter import EventEmitter
from pgqueue.compat.bullmq.known import check_options
from pgqueue.compat.bullmq.link import Bell, Link, neighbours
from pgqueue.compat.bullmq.units import millis
from pgqueue.compat.bullmq.unsupported import ENDPOINT, Explained
from pgqueue.errors import ConfigError
from pgqueue.ops import events

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pgqueue.types import Event

CUSTOM: Final = "bullmq:published"
"""How events are called that `QueueEventsProducer` published."""

FIELDS: Final = {
    "result": "returnvalue",
    "reason": "failedReason",
    "progress": "data",
    "attempt": "attemptsMade",
    "dedup_id": "deduplicationId",
    "dropped": "deduplicatedJobId",
}
NAP: Final = 0.1
LONG_NAP: Final = 0.5
TIRED: Final = 100
FAILURE: Final = 0.5
REMEMBERED: Final = 10_000


class QueueEvents(EventEmitter, Explained):
    """Emits the events of a queue, each as `<event>` and as `<event>:<jobId>`.

    Args:
        name: of the queue.
        opts: `prefix`, `connection`, `autorun`, `lastEventId`.
    """

    def __init__(self, name: str, opts: Mapping[str, Any] | None = None) -> None:
        super().__init__()
        self.opts: dict[str, Any] = {
            "lastEventId": "$",
            "autorun": True,
            **(opts or {}),
        }
        check_options("queue events", self.opts, ENDPOINT)
        begin = str(self.opts["lastEventId"])
        if begin not in ("$", "0", "0-0"):
            raise ConfigError.bad("lastEventId", begin, '"$" or "0"')
        self.name = name
        self.link = Link(name, self.opts)
        self.qualifiedName = self.link.queue
        self.running = self.closing = self.closed = False
        # Swept with those that calls of `result` leave behind, if this process dies.
        self._consumer = f"{events.WAITER}{secrets.token_hex(16)}"
        self._reader = events.Reader(
            self.link.queue, self._consumer, begin=begin != "$"
        )
        self._names: dict[int, str] = {}
        self._bell = Bell(self.link.queue)
        self._stopped = asyncio.Event()
        loop = asyncio.get_running_loop()
        self._subscribing = loop.create_task(self._subscribe())
        neighbours().subscribing.add(self._subscribing)
        self._subscribing.add_done_callback(neighbours().subscribing.discard)
        self._autorun: asyncio.Task[None] | None = None
        if self.opts["autorun"]:
            self._autorun = loop.create_task(self._run_by_itself())

    async def _subscribe(self) -> None:
        while not self.closing:
            try:
                await self.link.walk(self._reader.subscribe())
            except Exception as error:  # noqa: BLE001  the next one tries again
                self.emit("error", error)
                await self._bell.wait(FAILURE)
            else:
                return

    async def _run_by_itself(self) -> None:
        try:
            await self.run()
        except Exception as error:  # noqa: BLE001  nobody awaits this
            self.emit("error", error)

    async def run(self) -> None:
        """Follow until closed.

        Raises:
            ConfigError: it runs already.
        """
        if self.running:
            raise ConfigError("QueueEvents is already running.")
        if self.closing:
            return
        self.running = True
        self._stopped.clear()
        try:
            await asyncio.wait([self._subscribing])
            naps = 0
            while not self.closing:
                naps = 0 if await self._look() else naps + 1
                if naps:
                    await self._bell.wait(
                        min(NAP, 0.01 * naps) if naps < TIRED else LONG_NAP
                    )
        finally:
            self.running = False
            self._stopped.set()

    async def _look(self) -> bool:
        """Emit what is new; return whether there was anything."""
        try:
            page = await self.link.read(self._reader.page())
            if page is None:
                # Swept away: the process was asleep for too long.
                await self.link.walk(self._reader.subscribe())
                return True
            await self._learn([event for event, _ in page])
            delayed = [one.job_id for one, _ in page if one.name == "delayed"]
            dues = await self.link.read(reading.dues(self.link.queue, delayed))
        except Exception as error:  # noqa: BLE001  the next one tries again
            self.emit("error", error)
            await asyncio.sleep(FAILURE)
            return True
        for event, place in page:
            if self.closing:
                break
            self._reader.hand(place)
            self._tell(event, dues)
        return bool(page)

    async def _learn(self, found: list[Event]) -> None:
        """Find out which jobs are called by more than their number."""
        numbers = {one.job_id for one in found if one.job_id is not None}
        unknown = [number for number in numbers if number not in self._names]
        if unknown:
            called = await self.link.read(reading.names(self.link.queue, unknown))
            if len(self._names) > REMEMBERED:
                self._names.clear()
            for number in numbers:
                self._names.setdefault(number, called.get(number, str(number)))

    def _tell(self, event: Event, dues: Mapping[int, int]) -> None:
        data = event.data if isinstance(event.data, dict) else {}
        name = event.name.replace("_", "-")
        if event.name == CUSTOM:
            name, args = data["event"], dict(data["args"])
        else:
            args = {FIELDS.get(key, key): value for key, value in data.items()}
            if event.job_id is not None:
                args["jobId"] = self._names.get(event.job_id, str(event.job_id))
            if name == "completed":
                args.setdefault("returnvalue", None)
            if name == "active":
                args.setdefault("prev", "waiting")
            if name == "delayed":
                args["delay"] = due(event, dues)
        event_id = f"{int(event.at.timestamp() * 1000)}-{event.id}"
        self.emit(name, args, event_id)
        if "jobId" in args:
            self.emit(f"{name}:{args['jobId']}", args, event_id)

    async def close(self) -> None:
        """Stop, and forget the subscription; twice does no harm."""
        if self.closing:
            return
        self.closing = True
        self._bell.ring()
        await asyncio.wait([self._subscribing])
        if self.running:
            await self._stopped.wait()
        if self._autorun is not None:
            await asyncio.wait([self._autorun])
        with suppress(Exception):
            await self.link.read(events.unsubscribe(self.link.queue, self._consumer))
        await self.link.close()
        self.closed = True


def due(event: Event, dues: Mapping[int, int]) -> int | None:
    """Return when a delayed job is due, in milliseconds; None if that is not known.

    An add does not tell: then it is when the job is due by now.
    """
    delay = event.data.get("delay") if isinstance(event.data, dict) else None
    if delay is None:
        return dues.get(event.job_id or 0)
    return millis(event.at + timedelta(seconds=delay))
