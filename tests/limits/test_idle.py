"""A worker at a queue's limit sleeps, and wakes when there is room."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from isolated_handlers import meets_a_limit_once
from pgqueue import AsyncQueue, NewJob, Queue, RateLimited, Worker
from pgqueue.worker.session import Session
from proxy import Proxy
from waiting import SOON, until_async
from working import Facts, at_rest, drain, work_for

if TYPE_CHECKING:
    from collections.abc import Sequence

    from conftest import Sql
    from pgqueue.ops.core import Row, Statement


class Sent:
    """The statements that workers send on the connections they claim on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.names: list[str] = []
        exchange = Session.exchange

        async def counted(
            session: Session, statements: Sequence[Statement]
        ) -> list[list[Row]]:
            self.names += [one.name for one in statements]
            return await exchange(session, statements)

        monkeypatch.setattr(Session, "exchange", counted)


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> Sent:
    return Sent(monkeypatch)


async def noop(job: Any) -> None:
    pass


async def test_an_idle_worker_sleeps_while_the_queue_is_at_its_limit(
    dsn: str, queue: Queue, sent: Sent, facts: Facts
) -> None:
    """BullMQ's backend issues 5 000 transactions a second here."""
    release = asyncio.Event()

    async def hold(job: Any) -> None:
        await release.wait()

    queue.set_concurrency(1)
    queue.add_bulk([NewJob("work")] * 3)
    async with Worker("work", hold, dsn=dsn):
        await until_async(lambda: queue.counts().active == 1)
        facts.clear()
        async with Worker("work", hold, dsn=dsn):
            await at_rest(facts)
            await work_for(0.5)
            sent.names.clear()
            await work_for(3)
            # Two workers, both with room of their own.
            assert len(sent.names) <= 2 * 2 * 3, sent.names
            release.set()
            await until_async(lambda: queue.counts().completed == 3, timeout=4)


async def test_an_idle_worker_sleeps_while_the_rate_is_used_up(
    dsn: str, queue: Queue, sent: Sent, facts: Facts
) -> None:
    queue.set_rate_limit(1, 4)
    queue.add_bulk([NewJob("work")] * 2)
    async with Worker("work", noop, dsn=dsn):
        await at_rest(facts)
        sent.names.clear()
        await work_for(2)
        assert len(sent.names) <= 4, sent.names
        await until_async(lambda: queue.counts().completed == 2, timeout=4)


async def test_a_job_that_ends_makes_room_for_a_worker_that_sleeps(
    dsn: str, queue: Queue, facts: Facts
) -> None:
    release = asyncio.Event()

    async def hold(job: Any) -> None:
        await release.wait()

    queue.set_concurrency(1)
    queue.add_bulk([NewJob("work")] * 2)
    first = Worker("work", hold, dsn=dsn, concurrency=1)
    async with first:
        await until_async(lambda: queue.counts().active == 1)
        facts.clear()
        async with Worker("work", noop, dsn=dsn):
            await at_rest(facts)
            # The one that ends it stops, so the slot is the other one's.
            first.stop()
            release.set()
            await until_async(lambda: queue.counts().completed == 2, timeout=3)


async def test_a_handler_that_meets_a_limit_holds_the_queue(
    dsn: str, queue: Queue, sql: Sql
) -> None:
    seen: list[tuple[int, int, float]] = []
    loop = asyncio.get_running_loop()

    async def handler(job: Any) -> None:
        seen.append((job.id, job.attempt, loop.time()))
        if len(seen) == 1:
            raise RateLimited(0.5)

    ids = [job.id for job in queue.add_bulk([NewJob("work")] * 3)]
    await drain(Worker("work", handler, dsn=dsn, concurrency=1))
    # In its old place, the same attempt, and nothing of the queue before.
    assert [one[:2] for one in seen] == [(ids[0], 1), *((each, 1) for each in ids)]
    assert seen[1][2] - seen[0][2] >= 0.5
    assert queue.counts().completed == 3
    assert sql.value("SELECT count(*) FROM pgqueue.attempt") == 0


async def test_a_handler_in_a_process_of_its_own_holds_the_queue_too(
    dsn: str, queue: Queue
) -> None:
    job = queue.add("work")
    loop = asyncio.get_running_loop()
    began = loop.time()
    await drain(
        Worker("work", meets_a_limit_once, dsn=dsn, concurrency=1, isolation="process"),
        30,
    )
    assert loop.time() - began >= 0.2
    assert queue.get(job.id).attempt == 1


async def test_a_queue_that_is_held_starts_nothing_until_then(
    dsn: str, queue: Queue
) -> None:
    loop = asyncio.get_running_loop()
    began = loop.time()
    queue.rate_limit(0.6)
    assert queue.limits().limited_until is not None
    queue.add("work")
    await drain(Worker("work", noop, dsn=dsn))
    assert loop.time() - began >= 0.6
    assert queue.counts().completed == 1
    queue.rate_limit(60)
    queue.rate_limit(0)
    assert queue.limits().limited_until is None


async def test_a_worker_that_sleeps_hears_of_limits_that_change(
    dsn: str, queue: Queue, facts: Facts
) -> None:
    queue.rate_limit(60)
    queue.add("work")
    async with Worker("work", noop, dsn=dsn):
        await at_rest(facts)
        queue.rate_limit(0)
        await until_async(lambda: queue.counts().completed == 1, timeout=2)
        queue.set_concurrency(1)
        queue.add("work")
        await until_async(lambda: queue.counts().completed == 2, timeout=2)


def executed(request: bytes) -> int:
    """Return how many statements a request executes, by the messages it consists of."""
    count = place = 0
    while place < len(request):
        count += request[place : place + 1] in {b"E", b"Q"}
        place += 1 + int.from_bytes(request[place + 1 : place + 5])
    return count


@pytest.mark.slow
async def test_an_idle_worker_sends_little_on_all_its_connections(
    dsn: str, queue: Queue, facts: Facts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With its heartbeat and its maintenance, which come every few seconds."""
    # Without the bell it looks twice a second, in a few statements.
    monkeypatch.setenv("PGQUEUE_LISTEN", "auto")
    release, seconds, sent = asyncio.Event(), 12, []

    async def hold(job: Any) -> None:
        await release.wait()

    def note(request: bytes, _: bytes) -> bool:
        sent.append(executed(request))
        return False

    queue.set_concurrency(1)
    queue.add_bulk([NewJob("work")] * 3)
    async with Proxy(dsn) as proxy, Worker("work", hold, dsn=dsn, concurrency=1):
        proxy.eat = note
        await until_async(lambda: queue.counts().active == 1)
        facts.clear()
        async with Worker("work", noop, dsn=proxy.dsn):
            await at_rest(facts)
            sent.clear()
            await work_for(seconds)
            assert 0 < sum(sent) <= 2 * seconds, sent
            release.set()


async def test_a_rate_is_changed_while_a_worker_waits_for_its_window(
    dsn: str, queue: Queue, facts: Facts
) -> None:
    queue.set_rate_limit(1, 3600)
    queue.add_bulk([NewJob("work")] * 4)

    async def stands_still(completed: int) -> None:
        await until_async(lambda: queue.counts().completed == completed, timeout=SOON)
        await work_for(0.2)
        assert queue.counts().completed == completed

    async with Worker("work", noop, dsn=dsn):
        await at_rest(facts)
        await stands_still(1)
        queue.set_rate_limit(3, 3600)
        await stands_still(3)
        queue.set_rate_limit(None)
        await stands_still(4)
        queue.set_rate_limit(1, 3600)
        queue.add_bulk([NewJob("work")] * 2)
        await stands_still(5)


async def test_a_queue_without_limits_costs_no_statement_more(
    dsn: str, queue: Queue, sent: Sent
) -> None:
    queue.add_bulk([NewJob("work")] * 50)
    await drain(Worker("work", noop, dsn=dsn))
    extra = {"lock_limits", "look_at_limits", "claim_limited", "limit_longer"}
    assert not extra & set(sent.names)


async def test_a_limited_queue_and_another_share_a_worker(
    dsn: str, queue: Queue
) -> None:
    running = {"work": 0, "free": 0}
    most = dict(running)

    async def handler(job: Any) -> None:
        running[job.queue] += 1
        most[job.queue] = max(most[job.queue], running[job.queue])
        await work_for(0.01)
        running[job.queue] -= 1

    queue.set_concurrency(2)
    async with AsyncQueue("free", dsn=dsn) as free:
        for each in range(5):
            await free.add_bulk([NewJob("work", each)] * 20)
            queue.add_bulk([NewJob("work", each)] * 8)
        await drain(Worker(["work", "free"], handler, dsn=dsn, concurrency=10))
        assert (await free.counts()).completed == 100
    assert queue.counts().completed == 40
    assert most["work"] == 2
    assert most["free"] > 2
