"""The same work in bare SQL, on pgqueue's own tables: what a queue cannot beat."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from benchmarks.lab import connect

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.lab import Connection

FILL: Final = """
WITH made AS (
    INSERT INTO pgqueue.job (id, created_at, queue_id, priority, attempts, name, data)
    SELECT nextval('pgqueue.job_seq'), clock_timestamp(), %(queue_id)s, 0, 1, 'noop',
        %(data)s::json
    FROM generate_series(1, %(jobs)s)
    RETURNING id
)
INSERT INTO pgqueue.ready (job_id, seq, queue_id, priority, attempt, stalled, moved)
SELECT id, id, %(queue_id)s, 0, 0, 0, false FROM made
"""

ADD: Final = """
WITH made AS (
    INSERT INTO pgqueue.job (id, created_at, queue_id, priority, attempts, name, data)
    SELECT nextval('pgqueue.job_seq'), now(), %(queue_id)s, 0, 1, name, data::json
    FROM unnest(%(names)s::text[], %(data)s::text[]) AS u(name, data)
    RETURNING id
)
INSERT INTO pgqueue.ready (job_id, seq, queue_id, priority, attempt, stalled, moved)
SELECT id, id, %(queue_id)s, 0, 0, 0, false FROM made
RETURNING job_id
"""

ADD_ONE: Final = """
WITH made AS (
    INSERT INTO pgqueue.job (id, created_at, queue_id, priority, attempts, name, data)
    VALUES (nextval('pgqueue.job_seq'), now(), %(queue_id)s, 0, 1, %(name)s, %(data)s)
    RETURNING id
)
INSERT INTO pgqueue.ready (job_id, seq, queue_id, priority, attempt, stalled, moved)
SELECT id, id, %(queue_id)s, 0, 0, 0, false FROM made
RETURNING job_id
"""

CLAIM: Final = """
DELETE FROM pgqueue.ready WHERE ctid = ANY(ARRAY(
    SELECT r.ctid FROM pgqueue.ready r WHERE r.queue_id = %(queue_id)s
    ORDER BY r.priority, r.seq LIMIT %(batch)s FOR UPDATE SKIP LOCKED
))
RETURNING job_id
"""

REMOVE: Final = """
DELETE FROM pgqueue.job WHERE queue_id = %(queue_id)s AND id = ANY(%(ids)s)
"""

KEEP: Final = """
INSERT INTO pgqueue.finished (job_id, started_at, finished_at, expires_at, queue_id,
    attempt, stalled, state, result)
SELECT id, now(), now(), now() + interval '7 days', %(queue_id)s, 1, 0, 'completed',
    'null'
FROM unnest(%(ids)s::bigint[]) AS u(id)
"""

SINGLE_TABLE: Final = """
CREATE TABLE IF NOT EXISTS single_job (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    created_at timestamptz NOT NULL DEFAULT now(),
    queue_id integer NOT NULL,
    priority integer NOT NULL DEFAULT 0,
    state text NOT NULL DEFAULT 'waiting',
    name text NOT NULL,
    data json NOT NULL
);
CREATE INDEX IF NOT EXISTS single_job_waiting
    ON single_job (queue_id, priority, id) WHERE state = 'waiting'
"""

ADD_SINGLE: Final = """
INSERT INTO single_job (queue_id, name, data)
SELECT %(queue_id)s, name, data::json
FROM unnest(%(names)s::text[], %(data)s::text[]) AS u(name, data)
RETURNING id
"""


def fill(
    connection: Connection,
    queue_id: int,
    jobs: int,
    data: str,
    *,
    analyze: bool = True,
) -> None:
    """Put jobs in, all with the same data, and let the planner know of them."""
    connection.execute(FILL, {"queue_id": queue_id, "jobs": jobs, "data": data})
    if analyze:
        connection.execute("ANALYZE pgqueue.job, pgqueue.ready")


def add(
    connection: Connection, queue_id: int, data: Sequence[str], statement: str = ADD
) -> None:
    """Add jobs, a thousand a statement and commit."""
    for start in range(0, len(data), 1000):
        part = data[start : start + 1000]
        params = {"queue_id": queue_id, "names": ["noop"] * len(part), "data": part}
        connection.execute(statement, params).fetchall()


def drain(dsn: str, queue_id: int, batch: int, *, keep: bool) -> int:
    """Claim and finish, a batch each, on one connection; return how many jobs went."""
    done = 0
    finish = KEEP if keep else REMOVE
    with connect(dsn) as connection:
        connection.execute("SET enable_seqscan = off")
        connection.execute("SET enable_bitmapscan = off")
        while rows := claim(connection, queue_id, batch):
            params = {"queue_id": queue_id, "ids": [row[0] for row in rows]}
            connection.execute(finish, params)
            done += len(rows)
    return done


def claim(connection: Connection, queue_id: int, batch: int) -> list[tuple[Any, ...]]:
    """Take the next jobs out of `ready`."""
    return connection.execute(CLAIM, {"queue_id": queue_id, "batch": batch}).fetchall()
