"""A queue on a pool of the application's: it takes connections, and nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from psycopg_pool import AsyncConnectionPool, ConnectionPool

from pgqueue import (
    AsyncFlowProducer,
    AsyncQueue,
    AsyncQueueEvents,
    ConfigError,
    DatabaseUnavailable,
    FlowNode,
    FlowProducer,
    PayloadError,
    Queue,
    QueueEvents,
    UnsupportedConnection,
)
from waiting import until

if TYPE_CHECKING:
    from conftest import Sql

TAKEN = (
    "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'pgqueue'"
    " AND datname = current_database()"
)
FLOW = FlowNode("report", queue="paint", children=[FlowNode("page", queue="paint")])


def test_a_queue_works_on_the_callers_pool_and_opens_none(dsn: str, sql: Sql) -> None:
    before = sql.value(TAKEN)
    with ConnectionPool(dsn, min_size=1, max_size=1, name="mine") as pool:
        queue = Queue("paint", pool=pool)
        job = queue.add("paint", {"n": 1})
        assert queue.get(job.id).data == {"n": 1}
        assert len(queue.add_bulk([])) == 0
        assert queue.drain() == 1
        queue.obliterate()
        assert sql.value(TAKEN) == before
        queue.close()
        # It is the caller's to close.
        assert not pool.closed
        assert queue.count() == 0


async def test_an_async_queue_works_on_the_callers_pool(dsn: str) -> None:
    async with AsyncConnectionPool(dsn, min_size=1, max_size=1, open=False) as pool:
        queue = AsyncQueue("paint", pool=pool)
        job = await queue.add("paint", {"n": 1})
        assert (await queue.get(job.id)).data == {"n": 1}
        assert await queue.drain() == 1
        await queue.close()
        assert not pool.closed
        assert await queue.count() == 0


def test_a_connection_goes_back_as_it_came(dsn: str) -> None:
    with ConnectionPool(dsn, min_size=1, max_size=1) as pool:
        queue = Queue("paint", pool=pool)
        queue.add("paint")
        with pytest.raises(PayloadError):
            queue._run(refused(), None)
        with pool.connection() as connection:
            assert not connection.autocommit
            assert connection.info.transaction_status == 0
        assert queue.count() == 1


async def test_an_async_connection_goes_back_as_it_came(dsn: str) -> None:
    async with AsyncConnectionPool(dsn, min_size=1, max_size=1, open=False) as pool:
        queue = AsyncQueue("paint", pool=pool)
        await queue.add("paint")
        with pytest.raises(PayloadError):
            await queue._run(refused(), None)
        async with pool.connection() as connection:
            assert not connection.autocommit
        assert await queue.count() == 1


def refused() -> Any:
    from pgqueue.ops.core import Statement  # noqa: PLC0415

    yield Statement("note_event", {"queue": "paint", "name": "x", "data": "no json"})


def test_a_connection_that_broke_is_replaced(dsn: str, sql: Sql) -> None:
    with ConnectionPool(dsn, min_size=1, max_size=1) as pool:
        queue = Queue("paint", pool=pool)
        with pool.connection() as connection:
            pid = connection.info.backend_pid
        sql.run("SELECT pg_terminate_backend(%s)", [pid])
        left = "SELECT count(*) FROM pg_stat_activity WHERE pid = %s"
        until(lambda: not sql.value(left, [pid]))
        with pytest.raises((psycopg.OperationalError, DatabaseUnavailable)):
            queue.count()
        assert queue.count() == 0


def test_a_pool_of_the_wrong_kind_is_refused_before_any_io(dsn: str) -> None:
    closed = ConnectionPool("host=nowhere.invalid", open=False)
    asynchronous = AsyncConnectionPool("host=nowhere.invalid", open=False)
    with pytest.raises(UnsupportedConnection, match=r"psycopg_pool\.ConnectionPool"):
        Queue("paint", pool=asynchronous)  # type: ignore[arg-type]
    with pytest.raises(UnsupportedConnection, match="AsyncConnectionPool"):
        AsyncQueue("paint", pool=closed)  # type: ignore[arg-type]
    with pytest.raises(UnsupportedConnection, match="str"):
        Queue("paint", pool="postgresql://x")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="not both"):
        Queue("paint", pool=closed, dsn=dsn)


def test_a_pool_that_is_closed_or_gives_nothing_is_said_to_be(dsn: str) -> None:
    pool = ConnectionPool(dsn, min_size=1, max_size=1, timeout=0.2, open=False)
    queue = Queue("paint", pool=pool)
    with pytest.raises(ConfigError, match="not open"):
        queue.count()
    with pool, pool.connection(), pytest.raises(DatabaseUnavailable, match="pool="):
        queue.count()


def test_flows_are_added_on_the_callers_pool(dsn: str, sql: Sql) -> None:
    before = sql.value(TAKEN)
    with ConnectionPool(dsn, min_size=1, max_size=1) as pool:
        flows = FlowProducer(pool=pool)
        added = flows.add(FLOW)
        tree = flows.get("paint", added.job.id)
        assert [child.job.name for child in tree.children] == ["page"]
        assert sql.value(TAKEN) == before
        flows.close()
        assert not pool.closed
        assert Queue("paint", pool=pool).counts().waiting_children == 1


async def test_flows_are_added_on_the_callers_async_pool(dsn: str) -> None:
    async with AsyncConnectionPool(dsn, min_size=1, max_size=1, open=False) as pool:
        flows = AsyncFlowProducer(pool=pool)
        [added] = await flows.add_bulk([FLOW])
        tree = await flows.get("paint", added.job.id)
        assert [child.job.name for child in tree.children] == ["page"]
        await flows.close()
        assert not pool.closed


def test_events_are_followed_on_the_callers_pool(dsn: str, sql: Sql) -> None:
    before = sql.value(TAKEN)
    with ConnectionPool(dsn, min_size=1, max_size=1) as pool:
        events = QueueEvents("paint", "billing", pool=pool)
        events.subscribe()
        # One connection is enough: it is taken for a look and given back.
        job = Queue("paint", pool=pool).add("paint")
        told: list[tuple[str, int | None]] = []
        for event in events.follow(timeout=60):
            told.append((event.name, event.job_id))
            if len(told) == 2:
                break
        assert told == [("added", job.id), ("waiting", job.id)]
        assert sql.value(TAKEN) == before
        events.close()
        assert not pool.closed
        again = QueueEvents("paint", "billing", pool=pool)
        assert list(again.follow(timeout=0)) == []
        assert again.unsubscribe()


async def test_events_are_followed_on_the_callers_async_pool(dsn: str) -> None:
    async with AsyncConnectionPool(dsn, min_size=1, max_size=1, open=False) as pool:
        events = AsyncQueueEvents("paint", "billing", pool=pool)
        await events.subscribe()
        job = await AsyncQueue("paint", pool=pool).add("paint")
        told: list[tuple[str, int | None]] = []
        async for event in events.follow(timeout=60):
            told.append((event.name, event.job_id))
            if len(told) == 2:
                break
        assert told == [("added", job.id), ("waiting", job.id)]
        await events.close()
        assert not pool.closed


def test_flows_and_events_take_a_pool_or_a_dsn_of_their_own_kind(dsn: str) -> None:
    closed = ConnectionPool("host=nowhere.invalid", open=False)
    asynchronous = AsyncConnectionPool("host=nowhere.invalid", open=False)
    with pytest.raises(UnsupportedConnection, match=r"psycopg_pool\.ConnectionPool"):
        FlowProducer(pool=asynchronous)  # type: ignore[arg-type]
    with pytest.raises(UnsupportedConnection, match="AsyncConnectionPool"):
        AsyncFlowProducer(pool=closed)  # type: ignore[arg-type]
    with pytest.raises(UnsupportedConnection, match=r"psycopg_pool\.ConnectionPool"):
        QueueEvents("paint", pool=asynchronous)  # type: ignore[arg-type]
    with pytest.raises(UnsupportedConnection, match="AsyncConnectionPool"):
        AsyncQueueEvents("paint", pool=closed)  # type: ignore[arg-type]
    for make in (FlowProducer, lambda **given: QueueEvents("paint", **given)):
        with pytest.raises(ConfigError, match="not both"):
            make(pool=closed, dsn=dsn)
