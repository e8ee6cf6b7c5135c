"""A worker tells its listeners when its queues are paused and resumed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from pgqueue import Queue, Worker
from waiting import until_async
from working import Heard

if TYPE_CHECKING:
    from working import Facts


async def nothing(job: Any) -> None:
    return None


@pytest.mark.parametrize("listen", ["auto", "off"])
async def test_a_worker_says_that_a_queue_was_paused_and_resumed(
    dsn: str, queue: Queue, listen: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGQUEUE_LISTEN", listen)
    # Without the doorbell it looks every third of the lease.
    worker = Worker(["work", "other"], nothing, lease=1.5, dsn=dsn)
    heard = Heard(worker, "paused", "resumed")
    async with worker:
        queue.pause()
        await until_async(lambda: heard.of("paused") == [("work",)])
        queue.resume()
        await until_async(lambda: heard.of("resumed") == [("work",)])
    assert heard.names() == ["paused", "resumed"]


async def test_the_doorbell_tells_long_before_the_next_look(
    dsn: str, queue: Queue, facts: Facts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGQUEUE_LISTEN", "auto")
    monkeypatch.setattr("pgqueue.worker.incarnation.INTERVAL", 3600.0)
    worker = Worker("work", nothing, lease=3600, dsn=dsn)
    heard = Heard(worker, "paused", "resumed")
    async with worker:
        await until_async(lambda: facts.count("listener.ready"))
        queue.pause()
        await until_async(lambda: heard.names() == ["paused"])
        queue.resume()
        await until_async(lambda: heard.names() == ["paused", "resumed"])


async def test_pausing_a_paused_queue_is_no_event(dsn: str, queue: Queue) -> None:
    worker = Worker(["work", "other"], nothing, lease=1.5, dsn=dsn)
    heard = Heard(worker, "paused", "resumed")
    with Queue("other", dsn=dsn) as other:
        async with worker:
            queue.pause()
            queue.pause()
            other.pause()
            await until_async(lambda: len(heard.of("paused")) == 2)
            other.resume()
            other.resume()
            await until_async(lambda: heard.of("resumed"))
    assert sorted(heard.of("paused")) == [("other",), ("work",)]
    assert heard.of("resumed") == [("other",)]


async def test_a_worker_that_begins_on_a_paused_queue_says_so(
    dsn: str, queue: Queue
) -> None:
    queue.pause()
    worker = Worker("work", nothing, dsn=dsn)
    heard = Heard(worker, "paused", "resumed")
    async with worker:
        await until_async(lambda: heard.of("paused") == [("work",)])


async def test_another_life_of_a_worker_does_not_repeat_a_pause(
    dsn: str, queue: Queue, facts: Facts, sql: Any
) -> None:
    queue.pause()
    worker = Worker("work", nothing, lease=1.5, dsn=dsn)
    heard = Heard(worker, "paused", "resumed")
    async with worker:
        await until_async(lambda: heard.names() == ["paused"])
        sql.run("UPDATE pgqueue.worker SET dead_at = clock_timestamp()")
        await until_async(lambda: facts.count("worker.fenced"))
        await until_async(lambda: sql.value("SELECT count(*) FROM pgqueue.worker") > 1)
        queue.resume()
        await until_async(lambda: heard.names() == ["paused", "resumed"])
