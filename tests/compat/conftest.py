"""BullMQ's names on the test's database, closed at the end."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest

from invariants import assert_consistent
from pgqueue.compat.bullmq import FlowProducer, Job, Queue, QueueEvents, Worker

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from conftest import Sql


PATIENCE = 15.0


async def busy(seconds: float) -> None:
    """Be a processor that takes so long."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await asyncio.Event().wait()


async def returns(job: Job, token: str) -> Any:
    return job.data


async def raises(job: Job, token: str) -> Any:
    raise RuntimeError("Failed")


class Made:
    """Makes the objects of a test, and closes them."""

    def __init__(self) -> None:
        self._made: list[Any] = []

    def queue(self, name: str = "paint", **opts: Any) -> Queue:
        return self._keep(Queue(name, opts))

    def worker(self, processor: Any, name: str = "paint", **opts: Any) -> Worker:
        return self._keep(Worker(name, processor, opts))

    def events(self, name: str = "paint", **opts: Any) -> QueueEvents:
        return self._keep(QueueEvents(name, opts))

    def flows(self, **opts: Any) -> FlowProducer:
        return self._keep(FlowProducer({}, opts))

    def _keep(self, made: Any) -> Any:
        self._made.append(made)
        return made

    async def close(self) -> None:
        for one in reversed(self._made):
            await one.close()


class Heard:
    """What a worker or a follower told, with the errors that nobody expected."""

    def __init__(self, source: Any, *events: str) -> None:
        self.calls: list[tuple[Any, ...]] = []
        self._news = asyncio.Event()
        for event in events:
            source.on(event, self._listener(event))

    def _listener(self, event: str) -> Any:
        def listener(*args: Any) -> None:
            self.calls.append((event, *args))
            self._news.set()

        return listener

    async def wait(self, count: int = 1) -> list[tuple[Any, ...]]:
        """Return the calls once there are so many."""
        async with asyncio.timeout(PATIENCE):
            while len(self.calls) < count:
                self._news.clear()
                await self._news.wait()
        return self.calls


@pytest.fixture
async def made(
    dsn: str, sql: Sql, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Made]:
    monkeypatch.setenv("PGQUEUE_DSN", dsn)
    made = Made()
    yield made
    await made.close()
    assert_consistent(sql)


@pytest.fixture
def queue(made: Made) -> Queue:
    return made.queue()
