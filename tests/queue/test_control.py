"""Retry, promote, change: what is in the right state moves, the rest is refused."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from threading import Barrier
from typing import TYPE_CHECKING, Any

import pytest

from invariants import assert_consistent
from pgqueue import (
    ConfigError,
    JobNotFound,
    JobState,
    JobStateError,
    NewJob,
    PayloadError,
    Queue,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from claims import HandWorker
    from conftest import Sql
    from shells import Shells


def fail_all(worker: HandWorker) -> None:
    while jobs := worker.claim(10):
        worker.fail(jobs)


def test_retry_keeps_the_attempts_unless_told(queue: Queue, worker: HandWorker) -> None:
    job = queue.add("n", attempts=3)
    worker.fail(worker.claim())
    assert queue.retry(job.id).attempt == 1
    worker.fail(worker.claim())
    back = queue.retry(job.id, reset_attempts=True)
    assert (back.state, back.attempt) == ("waiting", 0)
    assert len(queue.attempts(job.id)) == 2


def test_retry_all_takes_every_failed_job_in_the_order_of_failure(
    queue: Queue, worker: HandWorker, sql: Sql
) -> None:
    jobs = queue.add_bulk([NewJob("n", n) for n in range(2500)])
    batch = worker.claim(2500)
    worker.fail(batch)
    done = queue.add("done")
    worker.finish(worker.claim())
    assert queue.retry_all() == 2500
    assert [job.id for job in queue.jobs("waiting", limit=2500)] == [j.id for j in jobs]
    assert queue.get(done.id).state == "completed"
    assert queue.get(jobs[0].id).attempt == 1
    assert_consistent(sql)


def test_retry_all_by_name_time_state_and_number(
    queue: Queue, worker: HandWorker, sql: Sql
) -> None:
    ids = [queue.add(name).id for name in "abab"]
    fail_all(worker)
    queue.add("c")
    worker.finish(worker.claim())
    sql.run(
        "UPDATE pgqueue.finished SET finished_at = finished_at - interval '1 hour'"
        " WHERE job_id = %s",
        [ids[0]],
    )
    before = datetime.now(UTC) - timedelta(minutes=30)
    assert queue.retry_all(before=before) == 1
    assert queue.get(ids[0]).state == "waiting"
    assert queue.retry_all(name="b", limit=1) == 1
    assert queue.get(ids[1]).state == "waiting"
    assert queue.retry_all(name="none") == 0
    assert queue.retry_all("completed", reset_attempts=True) == 1
    assert queue.counts().failed == 2
    for wrong in ({"state": "active"}, {"limit": 0}, {"name": ""}, {"before": 5}):
        with pytest.raises(ConfigError):
            queue.retry_all(**wrong)  # type: ignore[arg-type]


def test_retry_all_takes_no_job_twice_that_fails_again_meanwhile(
    queue: Queue, new_worker: Callable[..., HandWorker], sql: Sql
) -> None:
    """BullMQ's backend ran 30 times what 20 retried jobs were to run."""
    queue.add_bulk([NewJob("n") for _ in range(2200)])
    worker = new_worker()
    fail_all(worker)
    busy = True

    def go_on() -> None:
        while busy:
            if jobs := worker.claim(50):
                worker.fail(jobs)

    with ThreadPoolExecutor(1) as threads:
        running = threads.submit(go_on)
        try:
            assert queue.retry_all() == 2200
        finally:
            busy = False
        running.result()
    fail_all(worker)
    assert sql.value("SELECT max(attempt) FROM pgqueue.finished") == 2
    assert_consistent(sql)


def test_promote_lets_a_delayed_job_run_now(
    queue: Queue, worker: HandWorker, sql: Sql
) -> None:
    first = queue.add("n", delay=3600)
    queue.add("later", delay=3600)
    assert queue.promote(first.id).state is JobState.WAITING
    assert [job.id for job in worker.claim(5)] == [first.id]
    with pytest.raises(JobStateError, match="only delayed jobs can be promoted"):
        queue.promote(first.id)
    with pytest.raises(JobNotFound):
        queue.promote(99)
    assert_consistent(sql)


def test_promote_all_takes_each_delayed_job_once(queue: Queue, sql: Sql) -> None:
    jobs = queue.add_bulk([NewJob("n", delay=9999 - n) for n in range(1500)])
    assert queue.promote_all() == 1500
    assert queue.promote_all() == 0
    waiting = queue.jobs("waiting", limit=1500)
    assert [job.id for job in waiting] == [job.id for job in jobs]
    assert_consistent(sql)


def test_other_data_in_every_state_but_active(
    queue: Queue, worker: HandWorker, sql: Sql
) -> None:
    failed = queue.add("n", 1)
    worker.fail(worker.claim())
    for job in (queue.add("n", 1), queue.add("n", 1, delay=60), failed):
        assert queue.update_data(job.id, {"n": [2]}).data == {"n": [2]}
        assert queue.get(job.id).data == {"n": [2]}
    (active,) = worker.claim()
    with pytest.raises(JobStateError, match="active"):
        queue.update_data(active.id, 3)
    with pytest.raises(JobNotFound):
        queue.update_data(99, 3)
    with pytest.raises(PayloadError):
        queue.update_data(failed.id, float("nan"))
    assert_consistent(sql)


def test_another_priority_is_another_place(
    queue: Queue, worker: HandWorker, sql: Sql
) -> None:
    low, lower = queue.add("low", priority=5), queue.add("lower", priority=5)
    last, delayed = queue.add("last", priority=9), queue.add("d", delay=60)
    assert queue.change_priority(lower.id, 1).priority == 1
    assert queue.change_priority(last.id, 5, lifo=True).priority == 5
    assert queue.change_priority(delayed.id, 1).state == "delayed"
    queue.promote(delayed.id)
    ids = [lower.id, delayed.id, last.id, low.id]
    assert [job.id for job in queue.jobs(["prioritized"])] == ids
    assert queue.change_priority(low.id, 0).priority == 0
    assert [job.id for job in worker.claim(9)] == [low.id, *ids[:-1]]
    with pytest.raises(JobStateError):
        queue.change_priority(low.id, 1)
    with pytest.raises(JobNotFound):
        queue.change_priority(99, 1)
    with pytest.raises(ConfigError):
        queue.change_priority(low.id, -1)
    assert_consistent(sql)


def test_a_changed_priority_outlives_a_retry(queue: Queue, worker: HandWorker) -> None:
    job = queue.add("n", priority=5)
    queue.change_priority(job.id, 2)
    worker.fail(worker.claim())
    assert queue.retry(job.id).priority == 2
    assert queue.remove(job.id)


def test_another_delay_counts_from_now(queue: Queue, sql: Sql) -> None:
    job = queue.add("n", delay=60)
    changed = queue.change_delay(job.id, timedelta(hours=2))
    assert changed.run_at
    assert timedelta(hours=2) <= changed.run_at - job.created_at
    assert changed.run_at - job.created_at < timedelta(hours=2, seconds=30)
    queue.promote(job.id)
    with pytest.raises(JobStateError, match="waiting"):
        queue.change_delay(job.id, 5)
    with pytest.raises(JobNotFound):
        queue.change_delay(99, 5)
    assert_consistent(sql)


CHANGES: dict[str, Callable[[Queue, int], Any]] = {
    "update_data": lambda queue, job_id: queue.update_data(job_id, "changed"),
    "change_priority": lambda queue, job_id: queue.change_priority(job_id, 7),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_change_and_a_claim_at_once_leave_one_of_both(
    shells: Shells,
    new_worker: Callable[..., HandWorker],
    sql: Sql,
    change: Callable[[Queue, int], Any],
) -> None:
    queue = shells.queue("paint")
    ids = [job.id for job in queue.add_bulk([NewJob("n") for _ in range(60)])]
    worker = new_worker()
    barrier = Barrier(2)
    claimed: list[Any] = []

    def claim() -> None:
        barrier.wait()
        while len(claimed) < len(ids):
            claimed.extend(worker.claim(3))

    with ThreadPoolExecutor(1) as threads:
        running = threads.submit(claim)
        barrier.wait()
        for job_id in reversed(ids):
            with suppress(JobStateError):
                change(queue, job_id)
        running.result(timeout=30)
    assert sorted(job.id for job in claimed) == ids
    assert_consistent(sql)


def test_a_promotion_and_the_clock_at_once_leave_one_row(
    shells: Shells, new_worker: Callable[..., HandWorker], sql: Sql
) -> None:
    queue = shells.queue("paint")
    jobs = queue.add_bulk([NewJob("n", delay=0.001 * n) for n in range(1, 61)])
    worker = new_worker()
    params = {"queue_id": worker.queue_id, "low": 0, "limit": 3}
    done = 0

    def promote_due() -> None:
        while not done:
            worker._execute("promote_jobs", params)

    with ThreadPoolExecutor(1) as threads:
        running = threads.submit(promote_due)
        try:
            for job in reversed(jobs):
                with suppress(JobStateError):
                    queue.promote(job.id)
                with suppress(JobStateError):
                    queue.change_delay(job.id, 0)
        finally:
            done = 1
        running.result(timeout=30)
    assert queue.count() == 60
    assert_consistent(sql)


def test_each_works_in_the_callers_transaction(
    shells: Shells, worker: HandWorker
) -> None:
    queue = shells.queue("paint")
    failed = queue.add("n")
    worker.fail(worker.claim())
    delayed = queue.add("n", delay=60)
    given, connection = shells.connect()
    queue.promote(delayed.id, connection=given)
    queue.update_data(delayed.id, 5, connection=given)
    queue.change_priority(delayed.id, 5, connection=given)
    assert queue.retry_all(connection=given) == 1
    queue.log(failed.id, "again", connection=given)
    connection.rollback()
    assert queue.get(delayed.id).state == "delayed"
    assert (queue.get(delayed.id).data, queue.get(delayed.id).priority) == (None, 0)
    assert queue.get(failed.id).state == "failed"
    assert queue.logs(failed.id) == []
