"""Listeners are user code: they hear everything, and can hurt nothing."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from pgqueue import NewJob, Queue, Worker
from working import Facts, Heard, drain, handler_of, work_for

if TYPE_CHECKING:
    from collections.abc import Callable


def body(job: Any) -> str:
    if job.name == "bad":
        raise OSError("bad")
    return "good"


async def test_async_listeners_are_awaited_before_the_worker_is_done(
    dsn: str, queue: Queue
) -> None:
    heard: list[Any] = []
    worker = Worker("work", handler_of("async def", body), dsn=dsn)

    @worker.on("completed")
    async def done(job: Any, result: Any) -> None:
        await work_for(0.1)
        heard.append((job.id, result))

    job = queue.add("good")
    await drain(worker)
    assert heard == [(job.id, "good")]


async def test_a_listener_that_never_ends_does_not_hold_the_worker_up(
    dsn: str, queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pgqueue.worker.worker.PATIENCE", 0.1)
    worker = Worker("work", handler_of("async def", body), dsn=dsn)
    worker.on("completed", lambda *_: asyncio.Event().wait())
    queue.add("good")
    await drain(worker, within=5)
    assert queue.counts().completed == 1


class Unspeakable(Exception):
    def __str__(self) -> str:
        raise OSError("no text")

    __repr__ = __str__


def broken_sync(error: BaseException) -> Callable[..., None]:
    def listener(*args: object) -> None:
        raise error

    return listener


def broken_async(error: BaseException) -> Callable[..., Any]:
    async def listener(*args: object) -> None:
        raise error

    return listener


@pytest.mark.parametrize("make", [broken_sync, broken_async])
@pytest.mark.parametrize(
    "error",
    [
        OSError("mine"),
        Unspeakable(),
        SystemExit(),
        KeyboardInterrupt(),
        asyncio.CancelledError(),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_no_listener_can_kill_a_worker(
    dsn: str, queue: Queue, make: Any, error: BaseException
) -> None:
    queue.add_bulk([NewJob(name) for name in ("good", "bad") * 5])
    worker = Worker("work", handler_of("async def", body), dsn=dsn)
    heard = Heard(worker, "error")
    for event in (
        "active",
        "completed",
        "failed",
        "drained",
        "error",
        "closing",
        "closed",
    ):
        worker.on(event, make(error))
    await drain(worker)
    counts = queue.counts()
    assert (counts.completed, counts.failed) == (5, 5)
    assert (error,) in heard.of("error")


async def test_an_error_without_a_listener_is_a_fact(
    dsn: str, queue: Queue, facts: Facts
) -> None:
    worker = Worker("work", handler_of("async def", body), dsn=dsn)
    worker.on("completed", broken_sync(OSError("mine")))
    queue.add("good")
    await drain(worker)
    assert facts.of("worker.error") == [
        {"during": "completed listener", "error": "OSError: mine"}
    ]


async def test_a_listener_that_was_taken_off_is_not_called(
    dsn: str, queue: Queue
) -> None:
    worker = Worker("work", handler_of("async def", body), dsn=dsn)
    heard: list[Any] = []
    listener = worker.on("completed", lambda *args: heard.append(args))
    worker.off("completed", listener)
    queue.add("good")
    await drain(worker)
    assert heard == []
