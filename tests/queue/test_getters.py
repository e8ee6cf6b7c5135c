"""What a queue tells about its jobs, its workers and its last minutes."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, Any

import pytest

from pgqueue import ConfigError, Counts, Histogram, Worker
from working import drain, work_for

if TYPE_CHECKING:
    from claims import HandWorker
    from conftest import Sql
    from pgqueue import Queue


def test_only_the_states_asked_for_are_counted(
    queue: Queue, worker: HandWorker
) -> None:
    for priority in (0, 0, 0, 2):
        queue.add("a", priority=priority)
    queue.add("a", delay=60)
    worker.fail(worker.claim())
    assert queue.counts() == Counts(waiting=2, prioritized=1, delayed=1, failed=1)
    assert queue.counts("failed", "delayed") == Counts(delayed=1, failed=1)
    assert queue.counts("prioritized") == Counts(prioritized=1)
    with pytest.raises(ConfigError, match="states='paused' is not valid"):
        queue.counts("paused")


def test_counts_walk_over_indexes_only(queue: Queue, sql: Sql) -> None:
    queue.add("a")
    sql.run(
        "INSERT INTO pgqueue.finished (job_id, finished_at, queue_id, attempt,"
        " stalled, state) SELECT g, now(), 1, 1, 0,"
        " CASE WHEN g %% 100 = 0 THEN 'failed' ELSE 'completed' END"
        " FROM generate_series(100, %s) g",
        [20000],
    )
    sql.run("VACUUM ANALYZE pgqueue.finished")
    text = _text("count_jobs")
    params = {"queue": "paint", "states": ["failed"]}
    rows = sql.all(f"EXPLAIN (ANALYZE, COSTS off) {text}", params)
    plan = "\n".join(row[0] for row in rows)
    assert "Index Only Scan using finished_order" in plan
    assert heap_fetches(plan) <= 1000
    # Nothing was done about the other states.
    assert plan.count("Scan") == 2, plan
    assert queue.counts("failed").failed == 200


def heap_fetches(plan: str) -> int:
    """Return for how many rows the table was read; VACUUM skips a page in use."""
    return sum(int(count) for count in re.findall(r"Heap Fetches: (\d+)", plan))


STANDING = {
    "waiting": "ready (job_id, seq, queue_id, priority, attempt, stalled, moved)"
    " SELECT g, g, {queue}, g %% 2, 0, 0, false",
    "delayed": "delayed (queue_id, job_id, run_at, priority, attempt, stalled)"
    " SELECT {queue}, g, now() + interval '1 hour', 0, 0, 0",
    "waiting_children": "blocked (queue_id, job_id, priority, attempt, stalled)"
    " SELECT {queue}, g, 0, 0, 0",
}


@pytest.mark.parametrize(
    ("state", "like"), [*((one, one) for one in STANDING), ("prioritized", "waiting")]
)
def test_what_has_not_finished_is_counted_by_index_too(
    queue: Queue, sql: Sql, state: str, like: str
) -> None:
    """A queue that has the server to itself may be read from the narrow table instead."""
    queue.pause()
    rows = STANDING[like].format(queue="CASE WHEN g <= %s THEN 1 ELSE 2 END")
    sql.run(
        f"INSERT INTO pgqueue.{rows} FROM generate_series(1, %s) g", [20000, 200000]
    )
    sql.run(f"VACUUM ANALYZE pgqueue.{rows.partition(' ')[0]}")
    params = {"queue": "paint", "states": [state]}
    explained = sql.all(f"EXPLAIN (ANALYZE, COSTS off) {_text('count_jobs')}", params)
    plan = "\n".join(row[0] for row in explained)
    assert "Index Only Scan using" in plan, plan
    assert heap_fetches(plan) <= 1000, plan
    assert plan.count("Scan") == 2, plan
    expected = 10000 if like == "waiting" else 20000
    assert getattr(queue.counts(state), state) == expected


def test_waiting_jobs_are_counted_by_priority(queue: Queue) -> None:
    for priority in (0, 3, 3):
        queue.add("a", priority=priority)
    assert queue.counts_per_priority([0, 1, 3]) == {0: 1, 1: 0, 3: 2}
    for wrong in ("1", [-1], 1):
        with pytest.raises(ConfigError):
            queue.counts_per_priority(wrong)  # type: ignore[arg-type]


def test_workers_are_listed_with_what_they_hold(
    queue: Queue, worker: HandWorker, new_worker: Any
) -> None:
    new_worker("other")
    queue.add("a")
    worker.claim()
    [info] = queue.workers()
    assert (info.id, info.name, info.active) == (worker.id, f"worker-{worker.id}", 1)
    assert info.alive
    assert info.queues == ("paint",)
    worker.miss_heartbeats()
    [info] = queue.workers()
    assert not info.alive


def test_a_minute_tells_what_was_done_in_it(queue: Queue, sql: Sql) -> None:
    async def handler(job: Any) -> None:
        if job.name == "bad":
            raise ValueError

    async def work() -> None:
        await drain(Worker("paint", handler, dsn=queue._settings.dsn))

    for _ in range(2):
        for name in ("good", "good", "bad"):
            queue.add(name)
        asyncio.run(work())
    found = queue.metrics()
    assert sum(minute.completed for minute in found) == 4
    assert sum(minute.failed for minute in found) == 2
    assert sum(minute.duration.total for minute in found) == 6
    assert sum(minute.latency.total for minute in found) == 6
    assert 0 < (found[0].latency.quantile(0.5) or 0) < 60
    # A row for each worker and minute.
    assert sql.value("SELECT count(DISTINCT worker_id) FROM pgqueue.metric") == 2
    with pytest.raises(ConfigError):
        queue.metrics(0)


def test_a_minute_tells_how_long_jobs_have_waited_and_run(
    queue: Queue, sql: Sql
) -> None:
    async def handler(job: Any) -> None:
        await work_for(0.06)

    for _ in range(3):
        queue.add("plain")
    # These have waited for something else.
    queue.add("first", lifo=True)
    queue.promote(queue.add("later", delay=60).id)
    sql.run("UPDATE pgqueue.job SET created_at = created_at - interval '1 hour'")
    asyncio.run(drain(Worker("paint", handler, dsn=queue._settings.dsn)))
    found = queue.metrics()
    assert sum(minute.latency.total for minute in found) == 3
    assert sum(minute.duration.total for minute in found) == 5
    for minute in found:
        assert (minute.duration.quantile(0.0) or 1) >= 0.06
        assert (minute.duration.quantile(1.0) or 0) < 3600
        assert (minute.latency.quantile(0.0) or 3600) >= 3600
        assert (minute.latency.quantile(1.0) or 0) < 3 * 3600


def test_old_minutes_are_removed(queue: Queue, sql: Sql) -> None:
    queue.add("a")
    for days in (1, 8):
        sql.run(
            "INSERT INTO pgqueue.metric VALUES (now() - %s * interval '1 day',"
            " 1, 1, 1, 0, '{}', '{}')",
            [days],
        )
    sql.all(_text("trim_metrics"), {"queue_id": 1, "limit": 10})
    assert sql.value("SELECT count(*) FROM pgqueue.metric") == 1


def test_a_quantile_is_the_bound_of_its_bucket() -> None:
    counts = [0] * 32
    counts[3], counts[5] = 9, 1
    histogram = Histogram(tuple(counts))
    assert (histogram.quantile(0.5), histogram.quantile(0.99)) == (0.008, 0.032)
    assert Histogram().quantile(0.5) is None


def _text(name: str) -> str:
    from pgqueue import sql as statements  # noqa: PLC0415

    return statements.load(name).decode()
