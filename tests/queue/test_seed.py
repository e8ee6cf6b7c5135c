"""Design §4, cell by cell: what count, drain, clean and obliterate do to each state."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from invariants import assert_consistent
from pgqueue import ConfigError, Counts, JobState, NewJob, QueueNotEmpty

if TYPE_CHECKING:
    from claims import HandWorker
    from conftest import Sql
    from pgqueue import Queue

STATES = ("waiting", "prioritized", "delayed", "active", "completed", "failed")


@pytest.fixture
def jobs(queue: Queue, worker: HandWorker, sql: Sql) -> dict[str, list[int]]:
    """Two jobs of each state, one queue beside it with a job in it, all consistent."""
    found: dict[str, list[int]] = {}
    for state in ("completed", "failed", "active"):
        found[state] = [queue.add(state).id for _ in range(2)]
    leased = worker.claim(6)
    worker.report(leased[0], 100)
    worker.report(leased[4], 50)
    worker.finish(leased[:2])
    worker.fail(leased[2:4])
    found["waiting"] = [queue.add("waiting").id for _ in range(2)]
    found["prioritized"] = [queue.add("later", priority=p).id for p in (1, 2)]
    found["delayed"] = [queue.add("delayed", delay=3600).id for _ in range(2)]
    sql.run("SELECT pgqueue.add('other', 'kept')")
    assert_consistent(sql)
    return found


def left(queue: Queue) -> dict[str, list[int]]:
    return {state: sorted(j.id for j in queue.jobs(state)) for state in STATES}


def without(jobs: dict[str, list[int]], *states: str) -> dict[str, list[int]]:
    return {state: [] if state in states else jobs[state] for state in STATES}


def age(sql: Sql, seconds: float, *job_ids: int) -> None:
    """Make jobs older, in every sense in which they have an age."""
    for table, column, key in (
        ("job", "created_at", "id"),
        ("finished", "finished_at", "job_id"),
    ):
        sql.run(
            f"UPDATE pgqueue.{table} SET {column} = {column}"
            f" - %s * interval '1 second' WHERE {key} = ANY(%s)",
            [seconds, list(job_ids)],
        )


@pytest.mark.usefixtures("jobs")
def test_count_counts_waiting_prioritized_and_delayed(queue: Queue) -> None:
    assert queue.count() == 6


@pytest.mark.usefixtures("jobs")
def test_counts_tells_each_state(queue: Queue) -> None:
    counts = queue.counts()
    assert counts == Counts(
        waiting=2, prioritized=2, delayed=2, active=2, completed=2, failed=2
    )
    assert counts.total == 12


@pytest.mark.usefixtures("jobs")
def test_count_counts_the_jobs_of_a_paused_queue(queue: Queue) -> None:
    queue.pause()
    assert queue.is_paused()
    assert queue.count() == 6


def test_a_queue_that_was_never_used_is_empty_and_running(queue: Queue) -> None:
    assert queue.count() == 0
    assert queue.counts() == Counts()
    assert not queue.is_paused()
    assert list(queue.jobs()) == []


def test_drain_removes_waiting_prioritized_and_delayed(
    queue: Queue, jobs: dict[str, list[int]], sql: Sql
) -> None:
    assert queue.drain() == 6
    assert left(queue) == without(jobs, "waiting", "prioritized", "delayed")
    assert_consistent(sql)


def test_drain_keeps_delayed_jobs_when_told(
    queue: Queue, jobs: dict[str, list[int]], sql: Sql
) -> None:
    assert queue.drain(delayed=False) == 4
    assert left(queue) == without(jobs, "waiting", "prioritized")
    assert_consistent(sql)


def test_drain_leaves_other_queues_alone(
    queue: Queue, jobs: dict[str, list[int]], sql: Sql
) -> None:
    assert jobs
    queue.drain()
    assert sql.value("SELECT count(*) FROM pgqueue.jobs WHERE queue = 'other'") == 1


def test_drain_of_an_empty_queue_removes_nothing(queue: Queue) -> None:
    assert queue.drain() == 0


def test_drain_removes_more_jobs_than_fit_in_a_batch(queue: Queue, sql: Sql) -> None:
    queue.add_bulk([NewJob("n", priority=n % 3, lifo=n % 2 == 0) for n in range(2500)])
    queue.add_bulk([NewJob("n", delay=n + 60) for n in range(1001)])
    assert queue.drain() == 3501
    assert sql.value("SELECT count(*) FROM pgqueue.job") == 0
    assert_consistent(sql)


@pytest.mark.parametrize("state", ["waiting", "prioritized", "delayed"])
def test_clean_removes_what_was_added_long_enough_ago(
    queue: Queue, jobs: dict[str, list[int]], sql: Sql, state: Any
) -> None:
    old, young = jobs[state]
    age(sql, 100, old)
    assert queue.clean(60, state=state) == [old]
    assert left(queue) == {**jobs, state: [young]}
    assert_consistent(sql)


@pytest.mark.parametrize("state", ["completed", "failed"])
def test_clean_removes_what_finished_long_enough_ago(
    queue: Queue, jobs: dict[str, list[int]], sql: Sql, state: Any
) -> None:
    old, young = jobs[state]
    age(sql, 100, old)
    assert queue.clean(timedelta(minutes=1), state=state) == [old]
    assert left(queue) == {**jobs, state: [young]}
    assert_consistent(sql)


@pytest.mark.parametrize("state", ["completed", "failed"])
def test_clean_of_finished_jobs_does_not_look_at_when_they_were_added(
    queue: Queue, jobs: dict[str, list[int]], sql: Sql, state: Any
) -> None:
    sql.run("UPDATE pgqueue.job SET created_at = created_at - interval '1 day'")
    assert queue.clean(60, state=state) == []
    assert left(queue) == jobs


@pytest.mark.parametrize("state", ["waiting", "prioritized", "delayed"])
def test_clean_without_grace_removes_all_of_the_state_oldest_first(
    queue: Queue, jobs: dict[str, list[int]], sql: Sql, state: Any
) -> None:
    age(sql, 5, jobs[state][1])
    assert queue.clean(0, state=state) == jobs[state][::-1]
    assert left(queue) == without(jobs, state)
    assert_consistent(sql)


def test_clean_takes_completed_jobs_by_default(
    queue: Queue, jobs: dict[str, list[int]]
) -> None:
    assert sorted(queue.clean(0)) == jobs["completed"]
    assert left(queue) == without(jobs, "completed")


def test_clean_removes_the_oldest_up_to_its_limit(queue: Queue, sql: Sql) -> None:
    ids = [queue.add("n").id for _ in range(5)]
    age(sql, 50, ids[3])
    assert queue.clean(0, limit=2, state="waiting") == [ids[3], ids[0]]
    assert_consistent(sql)


def test_clean_without_limit_removes_more_than_a_batch(queue: Queue, sql: Sql) -> None:
    ids = [j.id for j in queue.add_bulk([NewJob("n")] * 2100)]
    assert queue.clean(0, state="waiting") == ids
    assert sql.value("SELECT count(*) FROM pgqueue.job") == 0


def test_clean_of_paused_removes_the_waiting_jobs_of_a_paused_queue(
    queue: Queue, jobs: dict[str, list[int]], sql: Sql
) -> None:
    queue.pause()
    removed = queue.clean(0, state="paused")
    assert sorted(removed) == sorted(jobs["waiting"] + jobs["prioritized"])
    assert left(queue) == without(jobs, "waiting", "prioritized")
    assert_consistent(sql)


def test_clean_of_paused_removes_nothing_while_the_queue_runs(
    queue: Queue, jobs: dict[str, list[int]]
) -> None:
    assert queue.clean(0, state="paused") == []
    assert left(queue) == jobs


def test_clean_never_removes_an_active_job_under_a_valid_lease(
    queue: Queue, jobs: dict[str, list[int]], worker: HandWorker
) -> None:
    assert queue.clean(0, state="active") == []
    assert left(queue) == jobs
    assert worker.renew()


def test_clean_removes_active_jobs_whose_lease_ended(
    queue: Queue, jobs: dict[str, list[int]], worker: HandWorker, sql: Sql
) -> None:
    worker.miss_heartbeats()
    assert queue.clean(0, state="active") == jobs["active"]
    assert left(queue) == without(jobs, "active")
    assert not worker.renew(), "its jobs are gone, so it must not go on"
    assert_consistent(sql)


def test_clean_of_active_jobs_honours_grace_and_limit(
    queue: Queue, jobs: dict[str, list[int]], worker: HandWorker, sql: Sql
) -> None:
    age(sql, 100, *jobs["active"])
    worker.miss_heartbeats()
    assert queue.clean(200, state="active") == []
    assert queue.clean(60, limit=1, state="active") == jobs["active"][:1]
    assert left(queue) == {**jobs, "active": jobs["active"][1:]}
    assert_consistent(sql)


def test_the_outcome_of_a_cleaned_active_job_is_refused(
    queue: Queue, worker: HandWorker, sql: Sql
) -> None:
    queue.add("n")
    claimed = worker.claim()
    worker.miss_heartbeats()
    queue.clean(0, state="active")
    assert worker.finish(claimed) == []
    assert_consistent(sql)


@pytest.mark.parametrize("state", ["waiting_children", "stalled", "", None, 7])
def test_clean_refuses_what_is_not_cleanable(queue: Queue, state: Any) -> None:
    with pytest.raises(ConfigError, match="state="):
        queue.clean(0, state=state)


@pytest.mark.parametrize("state", list(JobState)[:3])
def test_clean_takes_states_as_job_states_too(queue: Queue, state: Any) -> None:
    assert queue.clean(0, state=state) == []


@pytest.mark.parametrize("grace", [-1, float("nan"), float("inf"), "60", None, True])
def test_clean_refuses_a_grace_that_is_no_duration(queue: Queue, grace: Any) -> None:
    with pytest.raises(ConfigError, match="grace="):
        queue.clean(grace)


@pytest.mark.parametrize("limit", [-1, 1.5, "3", None, True])
def test_clean_refuses_a_limit_that_is_no_number(queue: Queue, limit: Any) -> None:
    with pytest.raises(ConfigError, match="limit="):
        queue.clean(0, limit)


def test_obliterate_with_active_jobs_removes_nothing_but_pauses(
    queue: Queue, jobs: dict[str, list[int]], sql: Sql
) -> None:
    with pytest.raises(QueueNotEmpty, match="'paint' has 2") as refused:
        queue.obliterate()
    assert refused.value.active == 2
    assert queue.is_paused()
    assert left(queue) == jobs
    assert_consistent(sql)


def test_obliterate_with_force_removes_everything_and_refuses_late_outcomes(
    queue: Queue, jobs: dict[str, list[int]], worker: HandWorker, sql: Sql
) -> None:
    assert jobs
    queue.add("n", priority=0, lifo=True)
    claimed = worker.claim()
    queue.obliterate(force=True)
    assert queue.counts() == Counts()
    assert worker.finish(claimed) == []
    assert sql.value("SELECT count(*) FROM pgqueue.job") == 1, "the other queue's"
    assert_consistent(sql)


def test_obliterate_without_active_jobs_removes_every_other_state(
    queue: Queue, jobs: dict[str, list[int]], worker: HandWorker, sql: Sql
) -> None:
    worker.miss_heartbeats()
    assert queue.clean(0, state="active") == jobs["active"]
    queue.obliterate()
    assert queue.counts() == Counts()
    for table in ("attempt", "progress", "finished", "delayed", "lease"):
        assert sql.value(f"SELECT count(*) FROM pgqueue.{table}") == 0, table
    assert_consistent(sql)


def test_an_obliterated_queue_is_as_if_it_was_never_used(
    queue: Queue, sql: Sql
) -> None:
    queue.pause()
    sql.run("UPDATE pgqueue.queue SET completed_age = 5, failed_count = 7")
    queue.obliterate()
    assert not queue.is_paused()
    row = sql.one("SELECT * FROM pgqueue.queue")
    assert (row.completed_age, row.failed_count) == (604800, None)
    assert queue.add("n").id
    assert queue.count() == 1


def test_drain_clean_and_obliterate_say_nothing_about_a_queue_without_jobs(
    queue: Queue,
) -> None:
    assert queue.drain() == 0
    assert queue.clean(0) == []
    queue.obliterate()
    assert queue.counts() == Counts()
