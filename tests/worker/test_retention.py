"""Retention end to end: job option, worker option, queue default; maintenance applies it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from claims import HandWorker
from pgqueue import KeepJobs, NewJob, Queue, Worker
from pgqueue.db.run import run
from pgqueue.ops import maintenance
from pgqueue.testing import travel
from waiting import until_async
from working import Facts, drain

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from conftest import Sql


async def body(job: Any) -> None:
    if job.name == "bad":
        raise OSError("bad")


@pytest.fixture
async def keeper(dsn: str, queue: Queue) -> AsyncIterator[Worker]:
    """A worker of another queue: it maintains, and finishes nothing here."""
    async with Worker(["other", "work"], body, dsn=dsn, lease=1) as worker:
        yield worker


def kept(queue: Queue) -> tuple[int, int]:
    counts = queue.counts()
    return counts.completed, counts.failed


async def test_true_removes_in_the_finishing_statement(
    dsn: str, queue: Queue, sql: Sql
) -> None:
    queue.add_bulk(
        [
            NewJob(name, remove_on_complete=True, remove_on_fail=True, attempts=2)
            for name in ("good", "bad")
        ]
    )
    await drain(Worker("work", body, dsn=dsn))
    for table in ("job", "finished", "attempt", "progress", "lease"):
        assert sql.value(f"SELECT count(*) FROM pgqueue.{table}") == 0


async def test_a_number_keeps_the_newest(queue: Queue, keeper: Worker) -> None:
    jobs = queue.add_bulk(
        [
            NewJob(name, remove_on_complete=3, remove_on_fail=2)
            for name in ("good", "bad") * 10
        ]
    )
    await until_async(lambda: kept(queue) == (3, 2))
    assert {job.id for job in queue.jobs("completed")} <= {job.id for job in jobs}


async def test_an_age_is_kept_with_nobody_finishing_another_job(
    queue: Queue, keeper: Worker, facts: Facts
) -> None:
    rule = KeepJobs(age=0.5)
    soon = queue.add("good", remove_on_complete=rule)
    later = queue.add("good", remove_on_complete=KeepJobs(age=3600))
    await until_async(lambda: kept(queue) == (2, 0))
    await until_async(lambda: kept(queue) == (1, 0), 5)
    assert [job.id for job in queue.jobs("completed")] == [later.id]
    assert soon.id != later.id
    await until_async(
        lambda: facts.of("jobs.pruned") == [{"queue": "work", "count": 1}]
    )


async def test_the_workers_option_is_for_jobs_that_do_not_say(
    dsn: str, queue: Queue
) -> None:
    own = queue.add("good", remove_on_complete=False)
    queue.add("good")
    queue.add("bad")
    worker = Worker("work", body, dsn=dsn, remove_on_complete=True, remove_on_fail=True)
    await drain(worker)
    assert [job.id for job in queue.jobs()] == [own.id]


async def test_the_queues_default_is_for_the_rest(
    dsn: str, queue: Queue, sql: Sql
) -> None:
    queue.add_bulk(
        [NewJob("good"), NewJob("bad"), NewJob("good", remove_on_complete=False)]
    )
    await drain(Worker("work", body, dsn=dsn))
    ages = sql.all(
        "SELECT extract(day FROM expires_at - finished_at) AS days"
        " FROM pgqueue.finished ORDER BY job_id"
    )
    assert [row.days for row in ages] == [7, 30, None]


@pytest.mark.parametrize(
    ("keep", "age", "count"),
    [
        (True, 0, None),
        (False, None, None),
        (0, 0, 0),
        (7, None, 7),
        (KeepJobs(age=60.5), 60.5, None),
        (KeepJobs(age=60, count=9), 60, 9),
        (None, 30 * 86400, None),
    ],
)
def test_a_job_that_fails_by_stalling_keeps_its_own_rule(  # noqa: PLR0917  parameters
    dsn: str, queue: Queue, sql: Sql, keep: Any, age: float | None, count: int | None
) -> None:
    queue.add("n", remove_on_fail=keep)
    stall(dsn, sql)
    row = sql.one(
        "SELECT extract(epoch FROM expires_at - finished_at)::float8 AS age, keep_count"
        " FROM pgqueue.finished"
    )
    assert row.age == (None if age is None else pytest.approx(age, abs=0.01))
    assert row.keep_count == count


@pytest.mark.parametrize(
    "options",
    [
        '{"remove_on_fail": "x"}',
        '{"remove_on_fail": {"age": [], "count": 1e400}}',
        '{"remove_on_fail": -1.5}',
        "[1]",
        "7",
        '"text"',
        '{"remove_on_fail": null}',
    ],
)
def test_nonsense_in_a_jobs_options_does_not_stop_recovery(
    dsn: str, queue: Queue, sql: Sql, options: str
) -> None:
    queue.add("n")
    sql.run("UPDATE pgqueue.job SET options = %s", [options])
    stall(dsn, sql)
    assert queue.counts().failed == 1


def stall(dsn: str, sql: Sql) -> None:
    """Let a worker claim everything and die; no stalls are allowed."""
    dead = HandWorker(dsn, "work")
    dead.claim(100)
    travel(minutes=1, connection=sql.connection)
    assert run(dead.connection, maintenance.recover(0), "pgqueue")
    dead.close()
