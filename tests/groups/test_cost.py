"""What a claim costs does not depend on how many groups there are, or are held up."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from pgqueue import Queue
from pgqueue import sql as statements
from sql.plans import PARAMETERS, Prepared, plan_by_index, rows_read

if TYPE_CHECKING:
    from collections.abc import Iterator

    from psycopg import Connection

FILL = """
    INSERT INTO pgqueue.job (id, created_at, queue_id, priority, attempts, name, data, "group")
    SELECT n, now(), %(queue)s, 0, 1, 'n', 'null', 'g' || n / %(each)s
    FROM generate_series(0, %(many)s - 1) n;
    INSERT INTO pgqueue.ready
        (job_id, seq, queue_id, priority, attempt, stalled, moved, "group")
    SELECT n, n, %(queue)s, 2097152, 0, 0, true, 'g' || n / %(each)s
    FROM generate_series(0, %(many)s - 1) n;
    INSERT INTO pgqueue.line (turn, queue_id, "group", until)
    SELECT min(n), %(queue)s, 'g' || n / %(each)s,
        CASE WHEN n / %(each)s < %(held)s THEN now() + interval '1 hour' END
    FROM generate_series(0, %(many)s - 1) n GROUP BY n / %(each)s;
    SELECT setval('pgqueue.job_seq', 10 * %(many)s);
"""
LIMIT = 50


@pytest.fixture
def connection(dsn: str, queue: Queue) -> Iterator[Connection[Any]]:
    """A transaction that is rolled back, with plans made on empty tables."""
    queue.count()
    queue.add("n", group="first")
    queue.drain()
    with psycopg.connect(dsn, cursor_factory=psycopg.ClientCursor) as made:
        made.execute("DELETE FROM pgqueue.arrival")
        yield made
        made.rollback()


def read(
    connection: Connection[Any],
    *,
    groups: int,
    each: int = 1,
    held: int = 0,
    analysed: bool = False,
) -> dict[str, float]:
    """Return how many rows the statements of a claim look at."""
    row = connection.execute("SELECT id FROM pgqueue.queue WHERE name = 'work'")
    queue_id = row.fetchone()[0]  # type: ignore[index]
    plan_by_index(connection)
    if analysed:
        # So the planner knows that they are empty, which it would not believe otherwise.
        connection.execute("ANALYZE pgqueue.line, pgqueue.ready, pgqueue.arrival")
    prepared = Prepared(connection)
    params = PARAMETERS["claim_grouped"] | {"queue_id": queue_id, "ring": False}
    names = ("form_line", "claim_grouped", "look_at_groups")
    for name in names:
        prepared.prepare(name, statements.load(name).decode(), params)
    given = {"queue": queue_id, "many": groups * each, "each": each, "held": held}
    connection.execute(FILL, given)
    return {name: rows_read(prepared.execute(name, params)) for name in names}


@pytest.mark.parametrize("analysed", [False, True])
@pytest.mark.parametrize(
    ("groups", "each", "held"),
    [(100_000, 1, 0), (100, 200, 0), (100_000, 1, 99_900), (60, 300, 0)],
)
def test_a_claim_reads_a_few_rows_a_job(
    connection: Connection[Any], groups: int, each: int, held: int, *, analysed: bool
) -> None:
    found = read(connection, groups=groups, each=each, held=held, analysed=analysed)
    assert found["claim_grouped"] <= 30 * LIMIT, found
    assert found["form_line"] + found["look_at_groups"] <= 30, found
