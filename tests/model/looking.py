"""What the database says, in the words of the books."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from invariants import asking
from model.lines import EVER, Allowed

if TYPE_CHECKING:
    from psycopg import Connection

    from model.cadences import ScheduleBooks

ASKED = {
    "waits": "SELECT child_id, parent_id, policy FROM pgqueue.dependency",
    "settled": "SELECT parent_id, child_id, state, policy, counted FROM pgqueue.settled",
    "ids": "SELECT q.name, d.dedup_id, d.job_id, d.expires_at IS NOT NULL AS timed,"
    " d.next IS NOT NULL AS kept FROM pgqueue.dedup d"
    " JOIN pgqueue.queue q ON q.id = d.queue_id",
    "told": "SELECT job_id, name, count(*) FROM pgqueue.event"
    " WHERE job_id IS NOT NULL GROUP BY job_id, name",
}
ASKED["jobs"] = """
    WITH standing AS (
        SELECT queue_id, job_id, 'waiting' AS state, seq::double precision AS place,
            priority, attempt, stalled FROM pgqueue.ready
        UNION ALL SELECT queue_id, job_id, 'delayed', date_part('epoch', run_at),
            priority, attempt, stalled FROM pgqueue.delayed
        UNION ALL SELECT queue_id, job_id, 'waiting_children', 0,
            priority, attempt, stalled FROM pgqueue.blocked
        UNION ALL SELECT l.queue_id, a.job_id, 'active', 0, NULL, a.attempt, a.stalled
            FROM pgqueue.lease l CROSS JOIN LATERAL
            unnest(l.job_ids, l.attempts, l.stalls) AS a(job_id, attempt, stalled)
        UNION ALL SELECT queue_id, job_id, state, date_part('epoch', finished_at),
            NULL, attempt, stalled FROM pgqueue.finished
    )
    SELECT j.id, q.name, s.state, coalesce(s.priority & 2097151, j.priority), s.attempt,
        s.stalled, s.place, j.data, p.value, (
            SELECT json_agg(json_build_array(a.attempt, a.error)
                ORDER BY a.finished_at, a.attempt)
            FROM pgqueue.attempt a WHERE a.queue_id = j.queue_id AND a.job_id = j.id
        ) AS failures, (
            SELECT json_agg(l.line ORDER BY l.id)
            FROM pgqueue.log l WHERE l.queue_id = j.queue_id AND l.job_id = j.id) AS lines
    FROM pgqueue.job j JOIN pgqueue.queue q ON q.id = j.queue_id
    JOIN standing s ON s.queue_id = j.queue_id AND s.job_id = j.id
    LEFT JOIN pgqueue.progress p ON p.queue_id = j.queue_id AND p.job_id = j.id
"""

ASKED["arrivals"] = """
    SELECT q.name, a."group", a.again FROM pgqueue.arrival a
    JOIN pgqueue.queue q ON q.id = a.queue_id
    GROUP BY q.name, a."group", a.again ORDER BY min(a.id)
"""
ASKED["lines"] = """
    SELECT q.name, l."group", l.until::text, l.until = 'infinity' AS ever FROM pgqueue.line l
    JOIN pgqueue.queue q ON q.id = l.queue_id ORDER BY l.turn
"""
ASKED["limits"] = """
    SELECT q.name, l."group", l.paused, l.concurrency, l.rate_max
    FROM pgqueue.group_limit l JOIN pgqueue.queue q ON q.id = l.queue_id
    WHERE l.paused OR num_nonnulls(l.concurrency, l.rate_max) > 0
"""
ASKED["holds"] = """
    SELECT q.name, l."group" FROM pgqueue.group_limit l
    JOIN pgqueue.queue q ON q.id = l.queue_id
    WHERE l.limited_until > clock_timestamp()
"""
ASKED["starts"] = """
    SELECT q.name, r."group", sum(r.count) FROM pgqueue.group_rate r
    JOIN pgqueue.queue q ON q.id = r.queue_id
    WHERE r.passed_at > clock_timestamp() GROUP BY 1, 2
"""

ASKED["schedules"] = """
    SELECT q.name, s.key, s.job_id, s.iteration, s.behind, s.paused,
        date_part('epoch', s.next_at - now.instant) AS next,
        date_part('epoch', s.last_at - now.instant) AS last
    FROM pgqueue.schedule s JOIN pgqueue.queue q ON q.id = s.queue_id
    CROSS JOIN (SELECT clock_timestamp() AS instant) AS now
"""
ASKED["broken"] = asking()
QUESTION = "SELECT json_build_object({})".format(
    ", ".join(
        f"'{name}', (SELECT json_agg(one) FROM ({text}) AS one)"
        for name, text in ASKED.items()
    )
)
ABOUT = 45.0
"""How long a game may take, in seconds; nothing happens so near to something else."""


def check(connection: Connection[Any], books: ScheduleBooks, followed: str) -> None:
    """Compare the database with the books, and learn the new places from it."""
    found = ask(connection)
    assert found["broken"] == []
    rows = found["jobs"]
    jobs = books.jobs
    assert {row[0]: row[1:6] + row[7:] for row in rows} == {
        j.id: (
            *(j.queue, j.state, j.priority, j.attempt, j.stalled, j.data, j.progress),
            *([list(one) for one in j.failures] or None, j.lines or None),
        )
        for j in jobs.values()
    }
    for row in rows:
        job = jobs[row[0]]
        if job.fresh or job.state in ("completed", "failed", "delayed"):
            job.place, job.fresh = row[6], False
        elif job.state == "waiting":
            assert job.place == row[6], f"job {job.id} was moved"
    assert {row[0]: row[1:] for row in found["waits"]} == books.waits
    blocked = {row[0] for row in rows if row[2] == "waiting_children"}
    # Those whose worker died before it looked at them are left to maintenance.
    idle = blocked - {row[1] for row in found["waits"]} - books.left
    assert not idle, "parents wait for nothing"
    assert {row[:2]: row[2:] for row in found["settled"]} == {
        key: (one.state, one.policy, one.counted) for key, one in books.settled.items()
    }
    assert {row[:2]: row[2:] for row in found["ids"]} == {
        place: (one.job, one.until is not None, one.kept_back is not None)
        for place, one in books.ids.items()
    }
    assert Counter({row[:2]: row[2] for row in found["told"]}) == Counter(
        {
            key: count
            for key, count in books.told.items()
            if books.homes[key[0]] == followed
        }
    )
    check_groups(found, books)
    check_schedules(found["schedules"], books)


def ask(connection: Connection[Any]) -> dict[str, list[Any]]:
    """Return the rows that answer every question; in one query, which is quicker."""
    row = connection.execute(QUESTION).fetchone()
    assert row is not None
    return {
        name: [tuple(found.values()) for found in rows or ()]
        for name, rows in row[0].items()
    }


def check_groups(found: dict[str, list[Any]], books: ScheduleBooks) -> None:
    """Compare the line, what comes to it, and what groups may do and did."""
    arrivals: dict[str, list[Any]] = {}
    for queue, *arrival in found["arrivals"]:
        arrivals.setdefault(queue, []).append(tuple(arrival))
    assert {queue: set(coming) for queue, coming in arrivals.items()} == {
        queue: set(coming) for queue, coming in books.arrivals.items() if coming
    }
    books.arrivals = arrivals
    lines: dict[str, list[str]] = {}
    out: dict[Any, float | None] = {}
    for queue, group, until, ever in found["lines"]:
        if until is None:
            lines.setdefault(queue, []).append(group)
        else:
            out[queue, group] = EVER if ever else None
    assert lines == {queue: line for queue, line in books.lines.items() if line}
    assert out == {
        place: EVER if until == EVER else None for place, until in books.out.items()
    }
    assert {row[:2]: row[2:] for row in found["limits"]} == {
        place: (one.paused, one.most, one.starts)
        for place, one in books.own.items()
        if one != Allowed()
    }
    assert set(found["holds"]) == books.held()
    counted = Counter(place for place, at in books.group_starts if at == books.now)
    assert {row[:2]: row[2] for row in found["starts"]} == counted


def check_schedules(rows: list[Any], books: ScheduleBooks) -> None:
    """Compare schedules: their pending jobs, what they have made, and when."""
    found = {row[:2]: row[2:] for row in rows}
    assert {place: row[:4] for place, row in found.items()} == {
        place: (one.job, one.count, one.behind, one.paused)
        for place, one in books.schedules.items()
    }
    for place, one in books.schedules.items():
        for told, is_so in zip(found[place][4:], (one.next, one.last), strict=True):
            assert (told is None) == (is_so is None)
            if told is not None and is_so is not None:
                assert abs(books.now + told - is_so) < ABOUT, f"{place} fires then"
