"""`moveToDelayed` and `DelayedError` of the compatibility module."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import pytest

from compat.conftest import Heard
from pgqueue.compat.bullmq import AbortSignal, DelayedError, Job, Queue
from pgqueue.errors import ConfigError
from waiting import until_async

if TYPE_CHECKING:
    from compat.conftest import Made

DAY = 86_400_000


def now() -> int:
    return round(time.time() * 1000)


async def test_a_job_that_delays_itself_runs_again_when_it_is_due(
    made: Made, queue: Queue
) -> None:
    asked: list[int] = []
    starts: list[Any] = []

    async def steps(job: Job, token: str) -> Any:
        starts.append(job.processedOn)
        if job.data == "first":
            asked.append(now() + 300)
            await job.moveToDelayed(asked[0], token)
            await job.updateData("second")
            raise DelayedError
        return job.data

    worker = made.worker(steps)
    heard = Heard(worker, "completed", "failed", "error")
    await queue.add("paint", "first")
    [(event, job, result)] = await heard.wait()
    assert (event, result) == ("completed", "second")
    assert starts[1] >= asked[0]
    assert (job.attemptsMade, len(starts), len(heard.calls)) == (1, 2, 1)


async def test_a_delayed_run_is_no_attempt_and_none_is_told(
    made: Made, queue: Queue
) -> None:
    async def delays(job: Job, token: str) -> None:
        await job.moveToDelayed(now() + DAY, token)
        assert DAY - 60_000 < job.delay <= DAY
        raise DelayedError

    worker = made.worker(delays)
    heard = Heard(worker, "completed", "failed", "error")
    job = await queue.add("paint", 1)
    await until_async(job.isDelayed)
    await until_async(lambda: not worker.running_jobs)
    await worker.close()
    assert [call[0] for call in heard.calls] == []
    read = await Job.fromId(queue, str(job.id))
    assert read is not None
    assert (read.attemptsMade, read.stacktrace) == (0, [])


async def test_followers_hear_of_it(made: Made, queue: Queue) -> None:
    events = made.events(lastEventId="0")
    heard = Heard(events, "delayed")
    await queue.add("paint", 1)
    job = await made.worker(None).getNextJob("token")
    assert job is not None
    due = now() + DAY
    await job.moveToDelayed(due)
    [(_, told, _)] = await heard.wait()
    assert told["jobId"] == job.id
    assert due <= int(told["delay"]) < due + 60_000


async def test_an_instant_that_is_over_lets_the_job_wait(
    made: Made, queue: Queue
) -> None:
    await queue.add("paint", 1)
    worker = made.worker(None)
    job = await worker.getNextJob("token")
    assert job is not None
    await job.moveToDelayed(now() - DAY, "token")
    assert (job.delay, await job.isWaiting()) == (0, True)
    again = await worker.getNextJob("token")
    assert again is not None
    assert (again.id, again.attemptsMade) == (job.id, 0)


async def test_only_who_holds_a_job_delays_it(made: Made, queue: Queue) -> None:
    added = await queue.add("paint", 1)
    job = await made.worker(None).getNextJob("token")
    assert job is not None
    with pytest.raises(Exception, match="lock for job 1"):
        await job.moveToDelayed(now() + DAY, "another")
    for bad in ("tomorrow", -1, None):
        with pytest.raises(ConfigError, match="timestamp"):
            await job.moveToDelayed(bad, "token")  # type: ignore[arg-type]
    assert await job.isActive()
    await added.moveToDelayed(now() + DAY, "token")
    with pytest.raises(Exception, match="lock for job 1"):
        await job.moveToDelayed(now() + DAY)


async def test_who_raises_it_without_having_moved_the_job_lets_it_stall(
    made: Made, queue: Queue
) -> None:
    runs: list[str] = []

    async def forgets(job: Job, token: str) -> None:
        runs.append(await job.getState())
        if len(runs) == 1:
            raise DelayedError

    worker = made.worker(forgets, lockDuration=1000, stalledInterval=500)
    heard = Heard(worker, "stalled", "completed", "failed", "error")
    job = await queue.add("paint", 1)
    await until_async(lambda: runs and not worker.running_jobs)
    assert await job.isActive()
    assert heard.calls == []
    calls = await heard.wait(2)
    assert [call[0] for call in calls] == ["stalled", "completed"]
    assert runs == ["active", "active"]


async def test_the_next_run_is_held_though_the_last_has_not_returned(
    made: Made, queue: Queue
) -> None:
    second, go_on, first_ended = (asyncio.Event() for _ in range(3))

    async def overlaps(job: Job, token: str, signal: AbortSignal) -> None:
        if job.data == "first":
            await job.updateData("second")
            await job.moveToDelayed(now(), token)
            await go_on.wait()
            first_ended.set()
            raise DelayedError
        second.set()
        await signal.wait()
        signal.throw_if_aborted()

    worker = made.worker(overlaps, concurrency=2)
    heard = Heard(worker, "failed")
    job = await queue.add("paint", "first")
    await second.wait()
    go_on.set()
    await first_ended.wait()
    await until_async(lambda: len(worker._tasks) == 1)
    assert worker.lockManager.get_active_job_count() == 1
    assert list(worker.running_jobs) == [job.id]
    assert [claim.settled for claim in worker.holder.claims.values()] == [False]
    assert worker.cancelJob(str(job.id), "stop")
    await heard.wait()
