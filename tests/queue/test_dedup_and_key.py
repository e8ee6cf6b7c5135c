"""A job with both a key and a deduplication id: the key counts first."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from invariants import assert_consistent
from pgqueue import Dedup, FlowNode, FlowProducer, NewJob, Queue
from pgqueue import sql as statements
from waiting import until

if TYPE_CHECKING:
    from claims import Claimed, HandWorker
    from conftest import Sql

SIMPLE = Dedup("one")
THROTTLE = Dedup("one", ttl=3600)
DEBOUNCE = Dedup("one", ttl=3600, replace=True, extend=True)
KEEP_LAST = Dedup("one", keep_last_if_active=True)
RULES = [SIMPLE, THROTTLE, DEBOUNCE, KEEP_LAST]


def ids(sql: Sql) -> list[Any]:
    return sql.all("SELECT dedup_id, job_id, expires_at FROM pgqueue.dedup ORDER BY 1")


def finish(worker: HandWorker, jobs: list[Claimed], state: str = "completed") -> None:
    """Finish as the worker does, in one transaction with the ids."""
    with worker.connection.transaction():
        worker.finish(jobs, state)
        numbers = [job.id for job in jobs]
        params = {"queue_id": worker.queue_id, "job_ids": numbers}
        worker.connection.execute(statements.load("settle_dedup"), params)


@pytest.fixture
def sync(dsn: str) -> Queue:
    return Queue("paint", dsn=dsn)


@pytest.mark.parametrize("rule", RULES, ids=str)
def test_a_job_with_both_is_found_by_either(
    queue: Queue, sql: Sql, rule: Dedup
) -> None:
    first = queue.add("n", 1, key="k", dedup=rule)
    assert first.key == "k"
    assert queue.add("n", 2, key="k").id == first.id
    assert queue.add("n", 3, dedup=rule).id == first.id
    assert queue.add("n", 4, key="k", dedup=rule).id == first.id
    assert queue.add("n", 5, key="l", dedup=rule).id == first.id
    assert [job.data for job in queue.jobs()] == [1]
    assert_consistent(sql)


@pytest.mark.parametrize("rule", RULES, ids=str)
def test_an_add_whose_key_is_taken_leaves_a_free_id_free(
    queue: Queue, sql: Sql, rule: Dedup
) -> None:
    keyed = queue.add("n", 1, key="k")
    assert queue.add("n", 2, key="k", dedup=rule).id == keyed.id
    assert ids(sql) == []
    assert queue.add("n", 3, dedup=rule).id != keyed.id
    assert_consistent(sql)


def test_an_add_whose_key_is_taken_leaves_the_job_of_the_id_alone(
    queue: Queue, sql: Sql
) -> None:
    keyed = queue.add("n", 1, key="k")
    delayed = queue.add("n", 2, dedup=DEBOUNCE, delay=60)
    before = ids(sql)
    assert queue.add("n", 3, key="k", dedup=DEBOUNCE, delay=60).id == keyed.id
    assert ids(sql) == before
    assert [job.id for job in queue.jobs("delayed")] == [delayed.id]
    assert_consistent(sql)


def test_a_job_that_is_replaced_makes_room_for_another_key(
    queue: Queue, sql: Sql
) -> None:
    queue.add("n", 1, key="k", dedup=DEBOUNCE, delay=60)
    newest = queue.add("n", 2, key="l", dedup=DEBOUNCE, delay=60)
    assert [(job.id, job.key) for job in queue.jobs()] == [(newest.id, "l")]
    assert [row.job_id for row in ids(sql)] == [newest.id]
    assert queue.add("n", 3, key="k").id != newest.id
    assert_consistent(sql)


def test_an_id_whose_job_has_finished_is_taken_with_a_new_key(
    queue: Queue, worker: HandWorker, sql: Sql
) -> None:
    first = queue.add("n", 1, key="k", dedup=SIMPLE)
    finish(worker, worker.claim())
    assert queue.add("n", 2, key="k", dedup=SIMPLE).id == first.id
    second = queue.add("n", 3, key="l", dedup=SIMPLE)
    assert second.id != first.id
    assert [row.job_id for row in ids(sql)] == [second.id]
    assert_consistent(sql)


def test_what_stands_for_a_job_that_is_gone_has_no_key_of_another(
    queue: Queue, worker: HandWorker
) -> None:
    first = queue.add("n", 1, key="k", dedup=THROTTLE)
    finish(worker, worker.claim(), "removed")
    ignored = queue.add("n", 2, key="l", dedup=THROTTLE)
    assert (ignored.id, ignored.state, ignored.key) == (first.id, "completed", None)
    assert queue.count() == 0


@pytest.mark.parametrize("taken", [False, True])
def test_what_is_kept_back_comes_with_its_key_unless_that_is_taken_by_then(
    queue: Queue, worker: HandWorker, sql: Sql, taken: bool
) -> None:
    queue.add("n", 1, key="k", dedup=KEEP_LAST)
    jobs = worker.claim()
    queue.add("n", 2, key="l", dedup=KEEP_LAST)
    if taken:
        queue.add("n", 3, key="l")
    finish(worker, jobs)
    assert [(job.key, job.data) for job in queue.jobs("waiting")] == [
        ("l", 3 if taken else 2)
    ]
    assert len(ids(sql)) == (not taken)
    assert_consistent(sql)


def test_a_flow_may_have_a_root_with_both(dsn: str, queue: Queue) -> None:
    child = FlowNode("n", queue=queue.name)
    root = FlowNode("n", queue=queue.name, key="k", dedup=SIMPLE, children=[child])
    with FlowProducer(dsn=dsn) as flows:
        first = flows.add(root)
        assert flows.add(root).job.id == first.job.id
    assert queue.add("n", dedup=SIMPLE).id == first.job.id
    assert queue.count() == 2


@pytest.mark.parametrize("rule", RULES, ids=str)
def test_of_fifty_adds_at_once_with_both_one_stands(
    dsn: str, sync: Queue, sql: Sql, rule: Dedup
) -> None:
    barrier = threading.Barrier(50)

    def add(n: int) -> int:
        with psycopg.connect(dsn, autocommit=True) as connection:
            barrier.wait()
            return sync.add(
                "n", n, key="k", dedup=rule, delay=60, connection=connection
            ).id

    with ThreadPoolExecutor(50) as threads:
        [only] = set(threads.map(add, range(50)))
    assert [row.job_id for row in ids(sql)] == [only]
    assert [job.id for job in sync.jobs()] == [only]
    assert_consistent(sql)


@pytest.mark.parametrize("ending", ["commit", "rollback"])
def test_a_key_that_is_taken_at_the_same_moment_costs_no_delayed_job(
    dsn: str, sync: Queue, sql: Sql, ending: str
) -> None:
    """The add has found the job that it would replace, and then waits for the key."""
    delayed = sync.add("n", 1, dedup=DEBOUNCE, delay=60)
    before = ids(sql)
    with psycopg.connect(dsn) as connection, ThreadPoolExecutor(1) as threads:
        keyed = sync.add("n", 2, key="k", connection=connection)
        adding = threads.submit(sync.add, "n", 3, key="k", dedup=DEBOUNCE, delay=60)
        until(
            lambda: sql.value(
                "SELECT count(*) FROM pg_stat_activity"
                " WHERE datname = current_database() AND wait_event_type = 'Lock'"
            )
        )
        getattr(connection, ending)()
        added = adding.result(30)
    if ending == "commit":
        assert added.id == keyed.id
        assert ids(sql) == before
        assert {job.id for job in sync.jobs()} == {delayed.id, keyed.id}
    else:
        assert [(job.id, job.data) for job in sync.jobs()] == [(added.id, 3)]
    assert_consistent(sql)


def test_bulks_with_keys_and_ids_in_any_order_never_deadlock(
    dsn: str, sync: Queue, sql: Sql
) -> None:
    numbers = range(60)

    def both(key: int, dedup: int) -> list[NewJob]:
        return [
            NewJob("n", key=f"k{n * key % 61}", dedup=Dedup(f"d{n * dedup % 61}"))
            for n in numbers
        ]

    def apart(order: int) -> list[NewJob]:
        keys = [NewJob("n", key=f"k{n}") for n in numbers]
        return [*keys, *(NewJob("n", dedup=Dedup(f"d{n}")) for n in numbers)][::order]

    bulks = [*(both(*pair) for pair in product((1, 60), (7, 54))), apart(1), apart(-1)]
    barrier = threading.Barrier(len(bulks))

    def add(jobs: list[NewJob]) -> int:
        barrier.wait()
        return len(sync.add_bulk(jobs))

    with ThreadPoolExecutor(len(bulks)) as threads:
        for _ in range(10):
            assert [*threads.map(add, bulks)] == [len(jobs) for jobs in bulks]
            assert_consistent(sql)
            sync.drain(delayed=True)
    assert ids(sql) == []
