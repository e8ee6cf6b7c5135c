"""What holds in every database at every moment, whatever was done to it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import psycopg

    from conftest import Sql

STANDING = """
    SELECT queue_id, job_id, 'ready' AS place FROM {schema}.ready
    UNION ALL SELECT queue_id, job_id, 'delayed' FROM {schema}.delayed
    UNION ALL SELECT queue_id, job_id, 'finished' FROM {schema}.finished
    UNION ALL SELECT queue_id, job_id, 'blocked' FROM {schema}.blocked
    UNION ALL SELECT queue_id, unnest(job_ids), 'lease' FROM {schema}.lease
"""

QUESTIONS = {
    "a body stands in exactly one place": """
        SELECT j.id, array_agg(s.place) FROM {schema}.job j
        LEFT JOIN standing s ON s.queue_id = j.queue_id AND s.job_id = j.id
        GROUP BY j.queue_id, j.id HAVING count(s.place) <> 1
    """,
    "what stands somewhere has a body": """
        SELECT s.* FROM standing s LEFT JOIN {schema}.job j
            ON j.queue_id = s.queue_id AND j.id = s.job_id WHERE j.id IS NULL
    """,
    "an attempt has a body": """
        SELECT a.* FROM {schema}.attempt a LEFT JOIN {schema}.job j
            ON j.queue_id = a.queue_id AND j.id = a.job_id WHERE j.id IS NULL
    """,
    "progress has a body": """
        SELECT p.* FROM {schema}.progress p LEFT JOIN {schema}.job j
            ON j.queue_id = p.queue_id AND j.id = p.job_id WHERE j.id IS NULL
    """,
    "a log line has a body": """
        SELECT l.* FROM {schema}.log l LEFT JOIN {schema}.job j
            ON j.queue_id = l.queue_id AND j.id = l.job_id WHERE j.id IS NULL
    """,
    "a child that is waited for has not finished": """
        SELECT d.* FROM {schema}.dependency d LEFT JOIN standing s
            ON s.queue_id = d.queue_id AND s.job_id = d.child_id
        WHERE s.place IS NULL OR s.place = 'finished'
    """,
    "who waits for a child exists": """
        SELECT d.* FROM {schema}.dependency d LEFT JOIN {schema}.job j
            ON j.queue_id = d.parent_queue_id AND j.id = d.parent_id WHERE j.id IS NULL
    """,
    "who was left something exists": """
        SELECT s.* FROM {schema}.settled s LEFT JOIN {schema}.job j
            ON j.queue_id = s.queue_id AND j.id = s.parent_id WHERE j.id IS NULL
    """,
    "a child settles or is waited for": """
        SELECT d.* FROM {schema}.dependency d JOIN {schema}.settled s
            ON s.queue_id = d.parent_queue_id AND s.parent_id = d.parent_id
            AND s.child_queue_id = d.queue_id AND s.child_id = d.child_id
    """,
    "a deduplication id is of a job, or of a time that still runs": """
        SELECT d.* FROM {schema}.dedup d LEFT JOIN {schema}.job j
            ON j.queue_id = d.queue_id AND j.id = d.job_id
        WHERE j.id IS NULL AND d.expires_at IS NULL
    """,
    "the pending job of a schedule exists": """
        SELECT s.* FROM {schema}.schedule s LEFT JOIN {schema}.job j
            ON j.queue_id = s.queue_id AND j.id = s.job_id
        WHERE s.job_id IS NOT NULL AND j.id IS NULL
    """,
    "events are written exactly where somebody is subscribed": """
        SELECT q.* FROM {schema}.queue q WHERE q.events <> EXISTS (
            SELECT FROM {schema}.subscriber s WHERE s.queue_id = q.id)
    """,
    "a body has a queue": """
        SELECT j.id FROM {schema}.job j LEFT JOIN {schema}.queue q ON q.id = j.queue_id
        WHERE q.id IS NULL
    """,
    "a job that was never put back stands at its id": """
        SELECT r.* FROM {schema}.ready r WHERE NOT r.moved AND abs(r.seq) <> r.job_id
    """,
    "a waiting job of a group stands above the others, a plain one does not": """
        SELECT r.* FROM {schema}.ready r
        WHERE (r.priority >= 2097152) <> (r."group" IS NOT NULL)
            OR (r."group" IS NOT NULL AND NOT r.moved)
    """,
    "what stands somewhere is of the group of its body": """
        SELECT s.queue_id, s.job_id, s."group", j."group" AS own FROM (
            SELECT queue_id, job_id, "group" FROM {schema}.ready
            UNION ALL SELECT queue_id, job_id, "group" FROM {schema}.delayed
            UNION ALL SELECT queue_id, job_id, "group" FROM {schema}.blocked
            UNION ALL SELECT queue_id, unnest(job_ids), "group" FROM {schema}.lease
        ) AS s JOIN {schema}.job j ON j.queue_id = s.queue_id AND j.id = s.job_id
        WHERE s."group" IS DISTINCT FROM j."group"
    """,
    "a group with a waiting job is in line, comes to it, or is paused": """
        SELECT r.queue_id, r."group" FROM {schema}.ready r
        WHERE r."group" IS NOT NULL AND NOT EXISTS (
            SELECT FROM {schema}.line l
            WHERE l.queue_id = r.queue_id AND l."group" = r."group"
        ) AND NOT EXISTS (
            SELECT FROM {schema}.arrival a
            WHERE a.queue_id = r.queue_id AND a."group" = r."group"
        ) AND NOT EXISTS (
            SELECT FROM {schema}.group_limit g
            WHERE g.queue_id = r.queue_id AND g."group" = r."group" AND g.paused)
    """,
    "a queue with a job of a group is claimed from by groups": """
        SELECT j.id FROM {schema}.job j JOIN {schema}.queue q ON q.id = j.queue_id
        WHERE j."group" IS NOT NULL AND NOT q.grouped
    """,
    "a pending job of a schedule is of its occurrence": """
        SELECT s.key, j.id, s.next_at FROM {schema}.schedule s JOIN {schema}.job j
            ON j.queue_id = s.queue_id AND j.id = s.job_id
        WHERE j.options->>'schedule' IS DISTINCT FROM s.key
    """,
    "no occurrence of a schedule has two jobs": """
        SELECT j.queue_id, j.options->>'schedule' AS key,
            j.options->>'scheduled_at' AS at, count(*)
        FROM {schema}.job j WHERE j.options->>'schedule' IS NOT NULL
        GROUP BY 1, 2, 3 HAVING count(*) > 1
    """,
    "a paused schedule has no pending job": """
        SELECT s.key FROM {schema}.schedule s WHERE s.paused AND s.job_id IS NOT NULL
    """,
    "a lease has an attempt and a stall count for each job": """
        SELECT l.* FROM {schema}.lease l WHERE cardinality(l.attempts) <>
            cardinality(l.job_ids) OR cardinality(l.stalls) <> cardinality(l.job_ids)
    """,
}


def asking(schema: str = "pgqueue") -> str:
    """Return the query that finds the rules that do not hold."""
    parts = [
        f"(SELECT '{rule}' AS rule, to_json(broken) AS row"
        f" FROM ({query}) AS broken LIMIT 5)"
        for rule, query in QUESTIONS.items()
    ]
    text = f"WITH standing AS ({STANDING}) {' UNION ALL '.join(parts)}"
    return text.format(schema=schema)


def broken_rules(
    connection: psycopg.Connection[Any], schema: str = "pgqueue"
) -> list[tuple[str, Any]]:
    """Return the rules that do not hold, each with a row that says so; in one query."""
    rows = connection.execute(asking(schema)).fetchall()
    return [tuple(row) for row in rows]


def assert_consistent(sql: Sql, schema: str = "pgqueue") -> None:
    """Fail with the rows that contradict each other."""
    assert broken_rules(sql.connection, schema) == []
