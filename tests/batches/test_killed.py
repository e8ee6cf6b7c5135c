"""A worker that is killed in the middle of a batch: nothing is lost, or done twice."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from following import nothing_holds_back
from pgqueue import Batch, NewJob, Queue, QueueEvents, Worker
from processes import Process
from waiting import until, until_async
from working import KINDS

SCRIPT = Path(__file__).parents[1] / "batch_child.py"


@pytest.mark.parametrize("kind", KINDS)
async def test_the_unsettled_jobs_of_a_killed_batch_run_again_and_the_settled_do_not(
    dsn: str, queue: Queue, tmp_path: Path, kind: str
) -> None:
    ran: list[int] = []

    async def handler(jobs: Any) -> list[Any]:
        ran.extend(job.id for job in jobs)
        return [{"again": True}] * len(jobs)

    with QueueEvents("work", dsn=dsn) as events:
        events.subscribe()
        given = {"wait": str(tmp_path / "never")}
        ids = [job.id for job in queue.add_bulk([NewJob("x", given)] * 5)]
        with Process(dsn, kind=kind, script=SCRIPT, lease=4) as process:
            process.until("run", timeout=60)
            assert process.said("run") == [{"ids": ids}]
            until(lambda: queue.counts().completed == 2, 60)
            process.kill()
        worker = Worker("work", handler, batch=Batch(size=5), dsn=dsn)
        async with worker:
            await until_async(lambda: queue.counts().completed == 5, 60)
        nothing_holds_back(dsn)
        told = [
            (event.name, event.job_id)
            for event in events.follow(timeout=1)
            if event.name in ("completed", "failed")
        ]
    assert Counter(ran) == Counter(ids[2:])
    assert Counter(told) == Counter(("completed", job_id) for job_id in ids)
    for job_id in ids:
        early = job_id in ids[:2]
        job = queue.get(job_id)
        assert job.result == ({"early": True} if early else {"again": True})
        assert (job.attempt, job.stalled) == (1, 0 if early else 1)
