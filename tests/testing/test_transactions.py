"""`job.transaction()` under `run_pending`: a part of the test's own transaction."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.orm import Session

from connections import url_of
from effects import Effects, write
from pgqueue import ActiveJob, AsyncQueue, ConfigError, FlowNode, FlowProducer
from pgqueue.testing import arun_pending, run_pending

if TYPE_CHECKING:
    from conftest import Sql
    from pgqueue import Queue

Connection = psycopg.Connection[Any]


@pytest.fixture
def effects(sql: Sql) -> Effects:
    return Effects(sql)


def writes(job: ActiveJob) -> None:
    with job.transaction() as connection:
        connection.execute(write(job.id))  # type: ignore[arg-type]
        job.complete({"wrote": job.id})


async def awrites(job: ActiveJob) -> None:
    async with job.transaction() as connection:
        await connection.execute(write(job.id))  # type: ignore[arg-type]
        job.complete({"wrote": job.id})


def seen(connection: Connection) -> int:
    rows = connection.execute("SELECT count(*) FROM public.effect").fetchone()
    assert rows is not None
    return int(rows[0])


def test_the_block_is_a_part_of_the_tests_transaction(
    queue: Queue, connection: Connection, effects: Effects
) -> None:
    job = queue.add("n", connection=connection)
    [run] = run_pending(writes, queue=queue, connection=connection)
    assert (run.ending, run.result) == ("completed", {"wrote": job.id})
    assert queue.get(job.id, connection=connection).result == {"wrote": job.id}
    assert seen(connection) == 1
    connection.rollback()
    assert not effects.counts()


def test_a_block_that_fails_leaves_the_tests_transaction_usable(
    queue: Queue, connection: Connection, effects: Effects
) -> None:
    def handler(job: ActiveJob) -> None:
        with job.transaction() as mine:
            mine.execute(write(job.id))  # type: ignore[arg-type]
            mine.execute("SELECT 1 / 0")

    queue.add("n", connection=connection)
    [run] = run_pending(handler, queue=queue, connection=connection)
    assert run.ending == "failed"
    assert isinstance(run.error, psycopg.errors.DivisionByZero)
    assert seen(connection) == 0
    assert not effects.counts()


def test_a_session_of_the_tests_is_both_the_tests_and_the_handlers(
    dsn: str, queue: Queue, effects: Effects
) -> None:
    engine = create_engine(url_of(dsn, "psycopg"))
    with Session(engine) as session:

        def handler(job: ActiveJob) -> None:
            with job.transaction(connection=session) as mine:
                mine.execute(text(write(job.id)))

        job = queue.add("n", connection=session)
        [run] = run_pending(handler, queue=queue, connection=session)
        assert run.ending == "completed"
        assert queue.get(job.id, connection=session).state == "completed"
        session.rollback()
    engine.dispose()
    assert not effects.counts()


def test_without_a_connection_the_block_commits(queue: Queue, effects: Effects) -> None:
    job = queue.add("n")
    [run] = run_pending(writes, queue=queue)
    assert run.result == {"wrote": job.id}
    assert effects.counts() == {job.id: 1}


def test_the_parent_of_a_job_that_completed_so_runs_next(
    dsn: str, queue: Queue, effects: Effects
) -> None:
    tree = FlowProducer(dsn=dsn).add(
        FlowNode("parent", queue="mail", children=[FlowNode("child", queue="mail")])
    )
    runs = run_pending(writes, queue=queue)
    assert [run.job.name for run in runs] == ["child", "parent"]
    assert effects.of(tree.job.id) == 1


def test_an_async_handler_cannot_be_given_a_sync_connection(
    queue: Queue, connection: Connection
) -> None:
    queue.add("n", connection=connection)
    [run] = run_pending(awrites, queue=queue, connection=connection)
    assert isinstance(run.error, ConfigError)
    assert "arun_pending" in str(run.error)


async def test_an_async_test_has_its_transaction_too(
    dsn: str, effects: Effects
) -> None:
    async with (
        AsyncQueue("mail", dsn=dsn) as queue,
        await psycopg.AsyncConnection.connect(dsn) as connection,
    ):
        job = await queue.add("n", connection=connection)
        [run] = await arun_pending(awrites, queue=queue, connection=connection)
        assert run.result == {"wrote": job.id}
        await connection.rollback()
    assert not effects.counts()
