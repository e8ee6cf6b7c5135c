"""Stopping a processor of the compatibility module."""

from __future__ import annotations

from typing import TYPE_CHECKING

from compat.conftest import Heard, busy
from pgqueue import AsyncQueue
from pgqueue.compat.bullmq import AbortError, AbortSignal, Job, Queue
from waiting import until_async

if TYPE_CHECKING:
    from compat.conftest import Made


async def test_a_processor_that_takes_a_signal_is_cancelled(
    made: Made, queue: Queue
) -> None:
    async def waits(job: Job, token: str, signal: AbortSignal) -> None:
        assert not signal.aborted
        assert signal.reason is None
        await signal.wait()
        signal.throw_if_aborted()

    worker = made.worker(waits)
    heard, active = Heard(worker, "failed"), Heard(worker, "active")
    await queue.add("paint", {})
    await active.wait()
    assert not worker.cancelJob("77")
    await until_async(lambda: worker.cancelJob("1", "enough"))
    [(_, _, error)] = await heard.wait()
    assert isinstance(error, AbortError)
    assert error.reason == "enough"


async def test_a_processor_without_a_signal_cannot_be_cancelled(
    made: Made, queue: Queue
) -> None:
    answers = []

    async def asks(job: Job, token: str) -> None:
        answers.append(worker.cancelJob(str(job.id)))

    worker = made.worker(asks)
    await queue.add("paint", {})
    await Heard(worker, "completed").wait()
    assert answers == [False]


async def test_a_job_that_the_native_queue_cancels_is_stopped(
    made: Made, queue: Queue, dsn: str
) -> None:
    async def hangs(job: Job, token: str) -> None:
        await busy(60)

    worker = made.worker(hangs, lockRenewTime=200)
    heard, active = Heard(worker, "failed", "error"), Heard(worker, "active")
    await queue.add("paint", {}, {"attempts": 3})
    await active.wait()
    async with AsyncQueue("bull:paint", dsn=dsn) as native:
        await native.cancel(1)
    [(event, job, _)] = await heard.wait()
    assert (event, job.failedReason) == ("failed", "cancelled")
    assert await queue.getJobState("1") == "failed"
