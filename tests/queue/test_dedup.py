"""Deduplication: one job stands for all with an id, whoever adds at the same time."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from invariants import assert_consistent
from pgqueue import Dedup, FlowNode, FlowProducer, NewJob, Queue
from pgqueue import sql as statements
from pgqueue.db.run import run
from pgqueue.ops import maintenance
from pgqueue.testing import travel

if TYPE_CHECKING:
    from collections.abc import Callable

    from claims import Claimed, HandWorker
    from conftest import Sql
    from shells import Shells

ADDERS = 50
SIMPLE = Dedup("one")
THROTTLE = Dedup("one", ttl=3600)
DEBOUNCE = Dedup("one", ttl=3600, replace=True, extend=True)
KEEP_LAST = Dedup("one", keep_last_if_active=True)


def finish(worker: HandWorker, jobs: list[Claimed], state: str = "completed") -> None:
    """Finish as the worker does, in one transaction with the ids."""
    with worker.connection.transaction():
        worker.finish(jobs, state, error=None if state != "failed" else "it broke")
        ids = [job.id for job in jobs]
        params = {"queue_id": worker.queue_id, "job_ids": ids}
        worker.connection.execute(statements.load("settle_dedup"), params)


def add_from_many(dsn: str, queue: Queue, **options: Any) -> list[int]:
    """Add once from each of fifty connections at the same moment; return the ids."""
    barrier = Barrier(ADDERS)

    def add(n: int) -> int:
        with psycopg.connect(dsn, autocommit=True) as connection:
            barrier.wait()
            return queue.add("n", n, connection=connection, **options).id

    with ThreadPoolExecutor(ADDERS) as threads:
        return list(threads.map(add, range(ADDERS)))


@pytest.fixture
def sync(dsn: str) -> Queue:
    return Queue("paint", dsn=dsn)


@pytest.mark.parametrize("rule", [SIMPLE, THROTTLE, KEEP_LAST], ids=str)
def test_of_fifty_adds_at_once_one_stands(
    dsn: str, sync: Queue, sql: Sql, rule: Dedup
) -> None:
    ids = set(add_from_many(dsn, sync, dedup=rule))
    assert len(ids) == 1
    assert [job.id for job in sync.jobs()] == [*ids]
    assert sql.value("SELECT count(*) FROM pgqueue.dedup") == 1
    assert_consistent(sql)


def test_of_fifty_replacements_at_once_one_stands(
    dsn: str, sync: Queue, sql: Sql
) -> None:
    ids = add_from_many(dsn, sync, dedup=DEBOUNCE, delay=60)
    (job,) = sync.jobs()
    assert job.state == "delayed"
    assert len(set(ids)) == ADDERS
    assert sql.value("SELECT job_id FROM pgqueue.dedup") == job.id
    assert_consistent(sql)


def test_of_fifty_adds_while_it_runs_the_last_is_kept_back(
    dsn: str, sync: Queue, worker: HandWorker, sql: Sql
) -> None:
    first = sync.add("n", "first", dedup=KEEP_LAST)
    jobs = worker.claim()
    assert set(add_from_many(dsn, sync, dedup=KEEP_LAST)) == {first.id}
    kept = sql.value("SELECT next->>'data' FROM pgqueue.dedup")
    finish(worker, jobs)
    (job,) = sync.jobs("waiting")
    assert str(job.data) == kept
    assert sql.value("SELECT job_id FROM pgqueue.dedup") == job.id
    assert_consistent(sql)


def test_adds_and_finishes_at_once_lose_no_last_word(
    dsn: str, sync: Queue, new_worker: Callable[..., HandWorker], sql: Sql
) -> None:
    """The newest data runs last, and no two jobs of the id stand at the same time."""
    worker = new_worker()
    adding = True
    ran: list[Any] = []

    def work() -> None:
        while adding or sync.count():
            if jobs := worker.claim(5):
                assert len(jobs) == 1
                ran.append(sync.get(jobs[0].id).data)
                finish(worker, jobs)

    with ThreadPoolExecutor(1) as threads:
        running = threads.submit(work)
        try:
            for n in range(200):
                last = sync.add("n", n, dedup=KEEP_LAST)
        finally:
            adding = False
        running.result(timeout=30)
    assert ran == sorted(ran)
    # An add while one still waits is ignored: that one was to run anyway.
    assert ran[-1] == 199 or last.data == ran[-1]
    assert sql.value("SELECT count(*) FROM pgqueue.dedup") == 0
    assert_consistent(sql)


def test_simple_stands_until_it_has_finished(queue: Queue, worker: HandWorker) -> None:
    first = queue.add("n", 1, dedup=SIMPLE)
    again = queue.add("n", 2, dedup=SIMPLE)
    assert (again.id, again.data) == (first.id, 1)
    assert queue.add("n", dedup=Dedup("two")).id != first.id
    jobs = worker.claim()
    assert queue.add("n", dedup=SIMPLE).id == first.id
    worker.finish(jobs, "waiting", attempt=1)
    assert queue.add("n", dedup=SIMPLE).id == first.id
    finish(worker, [job for job in worker.claim(2) if job.id == first.id], "failed")
    assert queue.add("n", dedup=SIMPLE).id != first.id


def test_a_throttle_stands_for_its_time_finished_or_not(
    queue: Queue, worker: HandWorker, sql: Sql
) -> None:
    first = queue.add("n", dedup=THROTTLE)
    finish(worker, worker.claim())
    assert queue.add("n", dedup=THROTTLE).id == first.id
    sql.run("UPDATE pgqueue.dedup SET expires_at = clock_timestamp()")
    second = queue.add("n", dedup=THROTTLE)
    assert second.id != first.id
    finish(worker, worker.claim(), "removed")
    ignored = queue.add("n", "late", dedup=THROTTLE)
    assert (ignored.id, ignored.state) == (second.id, "completed")
    assert queue.count() == 0
    [in_bulk] = queue.add_bulk([NewJob("n", dedup=THROTTLE)])
    assert (in_bulk.id, in_bulk.state) == (second.id, "completed")


def test_an_add_that_a_throttle_drops_is_told_once_though_its_job_is_gone(
    queue: Queue, worker: HandWorker, sql: Sql
) -> None:
    first = queue.add("n", dedup=THROTTLE)
    finish(worker, worker.claim(), "removed")
    sql.run(
        "INSERT INTO pgqueue.subscriber (queue_id, consumer, xid, event_id, seen_at)"
        " SELECT id, 'test', 0, 0, clock_timestamp() FROM pgqueue.queue"
    )
    sql.run("UPDATE pgqueue.queue SET events = true")
    assert queue.add("n", dedup=THROTTLE).id == first.id
    assert sql.all("SELECT job_id, name FROM pgqueue.event") == [
        (first.id, "deduplicated")
    ]


def test_a_flow_whose_root_is_throttled_by_a_job_that_is_gone_is_not_added(
    queue: Queue, worker: HandWorker, dsn: str
) -> None:
    first = queue.add("n", dedup=THROTTLE)
    finish(worker, worker.claim(), "removed")
    child = FlowNode("n", queue=queue.name)
    root = FlowNode("n", queue=queue.name, dedup=THROTTLE, children=[child])
    with FlowProducer(dsn=dsn) as flows:
        found = flows.add(root)
    assert (found.job.id, found.job.state) == (first.id, "completed")
    assert queue.count() == 0


def test_replace_without_extend_keeps_the_time(queue: Queue, sql: Sql) -> None:
    rule = Dedup("one", ttl=3600, replace=True)
    queue.add("n", 1, dedup=rule, delay=60)
    until = sql.value("SELECT expires_at FROM pgqueue.dedup")
    second = queue.add("n", 2, dedup=rule, delay=60)
    assert [(job.id, job.data) for job in queue.jobs()] == [(second.id, 2)]
    assert sql.value("SELECT expires_at FROM pgqueue.dedup") == until
    queue.add("n", 3, dedup=DEBOUNCE, delay=60)
    assert sql.value("SELECT expires_at FROM pgqueue.dedup") > until
    assert_consistent(sql)


def test_each_add_that_is_ignored_starts_an_extended_time_anew(
    queue: Queue, worker: HandWorker, sql: Sql
) -> None:
    rule = Dedup("one", ttl=3600, extend=True)
    first = queue.add("n", 1, dedup=rule)
    travel(seconds=3000, connection=sql.connection)
    assert queue.add("n", 2, dedup=rule).id == first.id
    finish(worker, worker.claim())
    travel(seconds=3000, connection=sql.connection)
    again = queue.add("n", 3, dedup=rule)
    assert (again.id, again.state) == (first.id, "completed")
    travel(seconds=3601, connection=sql.connection)
    assert queue.add("n", 4, dedup=rule).id != first.id


def test_only_a_delayed_job_is_replaced(queue: Queue, sql: Sql) -> None:
    first = queue.add("n", 1, dedup=DEBOUNCE)
    assert queue.add("n", 2, dedup=DEBOUNCE).id == first.id
    assert [job.data for job in queue.jobs()] == [1]


def test_a_replaced_job_takes_all_it_left_along(
    queue: Queue, worker: HandWorker, sql: Sql
) -> None:
    queue.add("n", dedup=DEBOUNCE, attempts=3)
    (job,) = worker.claim()
    worker.report(job, 50)
    worker.finish([job], "delayed", delay=60, failure=True, error="it broke")
    queue.log(job.id, "a line")
    queue.add("n", dedup=DEBOUNCE, delay=60)
    for table in ("attempt", "progress", "log"):
        assert sql.value(f"SELECT count(*) FROM pgqueue.{table}") == 0
    assert_consistent(sql)


def remove(queue: Queue) -> None:
    for job in queue.jobs():
        queue.remove(job.id)


def clean(queue: Queue) -> None:
    for state in ("waiting", "delayed", "completed"):
        queue.clean(0, state=state)  # type: ignore[arg-type]


WAYS_TO_GO: dict[str, Callable[[Queue], Any]] = {
    "remove": remove,
    "drain": lambda queue: queue.drain(),
    "clean": clean,
    "obliterate": lambda queue: queue.obliterate(),
}


@pytest.mark.parametrize("rule", [SIMPLE, THROTTLE, KEEP_LAST], ids=str)
@pytest.mark.parametrize("delay", [None, 60])
@pytest.mark.parametrize("go", WAYS_TO_GO.values(), ids=WAYS_TO_GO)
def test_an_id_is_free_once_its_job_was_removed(
    queue: Queue, sql: Sql, go: Callable[[Queue], Any], rule: Dedup, delay: int | None
) -> None:
    """In BullMQ's backend, rows outlived their jobs and dropped later adds for ever."""
    first = queue.add("n", dedup=rule, delay=delay)
    go(queue)
    assert sql.value("SELECT count(*) FROM pgqueue.dedup") == 0
    second = queue.add("n", dedup=rule)
    assert second.id != first.id
    assert queue.count() == 1
    assert_consistent(sql)


def test_an_id_is_free_once_retention_took_its_job(
    queue: Queue, worker: HandWorker, sql: Sql
) -> None:
    first = queue.add("n", dedup=SIMPLE)
    # As a worker that died before it could free the id.
    worker.finish(worker.claim(), keep=True, age=0)
    run(sql.connection, maintenance.prune(worker.queue_id, 0.0), "pgqueue")
    assert sql.value("SELECT count(*) FROM pgqueue.dedup") == 0
    assert queue.add("n", dedup=SIMPLE).id != first.id


def test_obliterate_ends_a_throttle_whose_job_is_gone(
    queue: Queue, worker: HandWorker
) -> None:
    first = queue.add("n", dedup=THROTTLE)
    worker.finish(worker.claim(), "removed", ended="completed")
    assert queue.add("n", dedup=THROTTLE).id == first.id
    queue.obliterate()
    assert queue.add("n", dedup=THROTTLE).id != first.id


def test_an_id_whose_job_finished_by_other_means_blocks_no_add(
    queue: Queue, worker: HandWorker, sql: Sql
) -> None:
    first = queue.add("n", dedup=SIMPLE)
    worker.finish(worker.claim())
    assert sql.value("SELECT count(*) FROM pgqueue.dedup") == 1
    assert queue.add("n", dedup=SIMPLE).id != first.id


def test_a_crash_keeps_the_id_and_what_was_kept_back(
    queue: Queue, new_worker: Callable[..., HandWorker], sql: Sql
) -> None:
    first = queue.add("n", 1, dedup=KEEP_LAST)
    for stalls in (0, 1):
        worker = new_worker()
        assert worker.claim()[0].stalled == stalls
        queue.add("n", 2 + stalls, dedup=KEEP_LAST)
        travel(hours=1, connection=sql.connection)
        run(sql.connection, maintenance.recover(1), "pgqueue")
        op = maintenance.settle_queue(worker.queue_id)
        run(sql.connection, op, "pgqueue")
        if not stalls:
            assert queue.add("n", 9, dedup=SIMPLE).id == first.id
    assert queue.get(first.id).state == "failed"
    assert [job.data for job in queue.jobs("waiting")] == [3]
    assert_consistent(sql)


def test_a_worker_that_lost_its_lease_frees_no_id(
    queue: Queue, worker: HandWorker, sql: Sql
) -> None:
    first = queue.add("n", dedup=SIMPLE)
    jobs = worker.claim()
    worker.finish(jobs, "waiting")
    finish(worker, jobs)
    assert queue.add("n", dedup=SIMPLE).id == first.id


def test_a_job_that_is_retried_takes_no_id_from_another(
    queue: Queue, worker: HandWorker, sql: Sql
) -> None:
    first = queue.add("n", dedup=SIMPLE)
    finish(worker, worker.claim(), "failed")
    second = queue.add("n", dedup=SIMPLE)
    assert queue.retry(first.id).state == "waiting"
    finish(worker, [job for job in worker.claim(2) if job.id == first.id])
    assert queue.add("n", dedup=SIMPLE).id == second.id
    assert_consistent(sql)


def test_adds_of_the_same_ids_in_opposite_order_do_not_deadlock(
    dsn: str, sync: Queue, worker: HandWorker, sql: Sql
) -> None:
    names = [f"id-{n}" for n in range(40)]
    stop = False

    def add(order: list[str]) -> None:
        jobs = [NewJob("n", dedup=Dedup(one)) for one in order]
        with psycopg.connect(dsn, autocommit=True) as connection:
            for _ in range(25):
                sync.add_bulk(jobs, connection=connection)

    def work() -> None:
        while not stop:
            if jobs := worker.claim(40):
                finish(worker, jobs[::-1])

    with ThreadPoolExecutor(5) as threads:
        working = threads.submit(work)
        orders = [names, names[::-1]] * 2
        try:
            for done in [threads.submit(add, order) for order in orders]:
                done.result(timeout=60)
        finally:
            stop = True
        working.result(timeout=30)
    assert_consistent(sql)


def test_ids_whose_time_is_over_are_deleted(
    queue: Queue, worker: HandWorker, sql: Sql
) -> None:
    queue.add("n", dedup=THROTTLE)
    queue.add("n", dedup=Dedup("two", ttl=3600))
    queue.add("n", dedup=Dedup("three"))
    sql.run(
        "UPDATE pgqueue.dedup SET expires_at = clock_timestamp() WHERE dedup_id = 'one'"
    )
    run(sql.connection, maintenance.settle_queue(worker.queue_id), "pgqueue")
    left = sql.all("SELECT dedup_id FROM pgqueue.dedup ORDER BY 1")
    assert [row.dedup_id for row in left] == ["three", "two"]


def test_an_ignored_add_in_a_transaction_changes_nothing_else(
    shells: Shells, sql: Sql
) -> None:
    queue = shells.queue("paint")
    given, connection = shells.connect()
    first = queue.add("n", dedup=SIMPLE, connection=given)
    assert queue.add("n", dedup=SIMPLE, connection=given).id == first.id
    connection.rollback()
    assert queue.count() == 0
    assert queue.add("n", dedup=SIMPLE).id != first.id


def test_dedup_from_sql_is_settled_by_a_worker(
    queue: Queue, worker: HandWorker, sql: Sql
) -> None:
    call = "SELECT pgqueue.add('paint', 'n', dedup => '{\"id\": \"one\"}')"
    first = sql.value(call)
    assert sql.value(call) == first
    stored = sql.value("SELECT options->>'dedup' FROM pgqueue.job")
    assert stored == "true"
