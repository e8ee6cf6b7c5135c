"""Claims of groups begin where the last one ended, and overlook nothing before it."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from claims import HIGHEST, LOWEST, HandWorker
from pgqueue import NewJob, Queue
from pgqueue import sql as statements

if TYPE_CHECKING:
    from collections.abc import Iterator

    from conftest import Sql

LOW = 'SELECT low_seq FROM pgqueue.line WHERE "group" = %s'


@pytest.fixture
def worker(dsn: str, queue: Queue) -> Iterator[HandWorker]:
    made = HandWorker(dsn, "work")
    yield made
    made.close()


@contextmanager
def held_snapshot(dsn: str) -> Iterator[None]:
    """Keep every row version from now on visible to somebody."""
    with psycopg.connect(dsn) as connection:
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        connection.execute("SELECT FROM pgqueue.queue")
        yield


def ids(jobs: Any) -> list[int]:
    return [job.id for job in jobs]


def test_a_job_that_commits_late_is_claimed_in_its_place(
    dsn: str, queue: Queue, worker: HandWorker, sql: Sql
) -> None:
    first = queue.add("n", group="a")
    with psycopg.connect(dsn) as own:
        late = queue.add("late", group="a", connection=own)
        more = [queue.add("n", group="a").id for _ in range(3)]
        assert ids(worker.claim_grouped(2)) == [first.id, more[0]]
        assert sql.value(LOW, ["a"]) == more[0] + 1
        own.commit()
    assert ids(worker.claim_grouped(9)) == [late.id, *more[1:]]


def test_what_goes_before_what_was_claimed_is_claimed_next(
    queue: Queue, worker: HandWorker
) -> None:
    jobs = [queue.add("n", group="a", priority=5).id for _ in range(3)]
    assert ids(worker.claim_grouped()) == jobs[:1]
    urgent = queue.add("n", group="a", priority=1).id
    assert ids(worker.claim_grouped()) == [urgent]
    last = queue.add("n", group="a", priority=5, lifo=True).id
    assert ids(worker.claim_grouped()) == [last]
    assert queue.change_priority(jobs[2], 1)
    assert ids(worker.claim_grouped(9)) == [jobs[2], jobs[1]]


def test_a_job_that_somebody_held_is_claimed_once_it_is_let_go(
    dsn: str, queue: Queue, worker: HandWorker, sql: Sql
) -> None:
    jobs = [queue.add("n", group="a").id for _ in range(4)]
    with psycopg.connect(dsn) as own:
        queue.remove(jobs[0], connection=own)
        assert ids(worker.claim_grouped(2)) == jobs[1:3]
        assert sql.value(LOW, ["a"]) < jobs[0]
        own.rollback()
    assert ids(worker.claim_grouped(9)) == [jobs[0], jobs[3]]


def test_jobs_that_come_back_are_claimed_again(
    queue: Queue, worker: HandWorker
) -> None:
    jobs = [queue.add("n", group="a").id for _ in range(4)]
    taken = worker.claim_grouped(3)
    worker.finish(taken[:1], "waiting", seq=taken[0].seq)
    assert ids(worker.claim_grouped(9)) == [jobs[0], jobs[3]]


def test_a_place_that_is_wrong_mends_itself(
    queue: Queue, worker: HandWorker, sql: Sql
) -> None:
    jobs = [queue.add("n", group="a").id for _ in range(3)]
    assert ids(worker.claim_grouped()) == jobs[:1]
    sql.run("UPDATE pgqueue.line SET low_seq = low_seq + 1000")
    assert worker.claim_grouped() == []
    sql.run("UPDATE pgqueue.line SET until = now() WHERE until IS NOT NULL")
    assert ids(worker.claim_grouped(9)) == jobs[1:]


def blocks_of_a_claim(worker: HandWorker) -> int:
    """Return how many blocks the statements of a claim look at; it is taken back."""
    params = {
        "queue_id": worker.queue_id,
        "worker_id": worker.id,
        "from_priority": [LOWEST[0]],
        "from_seq": [LOWEST[1]],
        "to_priority": [HIGHEST[0]],
        "to_seq": [HIGHEST[1]],
        "limit": 50,
        "ring": False,
        "from_turn": worker.turn,
    }
    read = 0
    with worker.connection.transaction(force_rollback=True):
        for name in ("claim_grouped", "look_at_groups"):
            text = b"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) " + statements.load(name)
            row = worker.connection.execute(text, params).fetchone()
            plan = row[0][0]["Plan"]  # type: ignore[index]
            read += plan["Shared Hit Blocks"] + plan["Shared Read Blocks"]
    return int(read)


def test_an_old_snapshot_does_not_make_claims_of_groups_dear(
    dsn: str, queue: Queue, worker: HandWorker, sql: Sql
) -> None:
    queue.add_bulk([NewJob("n", group=f"g{n % 50}") for n in range(6000)])
    sql.run("ANALYZE pgqueue.ready, pgqueue.line, pgqueue.job")
    with held_snapshot(dsn):
        for _ in range(3):
            assert len(worker.claim_grouped(50)) == 50
        before = blocks_of_a_claim(worker)
        for _ in range(100):
            assert len(worker.claim_grouped(50)) == 50
        after = blocks_of_a_claim(worker)
    # Without the places where claims begin it was three times as many already.
    assert after < 3 * before, (before, after)
