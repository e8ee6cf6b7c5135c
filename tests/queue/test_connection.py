"""`connection=`: the caller's transaction stays the caller's."""

from __future__ import annotations

import gc
import sqlite3
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from psycopg import IsolationLevel
from psycopg.adapt import Loader
from psycopg.pq import TransactionStatus
from psycopg.rows import dict_row

from invariants import assert_consistent
from pgqueue import (
    AsyncQueue,
    DatabaseUnavailable,
    NewJob,
    Queue,
    QueueNotEmpty,
    UnsupportedConnection,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from claims import HandWorker
    from conftest import Sql
    from shells import Shells


class Shouting(Loader):
    """A loader no one expects."""

    def load(self, data: Any) -> str:
        return bytes(data).decode().upper()


def backwards(_cursor: Any) -> Callable[[Any], Any]:
    return lambda values: list(values)[::-1]


@pytest.fixture(params=["connection", "cursor"])
def borrowed(request: pytest.FixtureRequest, shells: Shells) -> tuple[Any, Any]:
    """What is given to `connection=`, and the connection in it that blocks."""
    given, connection = shells.connect()
    if request.param == "cursor":
        return given.cursor(), connection
    return given, connection


def test_a_commit_shows_the_job_and_not_before(
    queue: Queue, borrowed: tuple[Any, Any], sql: Sql
) -> None:
    given, connection = borrowed
    job = queue.add("n", {"a": 1}, connection=given)
    assert queue.count() == 0
    assert queue.get(job.id, connection=given) == job
    connection.commit()
    assert queue.get(job.id) == job
    assert_consistent(sql)


def test_a_rollback_takes_the_job_away(
    queue: Queue, borrowed: tuple[Any, Any], sql: Sql
) -> None:
    given, connection = borrowed
    queue.add("n", connection=given)
    connection.rollback()
    assert sql.value("SELECT count(*) FROM pgqueue.job") == 0


def test_a_savepoint_takes_away_only_its_own(
    queue: Queue, borrowed: tuple[Any, Any], sql: Sql
) -> None:
    given, connection = borrowed
    kept = queue.add("kept", connection=given)
    connection.execute("SAVEPOINT s")
    queue.add("gone", connection=given)
    queue.add_bulk((NewJob("gone") for _ in range(5)), connection=given)
    connection.execute("ROLLBACK TO SAVEPOINT s")
    last = queue.add("last", connection=given)
    connection.commit()
    assert [job.id for job in queue.jobs()] == [kept.id, last.id]
    assert_consistent(sql)


def call_every_method(queue: Queue, given: Any) -> None:
    job = queue.add("n", connection=given)
    [bulk] = queue.add_bulk([NewJob("n", delay=60)], connection=given)
    assert queue.count(connection=given) == 2
    assert queue.counts(connection=given).delayed == 1
    assert queue.get(job.id, connection=given).id == job.id
    assert len(queue.jobs("waiting", connection=given)) == 1
    queue.pause(connection=given)
    assert queue.is_paused(connection=given)
    assert queue.clean(0, state="paused", connection=given) == [job.id]
    queue.resume(connection=given)
    assert queue.remove(bulk.id, connection=given)
    queue.add("n", connection=given)
    assert queue.drain(connection=given) == 1
    [done] = queue.jobs("completed", connection=given)
    assert queue.retry(done.id, connection=given).state == "waiting"
    with pytest.raises(QueueNotEmpty):
        queue.obliterate(connection=given)


@pytest.mark.parametrize("autocommit", [False, True])
@pytest.mark.parametrize(
    "isolation",
    [
        IsolationLevel.READ_COMMITTED,
        IsolationLevel.REPEATABLE_READ,
        IsolationLevel.SERIALIZABLE,
    ],
)
def test_every_method_works_in_a_callers_transaction_and_leaves_it_open(  # noqa: PLR0917
    queue: Queue,
    shells: Shells,
    worker: HandWorker,
    sql: Sql,
    isolation: IsolationLevel,
    autocommit: bool,
) -> None:
    queue.add("done")
    queue.add("active")
    active = worker.claim(2)
    worker.finish(active[:1])
    given, connection = shells.connect(autocommit=autocommit)
    shells.run(given.set_isolation_level(isolation))
    if autocommit:
        connection.execute(f"BEGIN ISOLATION LEVEL {isolation.name.replace('_', ' ')}")
    call_every_method(queue, given)
    assert given.info.transaction_status == TransactionStatus.INTRANS
    assert queue.counts().completed == 1, "nothing is committed yet"
    connection.rollback()
    assert queue.counts().completed == 1
    assert not queue.is_paused()
    assert queue.count() == 0
    assert_consistent(sql)


def test_a_connection_that_commits_by_itself_commits_each_call(
    queue: Queue, shells: Shells
) -> None:
    given, _ = shells.connect(autocommit=True)
    queue.add("n", connection=given)
    assert given.info.transaction_status == TransactionStatus.IDLE
    queue.add_bulk((NewJob("n") for _ in range(3)), connection=given)
    assert given.info.transaction_status == TransactionStatus.IDLE
    assert queue.count() == 4
    assert not given.closed


@pytest.mark.parametrize(
    "options",
    [
        {"row_factory": dict_row},
        {"row_factory": backwards},
        {"prepare_threshold": None},
        {"prepare_threshold": 0},
        {"raw": True},
        {"client": True},
    ],
    ids=["dict_row", "factory", "unprepared", "prepared", "raw", "client"],
)
def test_what_the_caller_set_on_a_connection_does_not_disturb(
    queue: Queue, shells: Shells, options: dict[str, Any]
) -> None:
    options = dict(options)
    kind = "Async" if shells.asynchronous else ""
    for flag, name in (("raw", "RawCursor"), ("client", "ClientCursor")):
        if options.pop(flag, False):
            options["cursor_factory"] = getattr(
                psycopg, f"Async{name}" if kind else name
            )
    given, connection = shells.connect(**options)
    for n in range(8):  # more often than it takes to prepare a statement
        job = queue.add("n", {"n": n}, connection=given)
        assert queue.get(job.id, connection=given) == job
    assert len(queue.jobs(connection=given)) == 8
    connection.commit()
    assert given.row_factory is options.get("row_factory", given.row_factory)


def test_loaders_that_the_caller_registered_do_not_reach_us(
    queue: Queue, shells: Shells
) -> None:
    given, connection = shells.connect()
    for kind in ("json", "jsonb", "text", "timestamptz", "int8", "int4", "bool"):
        given.adapters.register_loader(kind, Shouting)
    job = queue.add("n", {"quiet": True}, delay=60, key="k", connection=given)
    assert queue.get(job.id, connection=given) == job
    assert queue.add("again", key="k", connection=given) == job
    assert queue.drain(connection=given) == 1
    connection.commit()
    theirs = shells.run(connection.execute("SELECT 'abc'::text").fetchone())
    assert theirs == ("ABC",)


def test_a_callers_search_path_does_not_matter(queue: Queue, shells: Shells) -> None:
    given, connection = shells.connect()
    connection.execute("CREATE TEMP TABLE job (id int)")
    connection.execute("SET search_path = pg_temp")
    job = queue.add("n", connection=given)
    assert queue.get(job.id, connection=given) == job
    connection.rollback()


def test_an_open_result_of_a_callers_cursor_stays_readable(
    queue: Queue, dsn: str
) -> None:
    if not isinstance(queue, Queue):
        pytest.skip("the same code reads for both")
    with psycopg.connect(dsn) as connection:
        cursor = connection.execute("SELECT generate_series(1, 3)")
        assert cursor.fetchone() == (1,)
        queue.add("n", connection=cursor)
        assert cursor.fetchall() == [(2,), (3,)]


def test_a_failed_transaction_stays_the_callers_problem(
    queue: Queue, shells: Shells
) -> None:
    given, connection = shells.connect()
    with pytest.raises(psycopg.errors.DivisionByZero):
        connection.execute("SELECT 1 / 0")
    with pytest.raises(psycopg.errors.InFailedSqlTransaction):
        queue.add("n", connection=given)
    connection.rollback()
    assert queue.add("n", connection=given).id


def test_a_closed_connection_says_so(queue: Queue, shells: Shells) -> None:
    given, connection = shells.connect()
    connection.close()
    with pytest.raises(DatabaseUnavailable, match="closed"):
        queue.add("n", connection=given)
    with pytest.raises(DatabaseUnavailable, match="closed"):
        queue.add_bulk(iter([NewJob("n")]), connection=given)


def test_anything_else_is_refused_by_name(queue: Queue, dsn: str) -> None:
    lite = sqlite3.connect(":memory:")
    for wrong in (lite, dsn, 5, True, object(), queue):
        with pytest.raises(UnsupportedConnection) as refused:
            queue.add("n", connection=wrong)
        message = str(refused.value)
        assert f"got a {type(wrong).__module__}.{type(wrong).__qualname__}" in message
        assert "accepted here: a psycopg" in message
    lite.close()
    gc.collect()


async def test_a_connection_of_the_other_kind_is_refused_by_name(dsn: str) -> None:
    async with await psycopg.AsyncConnection.connect(dsn) as asynchronous:
        for given in (asynchronous, asynchronous.cursor()):
            with pytest.raises(
                UnsupportedConnection, match=r"psycopg.*Async.*accepted"
            ):
                Queue("paint", dsn=dsn).add("n", connection=given)
    with psycopg.connect(dsn) as connection:
        for wrong in (connection, connection.cursor()):
            with pytest.raises(
                UnsupportedConnection, match="a psycopg AsyncConnection"
            ):
                await AsyncQueue("paint", dsn=dsn).add("n", connection=wrong)


def test_a_refused_connection_leaves_no_operation_half_begun(queue: Queue) -> None:
    with pytest.raises(UnsupportedConnection):
        queue.add_bulk((NewJob("n") for _ in range(3)), connection="no")
    assert queue.count() == 0
