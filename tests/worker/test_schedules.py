"""Schedules as workers run them: on time, once, whatever dies."""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from pgqueue import Queue, Worker
from processes import Process
from waiting import SOON, until, until_async
from working import KINDS, Heard, drain, handler_of, work_for

if TYPE_CHECKING:
    from conftest import PrivateServer, Sql

MADE = """
    SELECT options->>'schedule' AS key, (options->>'scheduled_at')::timestamptz AS at
    FROM pgqueue.job WHERE options->>'schedule' IS NOT NULL ORDER BY 1, 2
"""


@pytest.mark.parametrize("kind", KINDS)
async def test_a_schedule_fires_on_its_grid_until_its_limit(
    queue: Queue, dsn: str, kind: str
) -> None:
    seen: list[Any] = []
    handler = handler_of(kind, seen.append)
    queue.upsert_schedule("tick", every=0.05, limit=5, data={"n": 1})
    async with Worker("work", handler, dsn=dsn):
        await until_async(lambda: queue.get_schedule("tick").ended)
        await until_async(lambda: queue.counts().completed == 5)
    instants = [job.scheduled_at for job in seen]
    assert instants == sorted(set(instants))
    assert {job.schedule for job in seen} == {"tick"}
    assert all(job.claimed_at >= job.scheduled_at for job in seen)
    steps = [b - a for a, b in itertools.pairwise(instants)]
    assert all(step % timedelta(seconds=0.05) == timedelta(0) for step in steps)
    assert queue.get_schedule("tick").iteration == 5


async def test_a_sleeping_worker_starts_an_occurrence_on_time(
    queue: Queue, dsn: str
) -> None:
    late: list[timedelta] = []

    async def handler(job: Any) -> None:
        late.append(job.claimed_at - job.scheduled_at)

    queue.upsert_schedule("tick", every=0.3, limit=4)
    async with Worker("work", handler, dsn=dsn):
        await until_async(lambda: len(late) == 4)
    assert sorted(late)[1] < timedelta(seconds=SOON)


async def test_occurrences_may_overlap(queue: Queue, dsn: str) -> None:
    gate = asyncio.Event()
    running = 0

    async def handler(job: Any) -> None:
        nonlocal running
        running += 1
        await gate.wait()

    queue.upsert_schedule("tick", every=0.05, limit=3)
    async with Worker("work", handler, dsn=dsn):
        await until_async(lambda: running == 3)
        gate.set()


async def test_a_full_worker_advances_what_it_has_begun(queue: Queue, dsn: str) -> None:
    """With every slot taken and nothing to claim, the schedule still goes on."""
    gate = asyncio.Event()

    async def handler(job: Any) -> None:
        await gate.wait()

    queue.upsert_schedule("tick", every=3600, immediately=True)
    async with Worker("work", handler, concurrency=1, dsn=dsn):
        await until_async(lambda: queue.counts().active == 1)
        await until_async(lambda: queue.counts().delayed == 1)
        gate.set()


async def test_a_failed_occurrence_does_not_stop_its_schedule(
    queue: Queue, dsn: str
) -> None:
    async def handler(job: Any) -> None:
        raise OSError(job.id)

    queue.upsert_schedule("tick", every=0.05, limit=3, attempts=2)
    worker = Worker("work", handler, dsn=dsn)
    heard = Heard(worker, "failed")
    async with worker:
        await until_async(lambda: queue.counts().failed == 3)
    assert len(heard.of("failed")) == 6


async def test_an_occurrence_expires_by_its_own_time_not_by_when_it_was_added(
    queue: Queue, dsn: str, sql: Sql
) -> None:
    """The job is added an occurrence early, so long before it may start."""
    seen: list[int] = []

    async def handler(job: Any) -> None:
        seen.append(job.id)

    made = queue.upsert_schedule("tick", every=3600, expires=60, limit=2)
    assert made.job_id is not None
    assert queue.get(made.job_id).expires == made.next_at + timedelta(seconds=60)
    sql.run(
        "UPDATE pgqueue.job SET created_at = created_at - interval '2 hours';"
        "UPDATE pgqueue.delayed SET run_at = now()"
    )
    async with Worker("work", handler, dsn=dsn):
        await until_async(lambda: seen == [made.job_id])
        await until_async(lambda: queue.counts().delayed == 1)
        sql.run(
            "UPDATE pgqueue.job SET options = (options::jsonb || jsonb_build_object("
            " 'scheduled_at', now() - interval '2 hours'))::json"
            " WHERE id <> %(id)s",
            {"id": made.job_id},
        )
        sql.run("UPDATE pgqueue.delayed SET run_at = now()")
        queue.add("wake")
        await until_async(lambda: queue.counts().failed == 1)


async def test_jobs_removed_on_completion_advance_too(queue: Queue, dsn: str) -> None:
    count = 0

    async def handler(job: Any) -> None:
        nonlocal count
        count += 1

    queue.upsert_schedule("tick", every=0.02, limit=10, remove_on_complete=True)
    async with Worker("work", handler, dsn=dsn):
        await until_async(lambda: count == 10)
        await until_async(lambda: queue.counts().total == 0)


async def test_a_schedule_that_a_transaction_holds_stops_no_worker(
    queue: Queue, dsn: str
) -> None:
    done: list[str] = []

    async def handler(job: Any) -> None:
        done.append(job.name)

    queue.upsert_schedule("held", every=3600, immediately=True)
    with psycopg.connect(dsn) as connection:
        connection.execute("SELECT FROM pgqueue.schedule FOR UPDATE")
        async with Worker("work", handler, dsn=dsn):
            await until_async(lambda: done == ["held"])
            queue.add("other")
            await until_async(lambda: queue.counts().completed == 2)
            assert queue.counts().delayed == 0
            connection.rollback()
            await until_async(lambda: queue.counts().delayed == 1)
    assert queue.get_schedule("held").iteration == 1


async def test_a_queue_that_was_paused_for_long_runs_one_late_job(
    queue: Queue, dsn: str, sql: Sql
) -> None:
    seen: list[Any] = []

    async def handler(job: Any) -> None:
        seen.append(job.scheduled_at)

    day = 24 * 3600
    half_a_day_from_now = (time.time() + day / 2) % day
    queue.upsert_schedule("tick", every=day, offset=half_a_day_from_now)
    sql.run(
        "UPDATE pgqueue.delayed SET run_at = run_at - interval '30 days';"
        "UPDATE pgqueue.schedule SET next_at = next_at - interval '30 days';"
        'UPDATE pgqueue.job SET options = \'{"schedule": "tick"}\''
    )
    queue.pause()
    async with Worker("work", handler, dsn=dsn):
        await until_async(lambda: queue.counts().waiting == 1)
        assert queue.get_schedule("tick").iteration == 0
        queue.resume()
        await until_async(lambda: queue.counts().completed == 1)
        assert queue.get_schedule("tick").iteration == 1
    assert len(seen) == 1
    assert queue.counts().delayed == 1


async def test_a_queue_with_a_limit_fires_its_schedules(queue: Queue, dsn: str) -> None:
    running = most = 0

    async def handler(job: Any) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await work_for(0.005)
        running -= 1

    queue.set_concurrency(1)
    queue.upsert_schedule("tick", every=0.02, limit=10)
    async with Worker("work", handler, dsn=dsn):
        await until_async(lambda: queue.counts().completed == 10)
    assert most == 1


@pytest.mark.parametrize("kind", ["async def", "def"])
def test_isolated_handlers_run_schedules_too(queue: Queue, dsn: str, kind: str) -> None:
    queue.upsert_schedule("tick", every=3600, immediately=True, data={"n": 1})
    with Process(dsn, kind=kind, isolation="process", concurrency=1):
        until(lambda: queue.counts().completed == 1)
    assert queue.get_schedule("tick").iteration == 1
    assert queue.counts().delayed == 1


async def test_maintenance_repairs_a_schedule_whose_job_was_removed(
    queue: Queue, dsn: str
) -> None:
    made = queue.upsert_schedule("tick", every=3600)
    assert made.job_id is not None
    queue.remove(made.job_id)

    async def handler(job: Any) -> None: ...

    async with Worker("work", handler, lease=1, dsn=dsn):
        await until_async(lambda: queue.counts().delayed == 1)
    assert queue.get_schedule("tick").iteration == 0


async def test_a_queue_without_schedules_sends_no_statement_for_them(
    queue: Queue, dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pgqueue.worker.session import Session  # noqa: PLC0415

    sent: list[str] = []
    exchange = Session.exchange

    async def listening(self: Session, statements: Any) -> Any:
        sent.extend(one.name for one in statements)
        return await exchange(self, statements)

    async def handler(job: Any) -> None: ...

    monkeypatch.setattr(Session, "exchange", listening)
    for _ in range(20):
        queue.add("plain")
    await drain(Worker("work", handler, dsn=dsn))
    assert "claim_jobs" in sent
    assert not [name for name in sent if "schedule" in name]


@pytest.mark.timeout(600)  # a server in a container on a busy machine is slow
def test_four_processes_and_kills_make_one_job_an_occurrence(
    queue: Queue, dsn: str, sql: Sql
) -> None:
    """Fifty cadences two hundred times each, while workers are killed and replaced."""
    for n in range(50):
        queue.upsert_schedule(f"s{n}", every=0.01, limit=200, attempts=5)

    def fired() -> int:
        return int(
            sql.value("SELECT coalesce(sum(iteration), 0) FROM pgqueue.schedule")
        )

    options: dict[str, Any] = {"lease": 4, "max_stalled": 100, "concurrency": 20}
    workers = [Process(dsn, **options) for _ in range(4)]
    try:
        for kill in range(4):
            until(lambda enough=2000 * (kill + 1): fired() >= enough, 240)
            workers[kill].kill()
            workers.append(Process(dsn, **options))
        until(lambda: fired() == 10_000, 240)
        until(lambda: queue.counts().completed == 10_000, 120)
    finally:
        for worker in workers:
            worker.__exit__()
    made = sql.all(MADE)
    assert len(made) == len(set(made)) == 10_000
    assert all(one.ended for one in queue.schedules())


def test_upserts_pauses_and_removals_under_load_repeat_no_occurrence(
    queue: Queue, dsn: str, sql: Sql
) -> None:
    """Two workers run what two callers change all the time."""
    rules = random.Random(7)  # noqa: S311  (the test's own dice)

    def change(key: str, times: int) -> None:
        for _ in range(times):
            match rules.randrange(4):
                case 0:
                    queue.pause_schedule(key)
                    queue.resume_schedule(key)
                case 1:
                    queue.upsert_schedule(key, every=0.02)
                case _:
                    queue.upsert_schedule(key, every=0.01, missed="all")

    for key in ("a", "b"):
        queue.upsert_schedule(key, every=0.01, missed="all")
    with Process(dsn, concurrency=5), Process(dsn, concurrency=5):
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(change, "aabb", [100] * 4))
        before = {one.key: one.iteration for one in queue.schedules()}
        until(
            lambda: all(
                one.iteration >= before[one.key] + 10 for one in queue.schedules()
            )
        )
        for key in ("a", "b"):
            queue.pause_schedule(key)
        until(lambda: queue.counts().active + queue.count() == 0)
    made = sql.all(MADE)
    assert len(made) == len(set(made)) >= 20
    assert len(made) == sum(one.iteration for one in queue.schedules())


def test_schedules_survive_a_restart_of_the_server(
    private_server: PrivateServer,
) -> None:
    with Queue("work", dsn=private_server.dsn) as queue:
        queue.upsert_schedule("tick", every=0.1)
        with Process(private_server.dsn, lease=5) as worker:
            worker.until("completed", 3)
            private_server.restart()
            before = len(worker.said("completed"))
            worker.until("completed", before + 5, timeout=40)
        until(lambda: queue.get_schedule("tick").iteration >= 8)
    with psycopg.connect(private_server.dsn) as connection:
        made = connection.execute(MADE).fetchall()
    assert len(made) == len(set(made))
