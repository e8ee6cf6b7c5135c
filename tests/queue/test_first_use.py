"""A queue's row is made by its first use, in whichever transaction that is."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import psycopg
import pytest

from pgqueue import AsyncQueue, Queue, Worker
from pgqueue.errors import StatementTimeout
from waiting import until, until_async
from working import Facts

if TYPE_CHECKING:
    from conftest import Sql
    from shells import Shells

BLOCKED = (
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
    " AND wait_event_type = 'Lock'"
)


def test_an_add_waits_for_the_transaction_that_makes_its_queue(
    shells: Shells, dsn: str, sql: Sql
) -> None:
    queue = Queue("fresh", dsn=dsn)
    with psycopg.connect(dsn) as own, ThreadPoolExecutor() as pool:
        first = queue.add("first", connection=own)
        second = pool.submit(queue.add, "second")
        until(lambda: sql.value(BLOCKED) == 1)
        own.commit()
        ids = {first.id, second.result(10).id}
    assert {job.id for job in shells.queue("fresh").jobs("waiting")} == ids
    queue.close()


def test_an_add_beside_the_own_transaction_that_makes_the_queue_does_not_hang(
    shells: Shells, dsn: str
) -> None:
    hasty = f"{dsn}&options=-c%20lock_timeout%3D300ms"
    queue = shells.queue("fresh")
    with psycopg.connect(dsn) as own:
        Queue("fresh", dsn=dsn).add("first", connection=own)
        with pytest.raises(
            StatementTimeout, match=r"'fresh' is first used .* connection="
        ):
            shells.queue("fresh", dsn=hasty).add("connection= was forgotten")
        own.rollback()
    assert queue.add("again").id
    assert queue.count() == 1


@pytest.mark.slow
async def test_without_a_limit_of_the_session_it_waits_for_ten_seconds(
    dsn: str,
) -> None:
    async with AsyncQueue("fresh", dsn=dsn) as queue:
        with psycopg.connect(dsn) as own:
            Queue("fresh", dsn=dsn).add("first", connection=own)
            with pytest.raises(StatementTimeout, match="first used"):
                await queue.add("second")
            row = own.execute("SHOW lock_timeout").fetchone()
            assert row == ("0",)
        assert (await queue.add("third")).id


async def test_a_worker_waits_for_its_queue_for_as_long_as_it_takes(
    dsn: str, sql: Sql
) -> None:
    hasty = f"{dsn}&options=-c%20lock_timeout%3D200ms"
    done: list[int] = []

    async def handler(job: object) -> None:
        done.append(1)

    with Facts() as facts, psycopg.connect(dsn) as own:
        Queue("fresh", dsn=dsn).add("first", connection=own)
        async with Worker("fresh", handler, dsn=hasty):
            await until_async(lambda: facts.count("database.locked") >= 2)
            own.commit()
            await until_async(lambda: done)
