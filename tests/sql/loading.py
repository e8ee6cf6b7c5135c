"""Fill a database with jobs of every state, and with groups, by the thousand."""

from __future__ import annotations

from typing import Any

import psycopg

LOAD = """
    INSERT INTO pgqueue.queue (id, name) OVERRIDING SYSTEM VALUE
        VALUES (1, 'paint'), (2, 'other'), (3, 'tenants');
    INSERT INTO pgqueue.job (id, created_at, queue_id, priority, attempts, name, data, key)
    SELECT n, now(), 1, n %% 3, 3, 'n', '{"a": 1}',
        CASE WHEN n %% 100 = 0 THEN 'key-' || n END
    FROM generate_series(1, %(many)s) n;
    INSERT INTO pgqueue.ready (job_id, seq, queue_id, priority, attempt, stalled, moved)
    SELECT n, CASE WHEN n %% 97 = 0 THEN %(many)s + n ELSE n END, 1, n %% 3, 0, 0,
        n %% 97 = 0
    FROM generate_series(1, %(many)s * 4 / 10) n;
    INSERT INTO pgqueue.delayed (job_id, run_at, queue_id, priority, attempt, stalled)
    SELECT n, now() + (n - %(many)s / 2) * interval '1s', 1, n %% 3, 0, 0
    FROM generate_series(%(many)s * 4 / 10 + 1, %(many)s * 6 / 10) n;
    INSERT INTO pgqueue.lease
        (id, worker_id, claimed_at, queue_id, job_ids, attempts, stalls)
    SELECT n, n %% 5, now(), 1, array[n], array[1], array[0]
    FROM generate_series(%(many)s * 6 / 10 + 1, %(many)s * 6 / 10 + 500) n;
    INSERT INTO pgqueue.finished (job_id, finished_at, expires_at, keep_count, queue_id,
        attempt, stalled, state, result)
    SELECT n, now() - n * interval '1s',
        CASE WHEN n %% 2 = 0 THEN now() - n * interval '1s' END,
        CASE WHEN n %% 5 = 0 THEN 1000 END, 1, 1, 0,
        CASE WHEN n %% 10 = 0 THEN 'failed' ELSE 'completed' END, '1'
    FROM generate_series(%(many)s * 6 / 10 + 501, %(many)s) n;
    INSERT INTO pgqueue.attempt (job_id, finished_at, queue_id, attempt, error)
    SELECT n, now(), 1, 1, 'it broke' FROM generate_series(1, %(many)s, 10) n;
    INSERT INTO pgqueue.progress (job_id, updated_at, queue_id, value)
    SELECT n, now(), 1, '1' FROM generate_series(1, %(many)s, 7) n;
    SELECT setval('pgqueue.job_seq', 10 * %(many)s);
"""
LOAD_GROUPS = """
    UPDATE pgqueue.queue SET grouped = true, group_concurrency = 5 WHERE id = 3;
    INSERT INTO pgqueue.job (id, created_at, queue_id, priority, attempts, name, data, "group")
    SELECT n, now(), 3, 0, 3, 'n', '{"a": 1}', 'g' || n
    FROM generate_series(1, %(many)s / 10) n;
    INSERT INTO pgqueue.ready
        (job_id, seq, queue_id, priority, attempt, stalled, moved, "group")
    SELECT n, n, 3, 2097152, 0, 0, true, 'g' || n
    FROM generate_series(101, %(many)s / 10) n;
    INSERT INTO pgqueue.lease
        (id, worker_id, claimed_at, queue_id, job_ids, attempts, stalls, "group")
    SELECT %(many)s + n, n %% 5, now(), 3, array[n], array[1], array[0], 'g' || n
    FROM generate_series(1, least(100, %(many)s / 10)) n;
    INSERT INTO pgqueue.line (turn, queue_id, "group", until)
    SELECT n, 3, 'g' || n, CASE WHEN n %% 10 = 0 THEN now() + interval '1 hour' END
    FROM generate_series(101, %(many)s / 10) n;
    INSERT INTO pgqueue.arrival (queue_id, "group")
    SELECT 3, 'g' || n FROM generate_series(1, least(100, %(many)s / 10)) n;
    INSERT INTO pgqueue.group_limit (queue_id, "group", concurrency, rate_max, rate_window)
    SELECT 3, 'g' || n, 3, 100, 60.0 FROM generate_series(1, %(many)s / 10) n;
    INSERT INTO pgqueue.group_rate (claimed_at, passed_at, queue_id, count, "group")
    SELECT now() + (n - %(many)s / 20) * interval '1s',
        now() + (n + 60 - %(many)s / 20) * interval '1s', 3, 1, 'g' || n
    FROM generate_series(1, %(many)s / 10) n;
"""
OF_GROUPS = ("line", "arrival", "group_limit", "group_rate")
TABLES = ("job", "ready", "delayed", "lease", "finished", "attempt", "progress")


def load(dsn: str, many: int, *, analyse: bool, settings: bool = True) -> None:
    """Load *many* jobs; without *analyse* nobody else gathers statistics either."""
    with psycopg.connect(dsn, cursor_factory=psycopg.ClientCursor) as connection:
        for table in (*TABLES, *OF_GROUPS) if settings else ():
            connection.execute(
                f"ALTER TABLE pgqueue.{table} SET (autovacuum_enabled = off)"
            )
        connection.execute(LOAD + LOAD_GROUPS, {"many": many})
    if analyse:
        with psycopg.connect(dsn, autocommit=True) as connection:
            connection.execute("VACUUM ANALYZE")


def counts(connection: psycopg.Connection[Any]) -> dict[str, int]:
    """Return how many rows each table has."""
    found = {}
    for table in TABLES:
        row = connection.execute(f"SELECT count(*) FROM pgqueue.{table}").fetchone()
        assert row is not None
        found[table] = row[0]
    return found
