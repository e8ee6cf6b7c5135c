"""What goes wrong is said in words of ours: what, where, and what to do now."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from invariants import assert_consistent
from pgqueue import (
    AsyncQueue,
    ConfigError,
    DatabaseUnavailable,
    PayloadError,
    Queue,
    SchemaError,
    migrate,
)
from server import with_database
from shells import Shells
from waiting import SOON, until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from conftest import PrivateServer, Sql

NOWHERE = "postgresql://me:s3cret@127.0.0.1:1/nowhere"


@pytest.fixture(params=["Queue", "AsyncQueue"])
def make_shells(
    request: pytest.FixtureRequest,
) -> Iterator[Callable[[str], Shells]]:
    made: list[Shells] = []

    def make(dsn: str) -> Shells:
        made.append(Shells(dsn, asynchronous=request.param == "AsyncQueue"))
        return made[-1]

    yield make
    for shells in made:
        shells.close()


def test_a_database_without_the_schema_says_what_to_run(
    make_shells: Callable[[str], Shells], fresh_database: str
) -> None:
    queue = make_shells(fresh_database).queue()
    calls: list[Callable[[], Any]] = [
        lambda: queue.add("n"),
        queue.count,
        queue.jobs,
        queue.drain,
        lambda: queue.get(1),
        lambda: queue.add_bulk([]) or queue.counts(),
    ]
    for call in calls:
        with pytest.raises(SchemaError, match=r"run: pgqueue migrate$") as missing:
            call()
        assert "pgqueue_fresh" in str(missing.value)
    migrate.upgrade(fresh_database)
    assert queue.add("n").id == 1


def test_a_schema_of_another_version_says_what_to_run(
    make_shells: Callable[[str], Shells], fresh_database: str
) -> None:
    migrate.upgrade(fresh_database)
    with psycopg.connect(fresh_database) as connection:
        connection.execute("ALTER TABLE pgqueue.ready RENAME COLUMN seq TO place")
        connection.execute("ALTER FUNCTION pgqueue.add_jobs RENAME TO add_many")
    queue = make_shells(fresh_database).queue()
    for call in (lambda: queue.add("n"), lambda: queue.jobs("waiting")):
        with pytest.raises(
            SchemaError, match=r"another version.*run: pgqueue migrate$"
        ):
            call()


def test_a_role_without_rights_is_told_so(
    make_shells: Callable[[str], Shells], fresh_database: str
) -> None:
    migrate.upgrade(fresh_database)
    shells = make_shells(fresh_database)
    given, connection = shells.connect(autocommit=True)
    role = f"nobody_{given.info.backend_pid}"  # roles are of the whole server
    connection.execute(f"CREATE ROLE {role}")
    connection.execute(f"SET ROLE {role}")
    with pytest.raises(SchemaError, match=r"may not use .* permission denied for sch"):
        shells.queue().add("n", connection=given)
    connection.execute("RESET ROLE")
    connection.execute(f"DROP ROLE {role}")


@pytest.mark.parametrize(
    "dsn",
    [
        "nonsense s3cret",
        "postgresql://me:s3cret@host/db?nonsense=1",
        "postgresql://me:s3cret%zz@host/db",
        "host=x password=abc s3cret",
        "postgresql://me:s3cret@[::1/db",
        "host=x passwort=s3cret",
    ],
)
def test_a_dsn_that_cannot_be_read_is_a_config_error_without_its_secrets(
    make_shells: Callable[[str], Shells], dsn: str
) -> None:
    with pytest.raises(ConfigError, match="looks like postgresql://user@host") as bad:
        make_shells(dsn).queue().add("n")
    assert "s3cret" not in str(bad.value)
    assert bad.value.__suppress_context__
    assert bad.value.__cause__ is None


def test_a_server_that_cannot_be_reached_is_reported_at_once_without_the_password(
    make_shells: Callable[[str], Shells],
) -> None:
    queue = make_shells(NOWHERE).queue()
    began = time.monotonic()
    with pytest.raises(DatabaseUnavailable, match=r"'nowhere' on 127.0.0.1:1") as gone:
        queue.count()
    assert time.monotonic() - began < SOON
    text = f"{gone.value!r} {gone.value.__cause__!r}"
    assert "s3cret" not in text
    assert "PGQUEUE_DSN" in text


def test_a_database_that_does_not_exist_is_named(
    make_shells: Callable[[str], Shells], dsn: str
) -> None:
    queue = make_shells(with_database(dsn, "no such database")).queue()
    with pytest.raises(DatabaseUnavailable, match="'no such database'"):
        queue.add("n")


def test_a_server_that_restarted_between_two_calls_is_not_noticed(
    make_shells: Callable[[str], Shells], private_server: PrivateServer
) -> None:
    queue = make_shells(private_server.dsn).queue()
    for mode in ("fast", "immediate"):
        queue.add("n")
        private_server.restart(mode)  # type: ignore[arg-type]
        queue.add("n")
    assert queue.count() == 4


def test_all_connections_that_a_restart_broke_are_replaced(
    private_server: PrivateServer,
) -> None:
    with Queue("paint", dsn=private_server.dsn) as queue, ThreadPoolExecutor(8) as pool:
        barrier = threading.Barrier(8)

        def work(_: int) -> int:
            barrier.wait()
            return queue.add("n").id

        assert len(set(pool.map(work, range(8)))) == 8
        private_server.restart()
        assert len(set(pool.map(work, range(8)))) == 8
        assert queue.count() == 16


def test_a_server_that_is_down_is_reported_at_once_and_used_again_when_it_is_up(
    make_shells: Callable[[str], Shells], private_server: PrivateServer
) -> None:
    queue = make_shells(private_server.dsn).queue()
    queue.add("n")
    private_server.shutdown()
    for _ in range(2):
        began = time.monotonic()
        with pytest.raises(DatabaseUnavailable, match="cannot connect"):
            queue.add("n")
        assert time.monotonic() - began < SOON
    private_server.start()
    queue.add("n")
    assert queue.count() == 2


def kill_blocked(sql: Sql) -> int:
    return len(
        sql.all(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND wait_event_type = 'Lock'"
        )
    )


def test_a_connection_that_breaks_during_a_call_is_reported_and_replaced(
    make_shells: Callable[[str], Shells], dsn: str, sql: Sql
) -> None:
    queue = make_shells(dsn).queue()
    queue.add("n")
    with psycopg.connect(dsn) as blocker, ThreadPoolExecutor(1) as threads:
        for _ in range(3):
            blocker.execute("LOCK pgqueue.job")
            killing = threads.submit(until, lambda: kill_blocked(sql))
            with pytest.raises(
                DatabaseUnavailable, match="key= makes repeating"
            ) as lost:
                queue.add("n")
            assert "database 'pgqueue" in str(lost.value)
            assert killing.result(10)
            blocker.rollback()
            assert queue.add("n").id
    assert queue.count() == 4
    assert_consistent(sql)


def test_a_callers_connection_that_breaks_is_reported_the_same(
    make_shells: Callable[[str], Shells], dsn: str, sql: Sql
) -> None:
    shells = make_shells(dsn)
    queue = shells.queue()
    given, _ = shells.connect()
    queue.add("n", connection=given)
    sql.run("SELECT pg_terminate_backend(%s)", [given.info.backend_pid])
    with pytest.raises(DatabaseUnavailable):
        queue.add("n", connection=given)
    with pytest.raises(DatabaseUnavailable):
        queue.add("n", connection=given)
    assert queue.count() == 0


def test_a_bulk_that_breaks_at_its_end_is_reported_the_same(dsn: str, sql: Sql) -> None:
    from pgqueue import NewJob  # noqa: PLC0415

    def jobs() -> Iterator[NewJob]:
        yield from [NewJob("n")] * 4000
        sql.run(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND application_name = 'pgqueue'"
        )

    with Queue("paint", dsn=dsn) as queue:
        with pytest.raises(DatabaseUnavailable):
            queue.add_bulk(jobs())
        assert queue.count() == 0
        assert queue.add("n").id


def test_data_that_only_postgresql_refuses_is_a_payload_error(
    make_shells: Callable[[str], Shells], dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue = make_shells(dsn).queue()
    monkeypatch.setattr("pgqueue.options.encode_job", lambda *_: '{"name": "\\u0000"}')
    with pytest.raises(PayloadError, match="PostgreSQL cannot store this"):
        queue.add("n")
    assert queue.count() == 0


@pytest.mark.parametrize("schema", ["jobs", "app_queue"])
def test_another_schema_works_end_to_end_beside_the_default_one(
    make_shells: Callable[[str], Shells],
    fresh_database: str,
    monkeypatch: pytest.MonkeyPatch,
    schema: str,
) -> None:
    migrate.upgrade(fresh_database)
    shells = make_shells(fresh_database)
    default = shells.queue()
    monkeypatch.setenv("PGQUEUE_SCHEMA", schema)
    migrate.upgrade(fresh_database)
    other = shells.queue()
    monkeypatch.delenv("PGQUEUE_SCHEMA")
    mine = default.add("default", key="k")
    theirs = other.add("other", {"a": 1}, key="k", delay=60)
    assert (mine.id, theirs.id) == (1, 1)
    assert other.get(1) == theirs
    assert default.get(1) == mine
    assert [job.name for job in other.jobs()] == ["other"]
    assert other.drain() == 1
    assert other.add_bulk([], count_only=True) == 0
    other.obliterate()
    assert (default.count(), other.count()) == (1, 0)
    with psycopg.connect(fresh_database) as connection:
        rows = connection.execute(f"SELECT name FROM {schema}.jobs").fetchall()
        assert rows == []
        added = connection.execute(f"SELECT {schema}.add('paint', 'n')").fetchone()
    assert added == (2,)
    assert other.count() == 1


@pytest.mark.parametrize("name", ["", "Upper", "a-b", 'a"b', "x" * 49, "1a", "a.b"])
def test_a_schema_name_that_needs_quotes_is_refused(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv("PGQUEUE_SCHEMA", name)
    for make in (Queue, AsyncQueue):
        with pytest.raises(ConfigError, match="PGQUEUE_SCHEMA="):
            make("paint", dsn=NOWHERE)
