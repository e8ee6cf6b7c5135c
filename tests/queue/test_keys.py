"""`key=`: while the queue has a job with it, no other is added."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from invariants import assert_consistent
from pgqueue import NewJob, Queue
from waiting import until

if TYPE_CHECKING:
    from claims import HandWorker
    from conftest import Sql
    from shells import Shells


def test_a_key_that_is_taken_returns_the_job_that_has_it_unchanged(
    queue: Queue, sql: Sql
) -> None:
    first = queue.add("paint", {"color": "blue"}, key="k", priority=2)
    again = queue.add("other", {"color": "red"}, key="k", delay=60, attempts=9)
    assert again == first
    assert queue.count() == 1
    assert_consistent(sql)


@pytest.mark.parametrize("state", ["delayed", "active", "completed", "failed"])
def test_a_key_is_taken_in_every_state(
    queue: Queue, worker: HandWorker, sql: Sql, state: str
) -> None:
    delay = 60 if state == "delayed" else None
    first = queue.add("n", key="k", delay=delay)
    claimed = worker.claim()
    if state in ("completed", "failed"):
        worker.finish(claimed, state, error="it broke")
    again = queue.add("n", key="k")
    assert (again.id, again.state) == (first.id, state)
    assert sql.value("SELECT count(*) FROM pgqueue.job") == 1
    assert_consistent(sql)


def test_a_key_is_free_once_its_job_is_removed(queue: Queue) -> None:
    first = queue.add("n", key="k")
    assert queue.remove(first.id)
    second = queue.add("n", key="k")
    assert second.id != first.id
    assert queue.drain() == 1
    third = queue.add("n", key="k")
    assert third.id not in (first.id, second.id)


def test_a_key_is_free_once_its_job_finished_and_was_not_kept(
    queue: Queue, worker: HandWorker
) -> None:
    first = queue.add("n", key="k")
    worker.finish(worker.claim(), "removed")
    assert queue.add("n", key="k").id != first.id


def test_a_key_belongs_to_its_queue(shells: Shells) -> None:
    ids = {shells.queue(name).add("n", key="k").id for name in ("a", "b")}
    assert len(ids) == 2


def test_keys_that_differ_by_case_or_a_space_differ(queue: Queue) -> None:
    assert len({queue.add("n", key=key).id for key in ("k", "K", "k ", " k")}) == 4


def test_data_with_a_key_of_its_own_is_not_a_key(queue: Queue) -> None:
    ids = {queue.add("n", {"key": "k"}).id for _ in range(2)}
    jobs = queue.add_bulk([NewJob("n", {"key": "k"}), NewJob("n", {"key": None})])
    assert len(ids | {job.id for job in jobs}) == 4
    assert queue.get(jobs[0].id).key is None


def test_fifty_adders_at_once_add_one_job(dsn: str, sql: Sql) -> None:
    barrier = threading.Barrier(50)
    with Queue("paint", dsn=dsn) as queue, ThreadPoolExecutor(50) as threads:

        def add(_: int) -> int:
            barrier.wait()
            return queue.add("n", key="k").id

        for _ in range(3):
            assert len(set(threads.map(add, range(50)))) == 1
            assert queue.drain() == 1
    assert_consistent(sql)


def test_duplicates_in_one_bulk_are_one_job(queue: Queue, sql: Sql) -> None:
    jobs = [NewJob("n", i, key=key) for i, key in enumerate("abacab")]
    added = queue.add_bulk([*jobs, NewJob("n", "no key")])
    ids = [job.id for job in added]
    assert ids[0] == ids[2] == ids[4]
    assert ids[1] == ids[5]
    assert len(set(ids)) == 4
    assert [queue.get(i).data for i in ids] == [0, 1, 0, 3, 0, 1, "no key"]
    assert [job.data for job in added] == [0, 1, 0, 3, 0, 1, "no key"]
    assert queue.count() == 4
    assert queue.add_bulk(jobs, count_only=True) == 0
    assert_consistent(sql)


def test_a_bulk_with_keys_keeps_the_given_order(
    queue: Queue, worker: HandWorker
) -> None:
    added = queue.add_bulk([NewJob("n", key=key) for key in "zmaq"] + [NewJob("n")])
    assert [job.id for job in worker.claim(9)] == [job.id for job in added]


def test_a_keyed_bulk_may_mix_delays_and_priorities(queue: Queue, sql: Sql) -> None:
    queue.add_bulk(
        [
            NewJob("n", key="a", delay=60),
            NewJob("n", key="b", priority=3),
            NewJob("n", key="c", lifo=True),
        ]
    )
    counts = queue.counts()
    assert (counts.waiting, counts.prioritized, counts.delayed) == (1, 1, 1)
    assert_consistent(sql)


def test_bulks_with_keys_in_opposite_order_never_deadlock(dsn: str, sql: Sql) -> None:
    keys = [f"k{n}" for n in range(200)]
    barrier = threading.Barrier(2)
    with Queue("paint", dsn=dsn) as queue, ThreadPoolExecutor(2) as threads:

        def add(order: int) -> set[int]:
            barrier.wait()
            jobs = [NewJob("n", key=key) for key in keys[::order]]
            return {job.id for job in queue.add_bulk(jobs)}

        for _ in range(20):
            one, other = threads.map(add, (1, -1))
            assert one == other
            assert queue.drain() == 200
    assert_consistent(sql)


def held_up(sql: Sql) -> Any:
    return sql.value(
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )


@pytest.mark.parametrize("ending", ["commit", "rollback"])
def test_an_adder_waits_for_an_uncommitted_one_with_the_same_key(
    dsn: str, sql: Sql, ending: str
) -> None:
    with (
        Queue("paint", dsn=dsn) as queue,
        psycopg.connect(dsn) as connection,
        ThreadPoolExecutor(1) as threads,
    ):
        first = queue.add("n", key="k", connection=connection)
        second = threads.submit(queue.add, "n", key="k")
        until(lambda: held_up(sql))
        assert not second.done()
        getattr(connection, ending)()
        same = second.result(10).id == first.id
        assert same == (ending == "commit")
        assert queue.count() == 1
    assert_consistent(sql)


def test_under_repeatable_read_a_key_taken_meanwhile_is_a_conflict(
    queue: Queue, shells: Shells, dsn: str
) -> None:
    """The snapshot cannot see the job that has it: only a new transaction can."""
    given, connection = shells.connect()
    shells.run(given.set_isolation_level(psycopg.IsolationLevel.REPEATABLE_READ))
    assert queue.count(connection=given) == 0
    with Queue("paint", dsn=dsn) as other:
        other.add("n", key="k")
    with pytest.raises(psycopg.errors.SerializationFailure):
        queue.add("n", key="k", connection=given)
    connection.rollback()
    assert queue.add("n", key="k", connection=given).key == "k"
    connection.commit()
    assert queue.count() == 1


def test_a_key_that_is_freed_while_an_add_looks_at_it_is_taken(
    queue: Queue, sql: Sql
) -> None:
    first = queue.add("n", 1, key="k")
    # What commits just then, between two statements of the add.
    sql.run(
        """
        CREATE FUNCTION public.free() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            DELETE FROM pgqueue.ready r USING pgqueue.job j
            WHERE j.id = r.job_id AND j.key = 'k' AND j.data::text = '1';
            DELETE FROM pgqueue.job j WHERE j.key = 'k' AND j.data::text = '1';
            RETURN NULL;
        END
        $$
        """
    )
    sql.run(
        "CREATE TRIGGER free AFTER INSERT ON pgqueue.job"
        " FOR EACH STATEMENT EXECUTE FUNCTION public.free()"
    )
    try:
        second = queue.add("n", 2, key="k")
    finally:
        sql.run("DROP TRIGGER free ON pgqueue.job")
        sql.run("DROP FUNCTION public.free()")
    assert second.id > first.id
    assert [(job.id, job.data) for job in queue.jobs()] == [(second.id, 2)]
