"""Two connections at the same rows: a job is claimed or removed, never both."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from invariants import assert_consistent
from pgqueue import JobStateError, NewJob, Queue, QueueNotEmpty
from pgqueue import sql as statements
from pgqueue.db.run import run
from pgqueue.ops import maintenance
from waiting import until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from claims import HandWorker
    from conftest import Sql

MANY = 30
ROUNDS = 40


@pytest.fixture
def queue(dsn: str) -> Iterator[Queue]:
    with Queue("paint", dsn=dsn) as made:
        yield made


def race(*contestants: Callable[[], Any]) -> list[Any]:
    """Start all at the same moment and return what each returned."""
    barrier = threading.Barrier(len(contestants))

    def start(contestant: Callable[[], Any]) -> Any:
        barrier.wait()
        return contestant()

    with ThreadPoolExecutor(len(contestants)) as threads:
        return list(threads.map(start, contestants))


def claim_all(worker: HandWorker) -> set[int]:
    """Claim in small bites until nothing comes."""
    claimed: set[int] = set()
    while jobs := worker.claim(4):
        claimed |= {job.id for job in jobs}
    return claimed


def remove_each(queue: Queue, ids: list[int]) -> set[int]:
    removed = set()
    for job_id in reversed(ids):
        with suppress(JobStateError):  # it is active
            if queue.remove(job_id):
                removed.add(job_id)
    return removed


def standing(sql: Sql) -> set[int]:
    return {row.id for row in sql.all("SELECT id FROM pgqueue.job")}


@pytest.mark.parametrize("remover", ["drain", "remove", "clean", "obliterate"])
def test_a_job_is_claimed_or_removed_but_never_both_nor_half(
    queue: Queue, worker: HandWorker, sql: Sql, remover: str
) -> None:
    won = {"claimed": 0, "removed": 0}
    for _ in range(ROUNDS):
        new = [NewJob("n", priority=n % 2, lifo=n % 3 == 0) for n in range(MANY)]
        ids = [job.id for job in queue.add_bulk(new)]

        def remove(ids: list[int] = ids) -> Any:
            if remover == "remove":
                return remove_each(queue, ids)
            if remover == "clean":
                return {
                    job_id
                    for state in ("waiting", "prioritized")
                    for job_id in queue.clean(0, state=state)  # type: ignore[arg-type]
                }
            if remover == "drain":
                return queue.drain()
            try:
                queue.obliterate()
            except QueueNotEmpty as error:
                return error
            return None

        claimed, removed = race(lambda: claim_all(worker), remove)
        queue.resume()
        claimed |= claim_all(worker)
        left = standing(sql)
        assert left == claimed, "what is not claimed is gone, what is claimed is there"
        if isinstance(removed, set):
            assert claimed | removed == set(ids)
            assert not claimed & removed
        if isinstance(removed, int):
            assert len(claimed) + removed == MANY
        if isinstance(removed, QueueNotEmpty):
            assert claimed == set(ids), "refused, so nothing was removed"
        assert_consistent(sql)
        won["claimed"] += len(claimed)
        won["removed"] += MANY - len(claimed)
        queue.obliterate(force=True)
    assert won["claimed"] + won["removed"] == MANY * ROUNDS


def test_obliterate_waits_for_a_claim_that_began_before_the_pause(
    queue: Queue, worker: HandWorker, sql: Sql
) -> None:
    """Its lease is not visible yet, but its jobs are active."""
    ids = [job.id for job in queue.add_bulk([NewJob("n")] * 5)]
    worker.connection.autocommit = False
    assert len(worker.claim(2)) == 2
    with ThreadPoolExecutor(1) as threads:
        obliterating = threads.submit(queue.obliterate)
        until(lambda: sql.value("SELECT paused FROM pgqueue.queue"))
        worker.connection.commit()
        with pytest.raises(QueueNotEmpty):
            obliterating.result(10)
    assert standing(sql) == set(ids)
    assert_consistent(sql)


def test_obliterate_does_not_wait_for_ever_for_a_writer_of_leases(
    queue: Queue, worker: HandWorker, sql: Sql
) -> None:
    queue.add_bulk([NewJob("n")] * 5)
    worker.connection.autocommit = False
    assert len(worker.claim(2)) == 2
    queue.obliterate()
    worker.connection.commit()
    assert_consistent(sql)
    assert queue.counts().active == 2, "a claim that outlasts our patience is kept"


@pytest.mark.parametrize("ending", ["commit", "rollback"])
@pytest.mark.parametrize("remover", ["drain", "remove", "clean"])
def test_a_removal_meets_a_claim_that_has_not_ended(
    queue: Queue, worker: HandWorker, sql: Sql, remover: str, ending: str
) -> None:
    job = queue.add("n")
    worker.connection.autocommit = False
    [claimed] = worker.claim()
    assert claimed.id == job.id

    def remove() -> object:
        if remover == "drain":
            return queue.drain() == 1
        if remover == "clean":
            return queue.clean(0, state="waiting") == [job.id]
        try:
            return queue.remove(job.id)
        except JobStateError:
            return False

    with ThreadPoolExecutor(1) as threads:
        removing = threads.submit(remove)
        until(lambda: removing.done() or blocked(sql))
        getattr(worker.connection, ending)()
        removed = removing.result(10)
    assert_consistent(sql)
    if ending == "commit":
        assert not removed
        assert queue.get(job.id).state == "active"
    elif removed:
        assert standing(sql) == set()
    else:
        assert remover == "drain", "it skips what others hold"
        assert queue.get(job.id).state == "waiting"


def blocked(sql: Sql) -> Any:
    return sql.value(
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )


def test_a_drain_beside_promotion_leaves_whole_jobs(
    queue: Queue, worker: HandWorker, sql: Sql
) -> None:
    params = {"queue_id": worker.queue_id, "low": 0, "limit": 5}
    for _ in range(ROUNDS):
        queue.add_bulk([NewJob("n", delay=3600) for _ in range(MANY)])
        sql.run("UPDATE pgqueue.delayed SET run_at = now()")

        def promote() -> int:
            promoted = 0
            while True:
                text = statements.load("promote_jobs")
                row = worker.connection.execute(text, params).fetchone()
                assert row is not None
                if not row[0]:
                    return promoted
                promoted += int(row[0])

        _, drained = race(promote, queue.drain)
        assert drained + queue.count() == MANY
        assert_consistent(sql)
        queue.drain()


def test_retry_and_removal_of_the_same_job_agree(
    queue: Queue, worker: HandWorker, sql: Sql
) -> None:
    for _ in range(ROUNDS):
        job = queue.add("n")
        worker.finish(worker.claim())

        def retry(job_id: int = job.id) -> Any:
            try:
                return queue.retry(job_id).state
            except LookupError:
                return None

        retried, removed = race(retry, lambda i=job.id: queue.remove(i))
        assert removed is True
        assert retried in ("waiting", None)
        assert standing(sql) == set()
        assert_consistent(sql)


def test_a_finish_and_a_forced_obliterate_agree(
    queue: Queue, worker: HandWorker, sql: Sql
) -> None:
    for _ in range(ROUNDS):
        queue.add_bulk([NewJob("n")] * 6)
        jobs = worker.claim(6)
        race(
            lambda jobs=jobs: [worker.finish([job]) for job in jobs],
            lambda: queue.obliterate(force=True),
        )
        assert standing(sql) == set()
        assert_consistent(sql)


def test_a_clean_of_active_jobs_and_recovery_agree(
    queue: Queue, worker: HandWorker, sql: Sql, dsn: str
) -> None:
    with psycopg.connect(dsn, autocommit=True) as connection:
        for _ in range(10):
            ids = {job.id for job in queue.add_bulk([NewJob("n")] * 6)}
            sql.run(
                "UPDATE pgqueue.worker SET dead_at = NULL, heartbeat_at = now()"
                " WHERE id = %s",
                [worker.id],
            )
            worker.claim(6)
            sql.run("UPDATE pgqueue.lease SET claimed_at = now() - interval '1 day'")
            worker.miss_heartbeats()
            op = maintenance.recover(9)
            recovered, cleaned = race(
                lambda op=op: {job.job_id for job in run(connection, op, "pgqueue")},
                lambda: set(queue.clean(0, state="active")),
            )
            assert recovered | cleaned == ids
            assert not recovered & cleaned
            assert standing(sql) == recovered
            assert_consistent(sql)
            queue.obliterate(force=True)


def test_a_worker_that_renews_is_never_cleaned(
    queue: Queue, worker: HandWorker, sql: Sql
) -> None:
    """It was late, but renews before clean declares it dead: its lease is valid."""
    job = queue.add("n")
    worker.claim()
    worker.miss_heartbeats()
    worker.connection.autocommit = False
    assert worker.renew()
    with ThreadPoolExecutor(1) as threads:
        cleaning = threads.submit(queue.clean, 0, state="active")
        until(lambda: blocked(sql))
        worker.connection.commit()
        assert cleaning.result(10) == []
    assert queue.get(job.id).state == "active"


def test_queues_made_at_once_by_many_are_one(dsn: str, sql: Sql) -> None:
    for n in range(10):
        with Queue(f"q{n}", dsn=dsn) as queue:
            race(*[lambda q=queue: q.add("n") for _ in range(8)])
    assert sql.value("SELECT count(*) FROM pgqueue.queue") == 10
    assert sql.value("SELECT count(*) FROM pgqueue.jobs") == 80
