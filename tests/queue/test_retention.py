"""Pruning and trimming: every kept job satisfies its own bounds, in short batches."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from invariants import assert_consistent
from pgqueue import NewJob, Queue
from pgqueue.db.run import run
from pgqueue.ops import maintenance
from pgqueue.testing import travel

if TYPE_CHECKING:
    from collections.abc import Iterator

    from claims import HandWorker
    from conftest import Sql


@pytest.fixture
def queue(dsn: str) -> Iterator[Queue]:
    with Queue("paint", dsn=dsn) as made:
        yield made


def maintain(worker: HandWorker) -> tuple[int, int]:
    """Prune and trim once, as a worker does; return how many went by which."""
    pruned, _ = run(worker.connection, maintenance.prune(worker.queue_id, 0), "pgqueue")
    trimmed = run(worker.connection, maintenance.trim(worker.queue_id), "pgqueue")
    return pruned, trimmed


def finish(
    queue: Queue,
    worker: HandWorker,
    many: int = 1,
    state: str = "completed",
    **keep: Any,
) -> list[int]:
    """Add, run and finish jobs one after the other; return their ids, oldest first."""
    queue.add_bulk([NewJob("n")] * many)
    claimed = worker.claim(many)
    for job in claimed:
        worker.report(job, 1)
        worker.finish([job], state, error="it broke", **keep)
    return [job.id for job in claimed]


def pass_time(sql: Sql, seconds: float) -> None:
    travel(seconds=seconds, connection=sql.connection)


def left(sql: Sql) -> list[int]:
    return [row.id for row in sql.all("SELECT id FROM pgqueue.job ORDER BY id")]


def test_a_queue_keeps_completed_jobs_a_week_and_failed_ones_a_month(
    queue: Queue, worker: HandWorker, sql: Sql
) -> None:
    [done] = finish(queue, worker)
    [failed] = finish(queue, worker, state="failed")
    day = 86400
    for days, expected in ((6.9, [done, failed]), (0.2, [failed]), (22.8, [failed])):
        pass_time(sql, days * day)
        maintain(worker)
        assert left(sql) == expected
    pass_time(sql, 0.2 * day)
    assert maintain(worker) == (1, 0)
    assert left(sql) == []
    assert_consistent(sql)


def test_each_job_keeps_its_own_age_whatever_finishes_later(
    queue: Queue, worker: HandWorker, sql: Sql
) -> None:
    [long] = finish(queue, worker, keep=True, age=1000)
    [short] = finish(queue, worker, keep=True, age=10)
    [forever] = finish(queue, worker, keep=True)
    assert left(sql) == [long, short, forever]
    pass_time(sql, 11)
    assert maintain(worker) == (1, 0)
    assert left(sql) == [long, forever]
    pass_time(sql, 1000)
    maintain(worker)
    assert left(sql) == [forever]
    pass_time(sql, 10**9)
    assert maintain(worker) == (0, 0)
    assert_consistent(sql)


def test_a_count_trims_to_the_newest_of_the_latest_policy_that_gave_one(
    queue: Queue, worker: HandWorker, sql: Sql
) -> None:
    old = finish(queue, worker, 6, keep=True)
    five = finish(queue, worker, 2, keep=True, count=5)
    assert maintain(worker) == (0, 3)
    assert left(sql) == [*old[3:], *five]
    three = finish(queue, worker, keep=True, count=3)
    no_number = finish(queue, worker, keep=True, age=100)
    assert maintain(worker) == (0, 4)
    assert left(sql) == [five[1], *three, *no_number]
    assert_consistent(sql)


def test_a_kept_job_satisfies_both_bounds(
    queue: Queue, worker: HandWorker, sql: Sql
) -> None:
    ids = finish(queue, worker, 5, keep=True, age=100, count=3)
    assert maintain(worker) == (0, 2)
    assert left(sql) == ids[2:]
    pass_time(sql, 101)
    assert maintain(worker) == (3, 0)
    assert left(sql) == []


def test_the_states_are_trimmed_apart(
    queue: Queue, worker: HandWorker, sql: Sql
) -> None:
    done = finish(queue, worker, 3, keep=True, count=1)
    failed = finish(queue, worker, 4, state="failed", keep=True, count=2)
    assert maintain(worker) == (0, 4)
    assert left(sql) == [done[-1], *failed[-2:]]
    assert_consistent(sql)


def test_the_queues_own_columns_are_its_default(
    queue: Queue, worker: HandWorker, sql: Sql
) -> None:
    sql.run("UPDATE pgqueue.queue SET completed_age = 5, completed_count = 2")
    ids = finish(queue, worker, 4)
    assert maintain(worker) == (0, 2)
    assert left(sql) == ids[2:]
    pass_time(sql, 6)
    assert maintain(worker) == (2, 0)


def test_a_queue_without_bounds_keeps_for_ever(
    queue: Queue, worker: HandWorker, sql: Sql
) -> None:
    sql.run("UPDATE pgqueue.queue SET completed_age = NULL, failed_age = NULL")
    finish(queue, worker)
    finish(queue, worker, state="failed")
    pass_time(sql, 10**10)
    assert maintain(worker) == (0, 0)
    assert len(left(sql)) == 2


def test_a_queue_may_keep_nothing(queue: Queue, worker: HandWorker, sql: Sql) -> None:
    sql.run("UPDATE pgqueue.queue SET completed_count = 0")
    finish(queue, worker, 3)
    assert maintain(worker) == (0, 3)
    assert left(sql) == []


def test_what_has_not_finished_is_never_touched(
    queue: Queue, worker: HandWorker, sql: Sql
) -> None:
    queue.add("n")
    worker.claim()
    waiting, delayed = queue.add("n"), queue.add("n", delay=60)
    active = left(sql)[0]
    sql.run("UPDATE pgqueue.job SET created_at = created_at - interval '10 years'")
    finish_one = queue.add("n", priority=1)
    worker.claim(1)
    assert maintain(worker) == (0, 0)
    assert left(sql) == [active, waiting.id, delayed.id, finish_one.id]
    assert_consistent(sql)


def test_a_job_that_was_retried_is_not_pruned_by_its_old_age(
    queue: Queue, worker: HandWorker, sql: Sql
) -> None:
    [job] = finish(queue, worker, keep=True, age=1)
    pass_time(sql, 5)
    queue.retry(job)
    assert maintain(worker) == (0, 0)
    assert left(sql) == [job]
    assert_consistent(sql)


def test_many_jobs_go_in_many_short_statements(
    queue: Queue, worker: HandWorker, sql: Sql
) -> None:
    queue.add_bulk([NewJob("n")] * 3500)
    worker.finish(worker.claim(3500), keep=True, age=1)
    pass_time(sql, 5)
    op = maintenance.prune(worker.queue_id, 0)
    statements = 0
    rows = None
    while True:
        try:
            statement = next(op) if rows is None else op.send(rows)
        except StopIteration as stop:
            pruned, low = stop.value
            break
        rows = worker._execute(statement.name, dict(statement.params))
        statements += 1
    assert (pruned, statements) == (3500, 4)
    assert low > 0
    assert left(sql) == []
    assert_consistent(sql)


def test_trimming_goes_in_batches_too(
    queue: Queue, worker: HandWorker, sql: Sql
) -> None:
    queue.add_bulk([NewJob("n")] * 2600)
    worker.finish(worker.claim(2600), keep=True, count=50)
    assert maintain(worker) == (0, 2550)
    assert len(left(sql)) == 50


def test_rows_that_another_one_removes_are_skipped(
    queue: Queue, worker: HandWorker, sql: Sql, dsn: str
) -> None:
    ids = finish(queue, worker, 4, keep=True, age=1)
    pass_time(sql, 5)
    with psycopg.connect(dsn) as connection:
        connection.execute(
            "SELECT FROM pgqueue.finished WHERE job_id = %s FOR UPDATE", [ids[0]]
        )
        assert maintain(worker) == (3, 0)
    assert left(sql) == ids[:1]
    assert maintain(worker) == (1, 0)
    assert_consistent(sql)


def test_a_removed_outcome_takes_attempts_and_progress_along(
    queue: Queue, worker: HandWorker, sql: Sql
) -> None:
    queue.add("n", attempts=2)
    [claimed] = worker.claim()
    worker.report(claimed, 1)
    worker.finish([claimed], "waiting", failure=True, error="again")
    assert sql.value("SELECT count(*) FROM pgqueue.attempt") == 1
    worker.finish(worker.claim(), "removed")
    for table in ("job", "attempt", "progress", "lease", "finished"):
        assert sql.value(f"SELECT count(*) FROM pgqueue.{table}") == 0, table
