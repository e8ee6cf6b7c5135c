"""The fixtures keep their promises."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import psycopg
import pytest

from server import with_database
from waiting import until, until_async

if TYPE_CHECKING:
    from conftest import PrivateServer, Sql
    from server import Server


def test_the_server_is_of_the_kind_that_was_asked_for(pg_server: Server) -> None:
    """`make test-docker` must not pass on another server than a container's."""
    assert pg_server.kind == os.environ.get("PGQUEUE_TEST_KIND", pg_server.kind)


def test_a_test_starts_with_no_job_and_fresh_sequences(sql: Sql) -> None:
    sql.run("SELECT pgqueue.add('paint', 'paint', '{}')")
    assert sql.value("SELECT count(*) FROM pgqueue.job") == 1


def test_the_next_test_sees_nothing_of_it(sql: Sql) -> None:
    assert sql.value("SELECT count(*) FROM pgqueue.job") == 0
    assert sql.value("SELECT count(*) FROM pgqueue.queue") == 0
    assert sql.value("SELECT nextval('pgqueue.job_seq')") == 1


def test_a_fresh_database_has_no_schema(fresh_database: str) -> None:
    with psycopg.connect(fresh_database) as connection:
        found = connection.execute("SELECT to_regnamespace('pgqueue')").fetchone()
    assert found == (None,)


def test_a_private_server_keeps_committed_data_over_a_crash(
    private_server: PrivateServer,
) -> None:
    with psycopg.connect(private_server.dsn) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 1 AS n")
    private_server.restart("immediate")
    with psycopg.connect(private_server.dsn) as connection:
        assert connection.execute("SELECT n FROM kept").fetchone() == (1,)


def test_a_crash_cuts_sessions_off(private_server: PrivateServer) -> None:
    connection = psycopg.connect(private_server.dsn)
    private_server.restart("immediate")
    with pytest.raises(psycopg.OperationalError):
        connection.execute("SELECT 1")
    connection.close()


def test_no_test_can_reach_the_developers_database() -> None:
    assert "PGQUEUE_DSN" not in os.environ
    assert "DATABASE_URL" not in os.environ


async def test_until_returns_what_it_waited_for_and_fails_when_it_never_comes() -> None:
    assert until(iter([0, 0, 3]).__next__) == 3
    assert await until_async(iter([0, 0, 3]).__next__) == 3
    with pytest.raises(pytest.fail.Exception, match=r"0\.05 s: rain"):
        until(lambda: False, 0.05, message="rain")


@pytest.mark.parametrize(
    "dsn",
    [
        "postgresql://me:a%40b@db.example:5433/app?sslmode=require",
        "host=db.example port=5433 user=me password=a@b dbname=app sslmode=require",
    ],
)
def test_with_database_keeps_all_but_the_database(dsn: str) -> None:
    url = with_database(dsn, "other")
    assert psycopg.conninfo.conninfo_to_dict(url) == {
        **psycopg.conninfo.conninfo_to_dict(dsn),
        "dbname": "other",
    }
