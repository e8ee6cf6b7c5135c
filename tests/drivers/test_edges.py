"""Where a caller's library, and not its transaction, could get in the way."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import asyncpg
import psycopg
import psycopg2
import psycopg2.extras
import pytest
import sqlalchemy as sa
from django.db.transaction import TransactionManagementError
from sqlalchemy.exc import PendingRollbackError
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

import connections
from connections import Alchemy, Asyncpg, Kind, Psycopg2, url_of
from pgqueue import (
    AsyncQueue,
    DatabaseUnavailable,
    JobNotFound,
    NewJob,
    Queue,
    SchemaError,
    UnsupportedConnection,
)
from pgqueue.fastapi import SessionQueue

if TYPE_CHECKING:
    from collections.abc import Iterator

    from conftest import Sql


class Base(DeclarativeBase):
    pass


class Order(Base):
    __tablename__ = "pg_temp_orders"
    id: Mapped[int] = mapped_column(primary_key=True)


@pytest.fixture
def kind(request: pytest.FixtureRequest, dsn: str) -> Iterator[Kind]:
    made = request.param(dsn)
    yield made
    made.close()


def test_what_was_added_to_a_session_is_not_flushed(dsn: str) -> None:
    """Its table does not even exist: a flush would fail."""
    engine = sa.create_engine(url_of(dsn, "psycopg"))
    with Session(engine) as session:
        order = Order(id=1)
        session.add(order)
        Queue("paint", dsn=dsn).add("n", connection=session)
        assert order in session.new
    engine.dispose()


def test_a_session_that_must_roll_back_says_so(dsn: str, sql: Sql) -> None:
    engine = sa.create_engine(url_of(dsn, "psycopg"))
    with Session(engine) as session:
        session.add(Order(id=1))
        with pytest.raises(sa.exc.ProgrammingError):
            session.flush()
        with pytest.raises(PendingRollbackError):
            Queue("paint", dsn=dsn).add("n", connection=session)
        session.rollback()
        Queue("paint", dsn=dsn).add("n", connection=session)
        session.commit()
    engine.dispose()
    assert sql.value("SELECT count(*) FROM pgqueue.job") == 1


@pytest.mark.parametrize("driver", ["psycopg", "psycopg2"])
def test_an_engine_that_commits_by_itself_commits_each_call(
    dsn: str, sql: Sql, driver: str
) -> None:
    engine = sa.create_engine(url_of(dsn, driver), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        queue = Queue("paint", dsn=dsn)
        queue.add("n", connection=connection)
        queue.add_bulk(iter([NewJob("n")] * 3), connection=connection)
        assert sql.value("SELECT count(*) FROM pgqueue.job") == 4
    engine.dispose()


def test_a_database_of_another_kind_is_refused_by_name(dsn: str) -> None:
    engine = sa.create_engine("sqlite://")
    with (
        Session(engine) as session,
        pytest.raises(UnsupportedConnection, match=r"Session on sqlite3.*accepted"),
    ):
        Queue("paint", dsn=dsn).add("n", connection=session)
    engine.dispose()


async def test_what_is_awaited_and_what_is_not_are_told_apart(dsn: str) -> None:
    engine = create_async_engine(url_of(dsn, "asyncpg"))
    async with AsyncSession(engine) as session, engine.connect() as connection:
        raw = (await connection.get_raw_connection()).driver_connection
        for given in (session, connection, raw):
            with pytest.raises(UnsupportedConnection, match="accepted here: a psycopg"):
                Queue("paint", dsn=dsn).add("n", connection=given)
    await engine.dispose()
    sync = sa.create_engine(url_of(dsn, "psycopg2"))
    with Session(sync) as session, sync.connect() as plain:
        driver = plain.connection.driver_connection
        for wrong in (session, plain, driver, "default"):
            with pytest.raises(UnsupportedConnection, match="a psycopg AsyncConn"):
                await AsyncQueue("paint", dsn=dsn).add("n", connection=wrong)
    sync.dispose()


async def test_a_queue_of_a_session_on_asyncpg_is_rolled_back_with_it(
    dsn: str, sql: Sql
) -> None:
    engine = create_async_engine(url_of(dsn, "asyncpg"))
    async with AsyncSession(engine) as session:
        await SessionQueue("paint", session, dsn=dsn).add("n")
        await session.rollback()
    await engine.dispose()
    assert sql.value("SELECT count(*) FROM pgqueue.job") == 0


async def test_a_cursor_of_the_server_means_its_connection(dsn: str, sql: Sql) -> None:
    with psycopg.connect(dsn) as connection, connection.cursor("theirs") as cursor:
        cursor.execute("SELECT generate_series(1, 3)")
        Queue("paint", dsn=dsn).add("n", connection=cursor)
        assert cursor.fetchall() == [(1,), (2,), (3,)]
        connection.rollback()
    async with (
        await psycopg.AsyncConnection.connect(dsn) as awaited,
        awaited.cursor("theirs") as other,
    ):
        await other.execute("SELECT 1")
        await AsyncQueue("paint", dsn=dsn).add("n", connection=other)
    assert sql.value("SELECT count(*) FROM pgqueue.job") == 1


async def test_a_pool_or_an_engine_is_no_connection(dsn: str) -> None:
    engine = sa.create_engine(url_of(dsn, "psycopg"))
    with pytest.raises(UnsupportedConnection, match=r"engine\.base\.Engine"):
        Queue("paint", dsn=dsn).add("n", connection=engine)
    pool = asyncpg.create_pool(dsn, min_size=0)
    with pytest.raises(UnsupportedConnection, match=r"asyncpg\.pool\.Pool;"):
        await AsyncQueue("paint", dsn=dsn).add("n", connection=pool)


@pytest.mark.parametrize("kind", [Psycopg2, Asyncpg], indirect=True)
def test_errors_are_the_same_on_every_driver(kind: Kind, sql: Sql) -> None:
    queue = kind.queue()
    kind.begin()
    with pytest.raises(JobNotFound):
        queue.get(99, connection=kind.given)
    with pytest.raises(JobNotFound, match="'other'"):
        queue.add("n", parent=("other", 99), connection=kind.given)
    kind.rollback()
    sql.run("ALTER TABLE pgqueue.queue RENAME TO moved")
    try:
        kind.begin()
        with pytest.raises(SchemaError, match="pgqueue migrate"):
            queue.count(connection=kind.given)
        kind.rollback()
    finally:
        sql.run("ALTER TABLE pgqueue.moved RENAME TO queue")


@pytest.mark.parametrize("kind", [Psycopg2, Asyncpg, Alchemy], indirect=True)
def test_a_connection_that_the_server_ended_says_so(kind: Kind, sql: Sql) -> None:
    queue = kind.queue()
    kind.begin()
    queue.count(connection=kind.given)
    sql.run(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND state = 'idle in transaction'"
    )
    with pytest.raises(DatabaseUnavailable):
        queue.add("n", connection=kind.given)
    if isinstance(kind, Alchemy):
        kind.given.invalidate()


async def test_codecs_that_the_caller_set_do_not_reach_us(dsn: str) -> None:
    connection = await asyncpg.connect(dsn)
    for name in ("json", "text", "int8", "timestamptz", "bool", "int4"):
        await connection.set_type_codec(
            name, encoder=str, decoder=lambda _: "theirs", schema="pg_catalog"
        )
    queue = AsyncQueue("paint", dsn=dsn)
    async with connection.transaction():
        job = await queue.add("n", {"a": 1}, delay=60, connection=connection)
        assert await queue.get(job.id, connection=connection) == job
        assert len(await queue.jobs("delayed", connection=connection)) == 1
    assert await connection.fetchval("SELECT 1::int8") == "theirs"
    await connection.close()


def test_casts_and_factories_that_the_caller_set_do_not_reach_us(dsn: str) -> None:
    connection = psycopg2.connect(
        dsn, cursor_factory=psycopg2.extras.RealDictCursor, client_encoding="utf8"
    )
    shout = psycopg2.extensions.new_type((20, 25, 16, 1184), "SHOUT", lambda *_: "!")
    psycopg2.extensions.register_type(shout, connection)
    queue = Queue("paint", dsn=dsn)
    job = queue.add("n", {"a": "ü"}, delay=60, key="k", connection=connection)
    assert queue.get(job.id, connection=connection) == job
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1::int8 AS one")
        assert cursor.fetchone() == {"one": "!"}
    connection.close()


def test_a_django_alias_that_is_not_there_is_named(dsn: str) -> None:
    made = connections.Django(dsn)
    with pytest.raises(UnsupportedConnection, match="Django connection or alias"):
        Queue("paint", dsn=dsn).add("n", connection="nowhere")
    made.close()


def test_an_error_in_an_atomic_block_breaks_the_block(dsn: str, sql: Sql) -> None:
    """Or its end would look like a commit, and be none."""
    made = connections.Django(dsn)
    queue = made.queue()
    sql.run("ALTER TABLE pgqueue.queue RENAME TO moved")
    try:
        made.begin()
        with pytest.raises(SchemaError):
            queue.count(connection=made.given)
        assert made.wrapper.needs_rollback
        with pytest.raises(TransactionManagementError):
            queue.count(connection=made.given)
        made.rollback()
    finally:
        sql.run("ALTER TABLE pgqueue.moved RENAME TO queue")
    made.close()


def test_a_cancelled_call_leaves_the_transaction_usable(dsn: str) -> None:
    """Asyncpg cancels the statement; what follows is the caller's to decide."""

    async def main() -> None:
        connection = await asyncpg.connect(dsn)
        transaction = connection.transaction()
        await transaction.start()
        queue = AsyncQueue("paint", dsn=dsn)
        call = asyncio.create_task(queue.count(connection=connection))
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        await transaction.rollback()
        assert await queue.count(connection=connection) == 0
        await connection.close()

    asyncio.run(main())
