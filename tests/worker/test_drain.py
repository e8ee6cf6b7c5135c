"""`drain=True`: a worker ends once none of its queues holds a job that may start."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from pgqueue import AsyncQueue, NewJob, Worker
from waiting import SOON, until_async
from working import drain, work_for

if TYPE_CHECKING:
    from conftest import Sql
    from pgqueue import Queue
    from working import Facts

BLOCKED = """
    SELECT 1 FROM pg_locks WHERE NOT granted AND relation = 'pgqueue.ready'::regclass
"""

NAMES = ["a", "b", "c"]


@pytest.mark.parametrize("concurrency", [1, 50])
async def test_drain_runs_what_handlers_add_to_other_queues_of_the_worker(
    dsn: str, sql: Sql, monkeypatch: pytest.MonkeyPatch, concurrency: int
) -> None:
    """Each job adds the next one to another queue, right before it ends."""
    # The moment to get wrong is short: look for it all the time.
    monkeypatch.setattr("pgqueue.worker.incarnation.LOOK_FOR_DRAINED", 0.0002)
    ran: list[int] = []
    async with AsyncExitStack() as stack:
        queues = [
            await stack.enter_async_context(AsyncQueue(name, dsn=dsn)) for name in NAMES
        ]

        async def handler(job: Any) -> None:
            ran.append(job.data)
            if job.data:
                await queues[job.data % 3].add("next", job.data - 1)

        for _ in range(10):
            ran.clear()
            await queues[0].add("next", 60)
            worker = Worker(NAMES, handler, dsn=dsn, concurrency=concurrency)
            await worker.serve(drain=True)
            assert ran == list(range(60, -1, -1))
    assert sql.value("SELECT count(*) FROM pgqueue.ready") == 0


async def test_drain_runs_the_first_job_of_a_group_that_a_handler_adds(
    dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until its first one a queue is claimed from by a statement that sees none."""
    monkeypatch.setattr("pgqueue.worker.incarnation.LOOK_FOR_DRAINED", 0.0002)
    # Every claim looks everywhere, and only the last doubt asks for groups.
    monkeypatch.setattr("pgqueue.worker.seek.DUTY", 0.0)
    for when in ("LOOK_FOR_DUE", "LONGEST_POLL"):
        monkeypatch.setattr(f"pgqueue.worker.intake.{when}", 3600.0)
    ran: list[str | None] = []
    for n in range(10):
        async with AsyncQueue(f"first-{n}", dsn=dsn) as queue:

            async def handler(job: Any, queue: AsyncQueue = queue) -> None:
                ran.append(job.group)
                if job.group is None:
                    await queue.add("n", group="a")

            await queue.add("n")
            await Worker(queue.name, handler, dsn=dsn).serve(drain=True)
    assert ran == [None, "a"] * 10


@pytest.mark.parametrize("jobs", [0, 3])
async def test_a_first_look_that_was_slow_does_not_put_off_the_end(
    dsn: str, queue: Queue, facts: Facts, jobs: int
) -> None:
    """What it cost is not what the next one costs, which alone can say it is empty."""
    queue.add_bulk([NewJob("x")] * jobs)
    queue.count()

    async def handler(_job: Any) -> None: ...

    with psycopg.connect(dsn) as holding:
        holding.execute("LOCK TABLE pgqueue.ready")
        ended = asyncio.create_task(drain(Worker("work", handler, dsn=dsn), within=60))
        with psycopg.connect(dsn, autocommit=True) as looking:
            await until_async(lambda: looking.execute(BLOCKED).fetchone())
            await work_for(0.6)
    began = time.monotonic()
    await ended
    assert queue.counts().completed == jobs
    # It would be twenty times as long as the first look took.
    assert time.monotonic() - began < SOON
    assert facts.count("worker.drained") >= 1
