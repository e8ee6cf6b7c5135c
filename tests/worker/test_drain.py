"""`drain=True`: a worker ends once none of its queues holds a job that may start."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import pytest

from pgqueue import AsyncQueue, Worker

if TYPE_CHECKING:
    from conftest import Sql

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
