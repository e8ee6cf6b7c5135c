"""The plugin, in pytest runs of its own."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from psycopg.conninfo import make_conninfo

from pgqueue import Queue

if TYPE_CHECKING:
    from collections.abc import Callable

    from conftest import Sql

    Apart = Callable[..., str]

ROOT = Path(__file__).parents[2]

USING = """
from pgqueue import Queue
from pgqueue.testing import assert_added, assert_nothing_added, run_pending, travel

def test_first(pgqueue_connection):
    mail = Queue("mail")
    mail.add("welcome", {"user": 7}, delay=300, connection=pgqueue_connection)
    assert_added("welcome", queue=mail, connection=pgqueue_connection)
    travel(minutes=5, connection=pgqueue_connection)
    [run] = run_pending(lambda job: 1, queue=mail, connection=pgqueue_connection)
    assert run.result == 1

def test_nothing_is_left_of_it(pgqueue_connection):
    assert_nothing_added(connection=pgqueue_connection)

def test_what_is_committed(pgqueue_dsn):
    with Queue("mail") as mail:
        mail.add("welcome")
        assert_added("welcome", queue=mail)

def test_is_gone(pgqueue_dsn):
    assert_nothing_added(dsn=pgqueue_dsn)
"""


def test_its_fixtures_give_a_migrated_database(apart: Apart) -> None:
    assert "4 passed" in apart(USING)


def test_the_entry_point_names_the_plugin() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert project["entry-points"]["pytest11"] == {"pgqueue": "pgqueue.testing.plugin"}


def test_who_does_not_use_it_starts_no_server(apart: Apart) -> None:
    nowhere = "postgresql://nowhere.invalid/x"
    text = "def test_nothing():\n    pass\n"
    assert "1 passed" in apart(text, PGQUEUE_TEST_DSN=nowhere)


FORGOTTEN = """
import pytest
from pgqueue import AsyncQueue, Queue, Worker
from pgqueue.errors import ConfigError
from pgqueue.testing import *
from psycopg.conninfo import conninfo_to_dict
from psycopg_pool import ConnectionPool

REAL = Queue("mail")
AWAITED = AsyncQueue("mail")

def fake(job):
    return "fake"

def helpers(queue, dsn):
    return [
        lambda: travel(days=1, queue=queue, dsn=dsn),
        lambda: run_pending(fake, queue=queue or "mail", dsn=dsn, max_jobs=5),
        lambda: assert_added("charge", queue=queue, dsn=dsn),
        lambda: assert_nothing_added(queue=queue, dsn=dsn),
    ]

def ahelpers(queue, dsn):
    return [
        lambda: atravel(days=1, queue=queue, dsn=dsn),
        lambda: arun_pending(fake, queue=queue or "mail", dsn=dsn, max_jobs=5),
        lambda: aassert_added("charge", queue=queue, dsn=dsn),
        lambda: aassert_nothing_added(queue=queue, dsn=dsn),
    ]

def refused(call):
    with pytest.raises(ConfigError) as error:
        call()
    said = str(error.value)
    real = conninfo_to_dict(REAL._settings.dsn)["dbname"]
    assert f"done in database {real!r}" in said, said
    assert "test's is database 'pgqueue_" in said, said
    assert "connection=pgqueue_connection" in said
    assert "hidden" not in said

@pytest.fixture(params=["pgqueue_connection", "pgqueue_dsn"])
def ours(request):
    return request.getfixturevalue(request.param)

def test_queues_of_before(ours):
    for queue, dsn in (REAL, None), (AWAITED, None), (None, REAL._settings.dsn):
        for helper in helpers(queue, dsn):
            refused(helper)

def test_a_worker_of_before(ours):
    worker = Worker(["mail"], fake, dsn=REAL._settings.dsn)
    refused(lambda: run_pending(worker))

def test_a_pool(ours):
    with ConnectionPool(REAL._settings.dsn, min_size=1) as pool:
        for helper in helpers(Queue("mail", pool=pool), None):
            refused(helper)

def test_awaited_ones(ours):
    import asyncio
    for queue, dsn in (REAL, None), (AWAITED, None), (None, REAL._settings.dsn):
        for helper in ahelpers(queue, dsn):
            refused(lambda: asyncio.run(helper()))

def test_queues_of_after(pgqueue_connection):
    with Queue("mail") as mail:
        travel(days=1)
        assert run_pending(fake, queue="mail", max_jobs=5) == []
        assert run_pending(fake, queue=mail, max_jobs=5) == []
        assert_nothing_added(queue=mail)
        assert_nothing_added()

def test_a_pool_of_after(pgqueue_database, pgqueue_connection):
    with ConnectionPool(pgqueue_database, min_size=1) as pool:
        assert_nothing_added(queue=Queue("mail", pool=pool))

def test_a_connection_is_trusted(ours):
    import psycopg
    with psycopg.connect(REAL._settings.dsn) as connection:
        assert_added("charge", queue=REAL, connection=connection)
        travel(days=1, connection=connection)
        assert run_pending(fake, queue=REAL, connection=connection)
        connection.rollback()

def test_it_is_over_with_the_test():
    assert_added("charge", queue=REAL)
"""


def test_helpers_refuse_every_database_but_the_tests(
    apart: Apart, dsn: str, sql: Sql
) -> None:
    with Queue("mail", dsn=dsn) as real:
        real.add("charge", {"o": 1}, delay=3600)
    before = sql.all("SELECT job_id, run_at FROM pgqueue.delayed")
    secret = make_conninfo(dsn, password="hidden")
    assert "13 passed" in apart(FORGOTTEN, PGQUEUE_DSN=secret)
    assert sql.all("SELECT job_id, run_at FROM pgqueue.delayed") == before
    assert sql.value("SELECT count(*) FROM pgqueue.attempt") == 0


FOUND_OUT = """
from pgqueue import Queue
from pgqueue.testing import run_pending, travel

def test_forgot(pgqueue_connection):
    Queue("mail").add("reminder", {"o": 1}, delay=3600, connection=pgqueue_connection)
    travel(days=1)
    assert run_pending(lambda job: "fake", queue=Queue("mail"), max_jobs=5)
"""


def test_a_forgotten_connection_is_found_out_and_leaves_the_real_database_alone(
    apart: Apart, dsn: str, sql: Sql
) -> None:
    with Queue("mail", dsn=dsn) as real:
        real.add("charge", delay=3600)
    before = sql.all("SELECT job_id, run_at FROM pgqueue.delayed")
    assert "1 failed" in apart(FOUND_OUT, PGQUEUE_DSN=dsn, fails=True)
    assert sql.all("SELECT job_id, run_at FROM pgqueue.delayed") == before


COMMITTED = """
from pgqueue import Queue
from pgqueue.testing import assert_nothing_added

def test_first(pgqueue_connection):
    with Queue("mail") as mail:
        mail.pause()
        mail.add("welcome")

def test_second(pgqueue_connection):
    assert_nothing_added(connection=pgqueue_connection)
    with Queue("mail") as mail:
        assert not mail.is_paused(connection=pgqueue_connection)
    mail.add("closed", connection=pgqueue_connection)
    pgqueue_connection.commit()
    pgqueue_connection.close()

def test_third(pgqueue_connection):
    assert_nothing_added(connection=pgqueue_connection)
"""


@pytest.mark.parametrize("schema", ["pgqueue", "jobs"])
def test_what_a_test_commits_by_mistake_is_gone_for_the_next(
    apart: Apart, schema: str
) -> None:
    assert "3 passed" in apart(COMMITTED, PGQUEUE_SCHEMA=schema)
