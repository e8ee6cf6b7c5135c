"""Locks of the compatibility module: renewed while a worker lives, and what then."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from compat.conftest import Heard, busy, returns
from pgqueue.errors import JobFailed, LeaseLost
from waiting import until_async

if TYPE_CHECKING:
    from compat.conftest import Made
    from conftest import Sql
    from pgqueue.compat.bullmq import Job, Queue


async def test_locks_are_renewed_while_a_job_runs(made: Made, queue: Queue) -> None:
    async def long(job: Job, token: str) -> None:
        await busy(2)

    worker = made.worker(
        long, lockDuration=1000, lockRenewTime=500, stalledInterval=1000
    )
    renewed, done = Heard(worker, "locksRenewed"), Heard(worker, "completed", "stalled")
    await queue.add("paint", {})
    [(_, told), *_] = await renewed.wait()
    assert told == {"count": 1, "jobIds": ["1"]}
    assert worker.lockManager.get_active_job_count() == 1
    assert [call[0] for call in await done.wait()] == ["completed"]
    assert worker.lockManager.get_active_job_count() == 0
    await worker.lockManager.close()
    await worker.lockManager.close()


async def test_a_job_whose_worker_is_gone_is_stalled_and_runs_again(
    made: Made, queue: Queue
) -> None:
    async def hangs(job: Job, token: str) -> None:
        await busy(60)

    opts = {"lockDuration": 1000, "stalledInterval": 1000}
    job = await queue.add("paint", {})
    first = made.worker(hangs, **opts)
    quiet = Heard(first, "failed", "completed", "error")
    await Heard(first, "active").wait()
    await first.close(force=True)
    assert await job.isActive()
    heard = Heard(made.worker(returns, **opts), "stalled", "completed")
    stalled, done = await heard.wait(2)
    assert stalled == ("stalled", job.id)
    assert (done[0], done[1].attemptsMade, done[1].attemptsStarted) == (
        "completed",
        1,
        2,
    )
    assert quiet.calls == []


async def test_a_processor_that_ends_in_spite_of_a_forced_close_completes_nothing(
    made: Made, queue: Queue
) -> None:
    async def stubborn(job: Job, token: str) -> str:
        with suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        return "done"

    worker = made.worker(stubborn)
    heard, active = Heard(worker, "completed", "failed"), Heard(worker, "active")
    job = await queue.add("paint", {})
    await active.wait()
    await worker.close(force=True)
    assert await job.isActive()
    assert heard.calls == []


async def test_a_job_that_stalls_too_often_fails(made: Made, queue: Queue) -> None:
    async def hangs(job: Job, token: str) -> None:
        await busy(60)

    opts = {"lockDuration": 1000, "stalledInterval": 500, "maxStalledCount": 0}
    await queue.add("paint", {})
    first = made.worker(hangs, **opts)
    await Heard(first, "active").wait()
    await first.close(force=True)
    heard = Heard(made.worker(returns, **opts), "stalled", "failed")
    stalled, failed = await heard.wait(2)
    assert stalled == ("stalled", "1")
    assert failed[0] == "failed"
    assert failed[1].id == "1"
    assert await queue.getJobState("1") == "failed"


async def test_a_stall_is_told_before_the_failure_it_ends_in(
    made: Made, queue: Queue, sql: Sql
) -> None:
    await queue.add("paint", {})
    number = sql.value("SELECT id FROM pgqueue.jobs")
    worker = made.worker(None)
    heard, read, delays = Heard(worker, "stalled", "failed"), worker.link.read, [0.2, 0]

    async def reads(op: Any) -> Any:
        await busy(delays.pop(0))
        return await read(op)

    worker.link.read = reads
    worker._on_stalled(number)
    worker._on_stalled_out(None, JobFailed(number, "stalled out"))
    assert [one[0] for one in await heard.wait(2)] == ["stalled", "failed"]


async def test_a_processor_that_has_lost_its_lock_cannot_log(
    made: Made, queue: Queue, sql: Sql
) -> None:
    outcome: list[Any] = []

    async def logs(job: Job, token: str) -> None:
        assert await job.log("mine") == 1
        sql.run("DELETE FROM pgqueue.lease")
        sql.run(
            "INSERT INTO pgqueue.delayed (queue_id, run_at, job_id, priority, attempt,"
            " stalled) SELECT queue_id, now() + interval '1 day', id, 0, 0, 0"
            " FROM pgqueue.job"
        )
        try:
            await job.log("not mine")
        except LeaseLost as error:
            outcome.append(error)

    await queue.pause()
    job = await queue.add("paint", 1)
    made.worker(logs)
    await queue.resume()
    await until_async(lambda: outcome)
    assert (await queue.getJobLogs(str(job.id)))["logs"][0] == "mine"
    assert "not mine" not in (await queue.getJobLogs(str(job.id)))["logs"]


async def test_a_lost_database_connection_loses_no_job(
    made: Made, queue: Queue, sql: Sql
) -> None:
    began, go_on = asyncio.Event(), asyncio.Event()

    async def holds(job: Job, token: str) -> Any:
        began.set()
        await go_on.wait()
        return job.data

    worker = made.worker(holds, concurrency=2)
    heard = Heard(worker, "completed")
    first = await queue.add("paint", 1)
    await began.wait()
    ours = [
        row[0]
        for row in sql.all(
            "SELECT pid, pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND application_name = 'pgqueue'"
        )
    ]
    left = "SELECT count(*) FROM pg_stat_activity WHERE pid = ANY(%s)"
    await until_async(lambda: not sql.value(left, [ours]))
    go_on.set()
    second = await queue.add("paint", 2)
    done = {call[1].id for call in await heard.wait(2)}
    assert done == {first.id, second.id}
    assert await queue.getJobCountByTypes("completed") == 2
