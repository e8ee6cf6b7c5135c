"""Seek hints on a real queue: late commits are found, old snapshots cost nothing."""

from __future__ import annotations

import asyncio
import json
import time
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from psycopg.rows import tuple_row

from pgqueue import NewJob, Queue, Worker
from pgqueue import sql as statements
from pgqueue.worker.intake import Intake
from waiting import SOON, until_async
from working import Facts, drain, work_for

if TYPE_CHECKING:
    from conftest import Sql


async def keep_busy(queue: Queue, over: asyncio.Event) -> None:
    """Keep a backlog, so that the worker never has a reason to look elsewhere."""
    while not over.is_set():
        if await asyncio.to_thread(queue.count) < 2000:
            jobs = [NewJob("n", remove_on_complete=True) for _ in range(4000)]
            await asyncio.to_thread(queue.add_bulk, jobs, count_only=True)
        await until_async(lambda: True)


async def test_a_busy_worker_finds_what_commits_late(dsn: str, queue: Queue) -> None:
    at: dict[int, float] = {}

    async def handler(job: Any) -> None:
        if job.name == "late":
            at[job.id] = time.monotonic()
        else:
            await work_for(0.005)

    over = asyncio.Event()
    queue.add_bulk([NewJob("n", remove_on_complete=True) for _ in range(4000)])
    waits = []
    async with Worker("work", handler, dsn=dsn, concurrency=20):
        busy = asyncio.ensure_future(keep_busy(queue, over))
        for _ in range(3):
            with psycopg.connect(dsn) as own:
                job = queue.add("late", connection=own)
                # Open long enough for the hints to pass it by.
                with pytest.raises(pytest.fail.Exception):
                    await until_async(lambda job=job: job.id in at, 0.8)
                committed = time.monotonic()
                own.commit()
                await until_async(lambda job=job: job.id in at, 20)
                waits.append(at[job.id] - committed)
        over.set()
        await busy
        queue.drain()
    print(f"late commits: found after {', '.join(f'{w:.2f}' for w in waits)} s")  # noqa: T201
    assert max(waits) < 2 * SOON


async def test_a_released_job_is_found_at_its_old_place(
    dsn: str, queue: Queue, facts: Facts
) -> None:
    order: list[int] = []
    stuck = asyncio.Event()

    async def first(job: Any) -> None:
        if job.data >= 300:
            stuck.set()
            await asyncio.Event().wait()

    async def second(job: Any) -> None:
        order.append(job.data)

    queue.add_bulk([NewJob("n", n) for n in range(1000)])
    worker = Worker("work", first, dsn=dsn, concurrency=5, shutdown_timeout=0)
    async with worker:
        await asyncio.wait_for(stuck.wait(), 10)
        await until_async(lambda: queue.counts().active == 5)
    await drain(Worker("work", second, dsn=dsn, concurrency=1))
    assert order == list(range(300, 1000))


@pytest.mark.slow
async def test_a_held_snapshot_does_not_make_claims_dear(
    dsn: str, queue: Queue, sql: Sql, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def handler(job: Any) -> None: ...

    intakes: list[Intake] = []
    claimed = Intake.claimed

    def note(self: Intake, *args: Any) -> None:
        intakes.append(self)
        claimed(self, *args)

    monkeypatch.setattr(Intake, "claimed", note)
    queue.add_bulk([NewJob("n")])
    with psycopg.connect(dsn) as snapshot:
        snapshot.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        snapshot.execute("SELECT count(*) FROM pgqueue.ready")
        jobs = [NewJob("n", remove_on_complete=True) for _ in range(50_000)]
        queue.add_bulk(jobs, count_only=True)
        await drain(Worker("work", handler, dsn=dsn, concurrency=100), within=60)
        queue.add_bulk([NewJob("n") for _ in range(200)])
        now = asyncio.get_running_loop().time() + 1
        intake = intakes[-1]
        for lane in intake.seek.lanes.values():
            lane.follow(now)
        intake.hungry = False
        intake.seek.swept_at = now
        hinted = cost(sql, intake.claim(1, 1, now).params)
        intake.seek.swept_at = 0.0
        swept = cost(sql, intake.claim(1, 1, now).params)
    print(f"claim of one under a held snapshot: {hinted} buffers, unhinted {swept}")  # noqa: T201
    assert hinted < 100
    assert hinted * 4 < swept


def cost(sql: Sql, params: Any) -> int:
    """Return how many buffers a claim touches; it is rolled back."""
    connection = sql.connection
    explain = b"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) "
    with connection.transaction(force_rollback=True):
        connection.cursor(row_factory=tuple_row).execute(
            statements.load("plan_by_index")
        )
        (plan,) = connection.execute(
            explain + statements.load("claim_jobs"), params
        ).fetchone() or ("",)
    root = (json.loads(plan) if isinstance(plan, str) else plan)[0]["Plan"]
    return int(root["Shared Hit Blocks"] + root["Shared Read Blocks"])
