"""Setting and reading limits; and the concurrency of one worker."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from pgqueue import AsyncQueue, ConfigError, Limits, NewJob, Queue, Worker
from waiting import until, until_async
from working import KINDS, drain, work_for

if TYPE_CHECKING:
    from conftest import Sql


def test_a_queue_has_the_limits_that_were_set(queue: Queue) -> None:
    assert queue.limits() == Limits()
    queue.set_concurrency(5)
    queue.set_rate_limit(100, timedelta(minutes=1))
    assert queue.limits() == Limits(concurrency=5, max=100, per=60.0)
    queue.set_concurrency(None)
    queue.set_rate_limit(None)
    assert queue.limits() == Limits()


async def test_async_queues_have_the_same(dsn: str) -> None:
    async with AsyncQueue("work", dsn=dsn) as queue:
        await queue.set_concurrency(2)
        await queue.set_rate_limit(3)
        await queue.rate_limit(60)
        found = await queue.limits()
        assert (found.concurrency, found.max, found.per) == (2, 3, 1.0)
        assert found.limited_until is not None


def test_a_limit_is_set_in_the_callers_transaction(queue: Queue, sql: Sql) -> None:
    queue.set_concurrency(1)
    connection = sql.connection
    with connection.transaction(force_rollback=True):
        queue.set_concurrency(9, connection=connection)
        assert queue.limits(connection=connection).concurrency == 9
    assert queue.limits().concurrency == 1


@pytest.mark.parametrize("bad", [0, -1, 1.5, True, "3", 2**31])
def test_a_limit_out_of_range_is_refused(dsn: str, bad: Any) -> None:
    queue = Queue("work", dsn=dsn)
    with pytest.raises(ConfigError, match="concurrency"):
        queue.set_concurrency(bad)
    with pytest.raises(ConfigError, match="max"):
        queue.set_rate_limit(bad)
    with pytest.raises(ConfigError, match="concurrency"):
        Worker("work", print, dsn=dsn).concurrency = bad
    with pytest.raises(ConfigError, match="per"):
        queue.set_rate_limit(1, 0)
    with pytest.raises(ConfigError, match="for_"):
        queue.rate_limit(-1)


def test_obliterate_takes_the_limits_along(queue: Queue) -> None:
    queue.set_concurrency(1)
    queue.set_rate_limit(1)
    queue.obliterate()
    assert queue.limits() == Limits()


async def test_obliterate_forgets_the_starts_that_a_rate_has_counted(
    dsn: str, queue: Queue, sql: Sql
) -> None:
    queue.set_rate_limit(1, 3600)
    queue.add("n")
    await drain(Worker("work", print, dsn=dsn))
    assert sql.value("SELECT sum(count) FROM pgqueue.rate") == 1
    queue.obliterate()
    assert sql.all("SELECT * FROM pgqueue.rate") == []


@pytest.mark.parametrize("kind", KINDS)
async def test_a_workers_concurrency_follows_up_and_down(
    dsn: str, queue: Queue, kind: str
) -> None:
    gates = [threading.Event(), threading.Event()]
    lock = threading.Lock()
    begun = running = 0

    def enter() -> threading.Event:
        nonlocal begun, running
        with lock:
            begun, running = begun + 1, running + 1
            return gates[begun > 6]

    def leave() -> None:
        nonlocal running
        with lock:
            running -= 1

    async def on_the_loop(job: Any) -> None:
        await until_async(enter().is_set)
        leave()

    def in_a_thread(job: Any) -> None:
        until(enter().is_set)
        leave()

    queue.add_bulk([NewJob("work")] * 30)
    handler = in_a_thread if kind == "def" else on_the_loop
    worker = Worker("work", handler, dsn=dsn, concurrency=2)
    async with worker:
        await until_async(lambda: running == 2)
        worker.concurrency = 6
        await until_async(lambda: running == 6)
        worker.concurrency = 1
        worker.concurrency = 3
        assert worker.concurrency == 3
        gates[0].set()
        await until_async(lambda: begun > 6 and running == 3)
        await work_for(0.1)
        assert running == 3
        gates[1].set()
        await until_async(lambda: queue.counts().completed == 30)
