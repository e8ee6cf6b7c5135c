"""`async with worker:` runs it beside other code, which hears if it cannot, or ends."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from pgqueue import ConfigError, SchemaError, Worker, migrate
from pgqueue.errors import DatabaseUnavailable
from waiting import SOON, until_async
from working import Facts, handler_of

if TYPE_CHECKING:
    from pgqueue import Queue

NOBODY = "host=localhost port=1 dbname=none connect_timeout=2"


def worker_at(dsn: str, **options: Any) -> Worker:
    return Worker(
        "work", handler_of("async def", lambda _job: None), dsn=dsn, **options
    )


async def test_entering_a_worker_without_a_schema_raises(fresh_database: str) -> None:
    with pytest.raises(SchemaError, match="run: pgqueue migrate"):
        async with worker_at(fresh_database):
            pytest.fail("it was entered")


async def test_entering_a_worker_without_a_server_raises() -> None:
    with pytest.raises(DatabaseUnavailable):
        async with worker_at(NOBODY):
            pytest.fail("it was entered")


async def test_entering_a_worker_without_a_handler_raises(dsn: str) -> None:
    with pytest.raises(ConfigError, match="no handler"):
        async with Worker("work", dsn=dsn):
            pytest.fail("it was entered")


async def test_a_worker_that_is_entered_is_known_to_the_database(
    dsn: str, queue: Queue
) -> None:
    async with worker_at(dsn, name="ann"):
        assert [worker.name for worker in queue.workers()] == ["ann"]


async def test_who_gives_up_entering_leaves_no_worker(dsn: str, queue: Queue) -> None:
    queue.count()
    with psycopg.connect(dsn) as holding:
        holding.execute("LOCK TABLE pgqueue.worker")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1), worker_at(dsn):
                pytest.fail("it was entered")
        holding.rollback()
    left = {task.get_name() for task in asyncio.all_tasks()}
    assert "worker" not in left


async def test_a_worker_that_ends_beside_other_code_says_so_at_once(
    fresh_database: str,
) -> None:
    migrate.upgrade(fresh_database)
    heard: list[BaseException] = []
    worker = worker_at(fresh_database, lease=4)
    worker.on("error", heard.append)
    with Facts() as facts, pytest.raises(SchemaError):  # noqa: PT012
        async with worker:
            # Its next life finds a schema that is too old for it.
            with psycopg.connect(fresh_database) as connection:
                connection.execute(
                    "UPDATE pgqueue.alembic_version SET version_num = '0001'"
                )
                connection.execute("DELETE FROM pgqueue.worker")
            await until_async(
                lambda: any(isinstance(one, SchemaError) for one in heard)
            )
    said = facts.of("worker.error")
    assert said[-1]["during"] == "the worker, which has ended"


async def test_a_worker_can_be_entered_again(dsn: str, queue: Queue) -> None:
    worker = worker_at(dsn)
    for life in (1, 2):
        async with worker:
            queue.add("x")
            await until_async(partial(completed, queue, life), SOON)


def completed(queue: Queue, number: int) -> bool:
    return queue.counts().completed == number


async def test_a_worker_is_not_entered_twice_at_once(dsn: str, queue: Queue) -> None:
    worker = worker_at(dsn)
    async with worker:
        with pytest.raises(ConfigError, match="running already"):
            await worker.__aenter__()
        queue.add("x")
        await until_async(partial(completed, queue, 1), SOON)
