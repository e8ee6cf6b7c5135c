"""The triggers of docs/sql.md, as they stand there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest

from pgqueue import Queue, Worker
from pgqueue.testing import assert_added, assert_nothing_added, run_pending

if TYPE_CHECKING:
    from collections.abc import Iterator

    from conftest import Sql

GUIDE = (Path(__file__).parents[2] / "docs" / "sql.md").read_text("utf-8")
TRIGGERS = [
    block
    for block in re.findall(r"```sql\n(.*?)```", GUIDE, re.DOTALL)
    if "CREATE TRIGGER" in block
]
JOBS = "SELECT data FROM pgqueue.jobs WHERE queue = 'mail' ORDER BY id"


@pytest.fixture
def shop(sql: Sql, dsn: str) -> Iterator[psycopg.Connection]:
    """A connection to a shop whose tables have the guide's triggers."""
    sql.run("DROP TABLE IF EXISTS orders CASCADE")  # another test's
    sql.run("CREATE TABLE orders (id int PRIMARY KEY, paid bool DEFAULT false)")
    assert len(TRIGGERS) == 2
    for trigger in TRIGGERS:
        sql.run(trigger)
    with psycopg.connect(dsn) as connection:
        yield connection
        connection.rollback()
    sql.run("DROP TABLE orders")
    sql.run("DROP FUNCTION order_placed, orders_paid")


def test_the_job_is_there_when_the_order_is(shop: psycopg.Connection, dsn: str) -> None:
    shop.execute("INSERT INTO orders VALUES (1)")
    assert_nothing_added(dsn=dsn)
    shop.commit()
    assert_added("receipt", queue="mail", data={"order": 1}, count=1, dsn=dsn)


def test_a_rollback_takes_the_job_with_the_order(
    shop: psycopg.Connection, sql: Sql
) -> None:
    shop.execute("INSERT INTO orders VALUES (1)")
    assert_added("receipt", queue="mail", count=1, connection=shop)
    shop.rollback()
    assert sql.value("SELECT count(*) FROM pgqueue.job") == 0


def test_a_savepoint_takes_only_its_own(shop: psycopg.Connection, sql: Sql) -> None:
    with shop.transaction():
        shop.execute("INSERT INTO orders VALUES (1)")
        with shop.transaction(force_rollback=True):
            shop.execute("INSERT INTO orders VALUES (2)")
    assert [job.data for job in sql.all(JOBS)] == [{"order": 1}]


def test_a_statement_that_changes_many_adds_a_job_for_each_once(
    shop: psycopg.Connection, sql: Sql
) -> None:
    shop.execute("INSERT INTO orders SELECT generate_series(1, 200)")
    shop.execute("UPDATE orders SET paid = true WHERE id <= 150")
    shop.execute("UPDATE orders SET paid = true")
    shop.execute("UPDATE orders SET paid = paid")
    shop.commit()
    thanks = sql.all("SELECT key FROM pgqueue.jobs WHERE name = 'thanks'")
    assert sorted(job.key for job in thanks) == sorted(
        f"thanks-{n}" for n in range(1, 201)
    )
    shop.execute("UPDATE orders SET paid = false")
    shop.execute("UPDATE orders SET paid = true")
    shop.commit()
    assert len(sql.all("SELECT FROM pgqueue.jobs WHERE name = 'thanks'")) == 200


def test_an_update_that_pays_nothing_adds_nothing(
    shop: psycopg.Connection, sql: Sql
) -> None:
    shop.execute("UPDATE orders SET paid = true")
    shop.commit()
    assert sql.value("SELECT count(*) FROM pgqueue.job") == 0


def test_a_worker_runs_what_a_trigger_added(shop: psycopg.Connection, dsn: str) -> None:
    shop.execute("INSERT INTO orders VALUES (7)")
    [run] = run_pending(lambda job: job.data["order"], queue="mail", connection=shop)
    assert (run.job.name, run.result) == ("receipt", 7)
    shop.rollback()
    shop.execute("INSERT INTO orders VALUES (8)")
    shop.commit()
    Worker("mail", lambda job: job.data["order"], dsn=dsn).run(drain=True)
    with Queue("mail", dsn=dsn) as queue:
        [job] = queue.jobs("completed")
    assert (job.name, job.result) == ("receipt", 8)


def test_a_role_without_rights_can_add_through_a_definers_trigger(
    shop: psycopg.Connection, sql: Sql
) -> None:
    sql.run(
        "ALTER FUNCTION order_placed() SECURITY DEFINER"
        " SET search_path = pg_catalog, public, pg_temp"
    )
    sql.run("CREATE ROLE clerk_of_the_guide")
    try:
        sql.run("GRANT INSERT ON orders TO clerk_of_the_guide")
        shop.execute("SET ROLE clerk_of_the_guide")
        shop.execute("INSERT INTO orders VALUES (1)")
        shop.commit()
        assert len(sql.all(JOBS)) == 1
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            shop.execute("SELECT pgqueue.add('mail', 'receipt', '{}')")
        shop.rollback()
    finally:
        sql.run("DROP OWNED BY clerk_of_the_guide")
        sql.run("DROP ROLE clerk_of_the_guide")
