"""A batch of outcomes: one that cannot be written hurts no other, none is forged."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any

import pytest

from claims import HandWorker
from pgqueue import NewJob, Queue, Worker
from pgqueue.db.run import run
from pgqueue.ops import maintenance
from pgqueue.testing import travel
from waiting import until, until_async
from working import Facts, Heard, drain

if TYPE_CHECKING:
    from collections.abc import Iterator

    from conftest import Sql


@pytest.fixture
def poison(sql: Sql) -> Iterator[str]:
    """A result, or reason, that the database refuses."""
    for column in ("result", "error"):
        sql.run(
            f"ALTER TABLE pgqueue.finished ADD CONSTRAINT wrong_{column}"
            f" CHECK ({column}::text NOT LIKE '%poison%')"
        )
    yield "poison"
    for column in ("result", "error"):
        sql.run(f"ALTER TABLE pgqueue.finished DROP CONSTRAINT wrong_{column}")


async def test_an_outcome_that_is_refused_fails_its_own_job_only(
    dsn: str, queue: Queue, poison: str
) -> None:
    runs: list[int] = []

    async def handler(job: Any) -> str:
        runs.append(job.id)
        return poison if job.name == "bad" else "good"

    jobs = queue.add_bulk([NewJob(("bad", "good")[n % 10 > 0]) for n in range(200)])
    worker = Worker("work", handler, dsn=dsn, concurrency=50)
    heard = Heard(worker, "completed", "failed", "lease_lost", "error")
    await drain(worker)
    assert sorted(runs) == [job.id for job in jobs]
    counts = queue.counts()
    assert (counts.completed, counts.failed, counts.active) == (180, 20, 0)
    assert "cannot be stored" in str(queue.jobs("failed")[0].error)
    assert "poison" not in str(queue.jobs("failed")[0].error)
    assert len(heard.of("completed")) == 180
    assert len(heard.of("failed")) == 20
    assert not heard.of("lease_lost")


async def test_what_cannot_even_fail_is_tried_again_and_not_run_again(
    dsn: str, queue: Queue, sql: Sql, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pgqueue.worker.claimer.LONGEST_PAUSE", 0.2)
    sql.run("ALTER TABLE pgqueue.finished ADD CONSTRAINT none CHECK (job_id <> 1)")
    runs: list[int] = []

    async def handler(job: Any) -> None:
        runs.append(job.id)

    bad, good = queue.add("bad"), queue.add("good")
    worker = Worker("work", handler, dsn=dsn, concurrency=1)
    heard = Heard(worker, "completed", "error")
    async with worker:
        await until_async(lambda: queue.get(good.id).state == "completed")
        await until_async(lambda: len(heard.of("error")) >= 4)
        assert queue.get(bad.id).state == "active"
        sql.run("ALTER TABLE pgqueue.finished DROP CONSTRAINT none")
        await until_async(lambda: queue.get(bad.id).state == "completed")
    assert runs == [bad.id, good.id]
    assert [job.id for job, _ in heard.of("completed")] == [good.id, bad.id]


async def test_a_refusal_for_the_moment_loses_nothing(
    dsn: str, queue: Queue, sql: Sql, facts: Facts
) -> None:
    """As with a full disk: 53100 until somebody makes room."""
    sql.run(
        "CREATE FUNCTION pgqueue.refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        " RAISE EXCEPTION 'no room' USING ERRCODE = '53100'; END $$"
    )
    trigger = "CREATE TRIGGER refuse BEFORE INSERT ON pgqueue.finished"
    sql.run(f"{trigger} FOR EACH ROW EXECUTE FUNCTION pgqueue.refuse()")
    runs: list[int] = []

    async def handler(job: Any) -> None:
        runs.append(job.id)

    jobs = queue.add_bulk([NewJob("n") for _ in range(20)])
    worker = Worker("work", handler, dsn=dsn)
    heard = Heard(worker, "completed", "failed", "lease_lost")
    async with worker:
        await until_async(lambda: facts.count("worker.error") >= 3)
        assert not heard.events
        sql.run("DROP FUNCTION pgqueue.refuse() CASCADE")
        await until_async(lambda: queue.counts().completed == 20)
    assert sorted(runs) == [job.id for job in jobs]
    assert heard.names() == ["completed"] * 20


async def test_a_claim_that_is_refused_is_tried_again(
    dsn: str, queue: Queue, sql: Sql, facts: Facts
) -> None:
    sql.run("ALTER TABLE pgqueue.lease ADD CONSTRAINT none CHECK (job_ids IS NULL)")
    job = queue.add("n")

    async def handler(active: Any) -> None: ...

    async with Worker("work", handler, dsn=dsn):
        await until_async(lambda: facts.count("worker.error") >= 3)
        sql.run("ALTER TABLE pgqueue.lease DROP CONSTRAINT none")
        await until_async(lambda: queue.get(job.id).state == "completed")


@pytest.fixture
def hands(dsn: str, queue: Queue) -> Iterator[tuple[HandWorker, HandWorker]]:
    workers = HandWorker(dsn, "work"), HandWorker(dsn, "work")
    yield workers
    for one in workers:
        one.close()


Hands = tuple[HandWorker, HandWorker]


def test_nothing_forged_is_accepted(queue: Queue, hands: Hands, sql: Sql) -> None:
    mine, other = hands
    queue.add_bulk([NewJob("n") for _ in range(3)])
    first, second = mine.claim(2)
    (foreign,) = other.claim(1)
    before = sql.all("SELECT * FROM pgqueue.lease ORDER BY id")
    assert mine.finish([first._replace(lease=first.lease + 99)]) == []
    assert mine.finish([foreign]) == []
    assert mine.finish([foreign._replace(lease=first.lease)]) == []
    assert other.finish([first, second]) == []
    assert mine.finish([first._replace(id=10**9)]) == []
    assert sql.all("SELECT * FROM pgqueue.lease ORDER BY id") == before
    assert sql.value("SELECT count(*) FROM pgqueue.finished") == 0


def test_finishing_a_part_of_a_lease_keeps_the_rest(
    queue: Queue, hands: Hands, sql: Sql
) -> None:
    mine, _ = hands
    queue.add_bulk([NewJob("n") for _ in range(5)])
    jobs = mine.claim(5)
    assert mine.finish(jobs[1:3]) == [job.id for job in jobs[1:3]]
    assert mine.finish(jobs[1:3]) == []
    left = sql.one("SELECT job_ids, attempts, stalls FROM pgqueue.lease")
    assert sorted(left.job_ids) == [jobs[0].id, jobs[3].id, jobs[4].id]
    assert (len(left.attempts), len(left.stalls)) == (3, 3)
    mine.finish(jobs)
    assert sql.value("SELECT count(*) FROM pgqueue.lease") == 0
    assert queue.counts().completed == 5


def in_background(call: Any) -> tuple[threading.Thread, list[Any]]:
    answer: list[Any] = []
    thread = threading.Thread(target=lambda: answer.append(call()))
    thread.start()
    return thread, answer


WAITS = "SELECT count(*) FROM pg_locks WHERE NOT granted AND pid IN (%s, %s)"


def test_whoever_locks_the_lease_first_decides_finish_before_recover(
    dsn: str, queue: Queue, hands: Hands, sql: Sql
) -> None:
    mine, other = hands
    job = queue.add("n")
    claimed = mine.claim()
    travel(minutes=1, connection=sql.connection)
    with mine.connection.transaction():
        assert mine.finish(claimed) == [job.id]
        sweep, found = in_background(
            lambda: run(other.connection, maintenance.recover(1), "pgqueue")
        )
        pids = [one.connection.info.backend_pid for one in hands]
        until(lambda: sql.value(WAITS, pids) == 1)
    sweep.join()
    assert found == [[]]
    assert queue.get(job.id).state == "completed"


def test_whoever_locks_the_lease_first_decides_recover_before_finish(
    dsn: str, queue: Queue, hands: Hands, sql: Sql
) -> None:
    mine, other = hands
    job = queue.add("n")
    claimed = mine.claim()
    travel(minutes=1, connection=sql.connection)
    with other.connection.transaction():
        recovered = run(other.connection, maintenance.recover(1), "pgqueue")
        assert [one.job_id for one in recovered] == [job.id]
        finish, answer = in_background(lambda: mine.finish(claimed))
        pids = [one.connection.info.backend_pid for one in hands]
        until(lambda: sql.value(WAITS, pids) == 1)
    finish.join()
    assert answer == [[]]
    assert queue.get(job.id).state == "waiting"


def test_clean_takes_active_jobs_only_from_the_dead(
    dsn: str, queue: Queue, hands: Hands, sql: Sql
) -> None:
    mine, other = hands
    queue.add_bulk([NewJob("n") for _ in range(2)])
    (dead,), (alive,) = mine.claim(), other.claim()
    mine.miss_heartbeats()
    assert queue.clean(0, state="active") == [dead.id]
    assert mine.finish([dead]) == []
    assert other.finish([alive]) == [alive.id]


async def test_obliterate_with_force_refuses_what_handlers_report(
    dsn: str, queue: Queue
) -> None:
    go = asyncio.Event()

    async def handler(job: Any) -> None:
        await go.wait()

    worker = Worker("work", handler, dsn=dsn)
    heard = Heard(worker, "completed", "lease_lost")
    async with worker:
        job = queue.add("n")
        await until_async(lambda: queue.counts().active == 1)
        queue.obliterate(force=True)
        go.set()
        await until_async(lambda: heard.of("lease_lost") == [(job.id,)])
    assert heard.names() == ["lease_lost"]
