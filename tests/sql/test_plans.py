"""Every statement finds its rows by index, on any table and by a plan of any age."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from pgqueue import Queue
from pgqueue import sql as statements
from pgqueue.db import pool
from sql.loading import OF_GROUPS, counts, load
from sql.plans import (
    ADD_PARTS,
    FEW,
    PARAMETERS,
    READ_THROUGH,
    WALKED,
    Prepared,
    blind_lookups,
    full_scans,
    plan,
    plan_by_index,
    rows_read,
    sorted_tables,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from psycopg import Connection

    from server import Server

BIG = {"job", "ready", "delayed", "finished", "attempt", "progress", *OF_GROUPS}
SIZES = {"empty": 0, "unanalysed": 100_000, "a million": 1_000_000}


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(size, marks=[pytest.mark.slow] if many > 100_000 else [])
        for size, many in SIZES.items()
    ],
)
def database(
    request: pytest.FixtureRequest, pg_server: Server, worker_id: str
) -> Iterator[str]:
    """A database that nobody else uses, with so many jobs in it."""
    name = f"pgqueue_plans_{pg_server.token}_{worker_id}"
    pg_server.drop(name)
    dsn = pg_server.create(name, template=pg_server.template)
    if many := SIZES[request.param]:
        load(dsn, many, analyse=request.param == "a million")
    yield dsn
    pg_server.drop(name)


@pytest.fixture
def connection(database: str) -> Iterator[Connection[Any]]:
    """A transaction that is rolled back."""
    with psycopg.connect(database) as made:
        yield made
        made.rollback()


def text(name: str) -> str:
    return ADD_PARTS[name] if name in ADD_PARTS else statements.load(name).decode()


def params(name: str) -> dict[str, Any]:
    return {"queue_id": 1, "key": "k", "name": "n"} | PARAMETERS.get(name, {})


def test_every_statement_on_a_large_table_is_held_to_its_plan() -> None:
    large = re.compile(rf"\bpgqueue\.({'|'.join(sorted(BIG))})\b")
    found = {
        path.stem
        for path in Path(statements.__file__).parent.glob("*.sql")
        if large.search(path.read_text())
    }
    assert found - READ_THROUGH.keys() <= PARAMETERS.keys()
    assert READ_THROUGH.keys() <= found


@pytest.mark.parametrize("name", [*PARAMETERS, *ADD_PARTS])
def test_a_generic_plan_by_index_reads_no_table_through(
    connection: Connection[Any], name: str
) -> None:
    plan_by_index(connection)
    found = plan(connection, text(name), params(name))
    assert set(full_scans(found)) <= FEW.get(name, set())


@pytest.mark.parametrize("name", PARAMETERS)
def test_a_generic_plan_by_index_looks_each_job_up_by_its_id(
    connection: Connection[Any], name: str
) -> None:
    plan_by_index(connection)
    found = blind_lookups(plan(connection, text(name), params(name)))
    assert found == WALKED.get(name, [])


@pytest.mark.parametrize(
    "name",
    # claim_grouped sorts what it picked, of several groups.
    [
        n
        for n in PARAMETERS
        if n.startswith(("claim_j", "claim_l", "drain", "list_w", "list_d"))
    ],
)
def test_no_plan_sorts_what_the_index_has_in_order(
    connection: Connection[Any], name: str
) -> None:
    plan_by_index(connection)
    found = plan(connection, text(name), params(name))
    assert not {"ready", "delayed", "finished"} & set(sorted_tables(found))


@pytest.mark.parametrize("name", [*PARAMETERS, *ADD_PARTS])
def test_without_any_setting_no_large_table_is_read_through(
    connection: Connection[Any], name: str
) -> None:
    """Callers' connections, and ours outside the worker, have the defaults."""
    if not counts(connection)["job"]:
        pytest.skip("reading an empty table is the best plan for it")
    if name in (
        "claim_jobs",
        "claim_limited",
        "claim_grouped",
        "form_line",
        "look_at_groups",
        "finish_jobs",
        "remove_completed",
        "promote_jobs",
    ):
        pytest.skip("the worker plans these by index")
    anew = name in statements.PLANNED_ANEW
    found = plan(connection, text(name), params(name), generic=not anew)
    assert not BIG & set(full_scans(found))


@pytest.mark.parametrize(
    ("name", "table"),
    [
        *(("drain_waiting", "ready"), ("drain_delayed", "delayed")),
        *(("drain_finished", "finished"), ("prune_finished", "finished")),
        *(("trim_finished", "finished"), ("claim_jobs", "ready")),
        *(("promote_jobs", "delayed"), ("claim_limited", "ready")),
    ],
)
def test_a_limit_is_exact(connection: Connection[Any], name: str, table: str) -> None:
    before = counts(connection)
    if not before["job"]:
        pytest.skip("needs jobs")
    plan_by_index(connection)
    connection.execute("SET LOCAL plan_cache_mode = force_generic_plan")
    connection.execute(statements.load(name), params(name), prepare=True)
    after = counts(connection)
    assert before[table] - after[table] == params(name)["limit"]
    if name not in ("claim_jobs", "claim_limited", "promote_jobs"):
        assert before["job"] - after["job"] == params(name)["limit"]


@pytest.fixture(scope="module")
def aged(pg_server: Server, worker_id: str) -> Iterator[Prepared]:
    """Statements that were planned on empty tables, and the tables full since."""
    name = f"pgqueue_aged_{pg_server.token}_{worker_id}"
    pg_server.drop(name)
    dsn = pg_server.create(name, template=pg_server.template)
    load(dsn, 10, analyse=False)
    with psycopg.connect(dsn) as connection:
        tables = ", ".join(
            f"pgqueue.{table}" for table in (*sorted(BIG), "lease", "queue")
        )
        connection.execute(f"TRUNCATE {tables} RESTART IDENTITY")
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("BEGIN")
        plan_by_index(connection)
        connection.execute("SET plan_cache_mode = force_generic_plan")
        prepared = Prepared(connection)
        for each in PARAMETERS:
            prepared.prepare(each, text(each), params(each))
        connection.execute("COMMIT")
        load(dsn, 100_000, analyse=False, settings=False)
        yield prepared
    pg_server.drop(name)


@pytest.mark.parametrize("name", PARAMETERS)
def test_a_plan_made_on_empty_tables_reads_few_rows_when_they_are_full(
    aged: Prepared, name: str
) -> None:
    aged.connection.execute("BEGIN")
    try:
        if name == "promote_jobs":
            aged.connection.execute(
                "UPDATE pgqueue.delayed SET run_at = run_at + interval '1 year'"
            )
        limit = params(name).get("limit", 2)
        assert rows_read(aged.execute(name, params(name))) <= 30 * limit + 600
    finally:
        aged.connection.execute("ROLLBACK")


def test_a_queue_keeps_no_plan_of_what_does_much(dsn: str) -> None:
    """Its connection would have prepared the statements after a few calls."""
    with Queue("paint", dsn=dsn) as queue:
        for _ in range(12):
            queue.drain()
            queue.clean(0)
            queue.remove(1)
            queue.jobs()
            queue.add("n")
        with pool.connection(queue._settings, queue) as connection:
            rows = connection.execute("SELECT statement FROM pg_prepared_statements")
            prepared = {row[0].split()[1].rstrip(":") for row in rows}
    assert "add_jobs" in prepared
    assert not prepared & statements.PLANNED_ANEW
