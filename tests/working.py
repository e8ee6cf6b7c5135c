"""Run workers in tests, and hear what happens to them."""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Self

from pgqueue import Worker, telemetry
from pgqueue.config import Settings
from waiting import until_async

if TYPE_CHECKING:
    from collections.abc import Callable

KINDS = ("async def", "def")


def handler_of(kind: str, body: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Return the same body as an `async def` or as a `def` handler."""
    if kind == "def":
        return body

    async def handler(job: Any) -> Any:
        return body(job)

    return handler


async def at_rest(facts: Facts) -> None:
    """Return once a worker that finds nothing looks as seldom as it ever will."""
    if Settings.load().listen:
        # It trusts the bell once no transaction is open that is older than its sleep,
        # in any database of the server: also those of tests beside this one.
        await until_async(lambda: facts.count("worker.sleeping") >= 1, 40)
    else:
        # It never trusts a bell that it cannot hear; its polls grow to half a second.
        await work_for(1.5)


async def work_for(seconds: float) -> None:
    """Be a handler that takes a while; tests wait on conditions instead."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await asyncio.Event().wait()


async def drain(worker: Worker, within: float = 20) -> None:
    """Let a worker run until nothing waits."""
    async with asyncio.timeout(within):
        await worker.serve(drain=True)


class Facts:
    """Every fact of telemetry while it is open; `with Facts() as facts:`."""

    def __init__(self) -> None:
        self._seen: list[tuple[str, dict[str, Any]]] = []
        self._news = threading.Condition()

    def __enter__(self) -> Self:
        self._stop = telemetry.subscribe(self._hear)
        return self

    def __exit__(self, *exc: object) -> None:
        self._stop()

    def _hear(self, fact: str, fields: dict[str, Any]) -> None:
        with self._news:
            self._seen.append((fact, dict(fields)))
            self._news.notify_all()

    def of(self, fact: str) -> list[dict[str, Any]]:
        """Return the fields of every fact of that name so far."""
        with self._news:
            return [fields for name, fields in self._seen if name == fact]

    def count(self, fact: str) -> int:
        return len(self.of(fact))

    def clear(self) -> None:
        with self._news:
            self._seen.clear()


class Heard:
    """The events of a worker: `heard = Heard(worker, "completed", "failed")`."""

    def __init__(self, worker: Worker, *events: str) -> None:
        self.events: list[tuple[str, tuple[Any, ...]]] = []
        for event in events:
            worker.on(event, self._noter(event))

    def _noter(self, event: str) -> Callable[..., None]:
        return lambda *args: self.events.append((event, args))

    def of(self, event: str) -> list[tuple[Any, ...]]:
        return [args for name, args in self.events if name == event]

    def names(self) -> list[str]:
        return [name for name, _ in self.events]
