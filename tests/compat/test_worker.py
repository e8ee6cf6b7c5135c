"""`Worker` of the compatibility module."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest

from compat.conftest import Heard
from pgqueue import AsyncQueue
from pgqueue.compat.bullmq import (
    AbortError,
    AbortSignal,
    Job,
    Queue,
    UnrecoverableError,
)
from pgqueue.errors import JobFailed, LeaseLost
from waiting import until_async

if TYPE_CHECKING:
    from compat.conftest import Made
    from conftest import Sql


async def busy(seconds: float) -> None:
    """Be a processor that takes so long."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await asyncio.Event().wait()


async def returns(job: Job, token: str) -> Any:
    return job.data


async def raises(job: Job, token: str) -> Any:
    raise RuntimeError("Failed")


async def test_a_job_completes(made: Made, queue: Queue) -> None:
    job = await queue.add("paint", {"color": "blue"})
    worker = made.worker(returns)
    heard = Heard(worker, "active", "completed")
    (_, begun, before), (_, done, result) = await heard.wait(2)
    assert before == "waiting"
    assert begun is done
    assert (done.id, result, done.returnvalue) == (job.id, job.data, job.data)
    assert (done.attemptsMade, done.attemptsStarted) == (1, 1)
    assert done.finishedOn >= done.processedOn >= done.timestamp
    assert done.token
    read = await Job.fromId(queue, str(job.id))
    assert read is not None
    assert (read.returnvalue, read.finishedOn) == (job.data, done.finishedOn)
    assert await read.isCompleted()
    assert await read.getChildrenValues() == {}


async def test_a_job_that_raises_fails(made: Made, queue: Queue) -> None:
    job = await queue.add("paint", {})
    worker = made.worker(raises)
    [(_, failed, error)] = await Heard(worker, "failed").wait()
    assert isinstance(error, RuntimeError)
    assert (failed.failedReason, failed.attemptsMade) == ("Failed", 1)
    assert failed.returnvalue is None
    read = await Job.fromId(queue, str(job.id))
    assert read is not None
    assert read.failedReason == '"Failed"'
    assert len(read.stacktrace) == len(failed.stacktrace) == 1
    assert read.finishedOn == failed.finishedOn
    assert await read.isFailed()


async def test_a_failed_run_is_repeated_after_its_backoff(
    made: Made, queue: Queue
) -> None:
    job = await queue.add("paint", {}, {"attempts": 3, "backoff": 20})
    worker = made.worker(raises)
    calls = await Heard(worker, "failed").wait(3)
    assert [call[1].attemptsMade for call in calls] == [1, 2, 3]
    assert [call[1].finishedOn is None for call in calls] == [True, True, False]
    read = await Job.fromId(queue, str(job.id))
    assert read is not None
    assert len(read.stacktrace) == read.attemptsMade == 3


async def test_an_own_backoff_is_asked(made: Made, queue: Queue) -> None:
    asked = []

    def strategy(made: int, kind: str, error: BaseException, job: Job) -> int:
        asked.append((made, kind, str(error), job.id))
        return 10

    await queue.add("paint", {}, {"attempts": 2, "backoff": {"type": "own"}})
    worker = made.worker(raises, settings={"backoffStrategy": strategy})
    await Heard(worker, "failed").wait(2)
    assert asked == [(1, "own", "Failed", "1")]


async def test_an_unrecoverable_job_is_not_repeated(made: Made, queue: Queue) -> None:
    async def gives_up(job: Job, token: str) -> None:
        raise UnrecoverableError("no way")

    job = await queue.add("paint", {}, {"attempts": 5})
    await Heard(made.worker(gives_up), "failed").wait()
    assert await job.getState() == "failed"


@pytest.mark.parametrize("result", [{1, 2}, float("nan"), object()])
async def test_a_result_that_is_not_json_fails_the_run(
    made: Made, queue: Queue, result: Any
) -> None:
    async def bad(job: Job, token: str) -> Any:
        return result

    job = await queue.add("paint", {})
    await Heard(made.worker(bad), "failed").wait()
    assert await job.isFailed()


async def test_listeners_that_raise_disturb_nobody(made: Made, queue: Queue) -> None:
    def bad(*args: Any) -> None:
        raise RuntimeError("listener")

    worker = made.worker(returns, autorun=False)
    for event in ("active", "completed", "error"):
        worker.on(event, bad)
    heard = Heard(worker, "completed")
    running = asyncio.ensure_future(worker.run())
    await queue.addBulk([{"name": "a", "data": n} for n in range(3)])
    await heard.wait(3)
    worker.off("completed", bad)
    await worker.close()
    assert await running is None
    assert await queue.getCompletedCount() == 3


async def test_as_many_run_as_there_are_slots(made: Made, queue: Queue) -> None:
    running, most = 0, 0

    async def count(job: Job, token: str) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await busy(0.02)
        running -= 1

    await queue.addBulk([{"name": "a", "data": n} for n in range(16)])
    await Heard(made.worker(count, concurrency=4), "completed").wait(16)
    assert most == 4


async def test_a_delayed_job_runs_when_it_is_due(made: Made, queue: Queue) -> None:
    heard = Heard(made.worker(returns), "completed")
    await queue.add("paint", {}, {"delay": 1000})
    [(_, job, _)] = await heard.wait()
    assert 1000 <= job.processedOn - job.timestamp < 1200


async def test_a_job_is_claimed_and_moved_by_hand(made: Made, queue: Queue) -> None:
    await queue.add("a", {"foo": "bar"}, {"attempts": 2})
    await queue.add("b", {})
    worker = made.worker(None)
    heard = Heard(worker, "active")
    job = await worker.getNextJob("token")
    assert job is not None
    await heard.wait()
    assert await job.isActive()
    with pytest.raises(Exception, match="Missing lock for job 1"):
        await job.moveToCompleted(1, "another")
    found = await job.moveToFailed(RuntimeError("no"), "token", fetchNext=True)
    assert isinstance(found, list)
    assert (found[0]["name"], found[1:]) == ("b", ["2", 0, 0])
    assert (job.failedReason, job.attemptsMade, job.finishedOn) == ("no", 1, None)
    again = await worker.getNextJob("token")
    assert again is not None
    assert again.id == job.id
    assert await again.moveToCompleted("done", "token") is None
    assert (again.returnvalue, again.attemptsMade) == ("done", 2)
    assert again.finishedOn
    assert await again.isCompleted()
    assert await worker.getNextJob("token") is None
    second = await Job.fromId(queue, "2")
    assert second is not None
    await second.moveToCompleted(None, "token")


async def test_finished_jobs_are_retried(made: Made, queue: Queue) -> None:
    fail = True

    async def flaky(job: Job, token: str) -> Any:
        if fail:
            raise RuntimeError("Failed")
        return job.attemptsMade

    jobs = await queue.addBulk([{"name": "a", "data": n} for n in range(3)])
    worker = made.worker(flaky)
    await Heard(worker, "failed").wait(3)
    fail = False
    heard = Heard(worker, "completed")
    await jobs[0].retry("failed", {"resetAttemptsMade": True})
    await queue.retryJobs({"count": 1})
    calls = await heard.wait(3)
    assert sorted(call[2] for call in calls) == [0, 1, 1]
    await queue.pause()
    await queue.retryJobs({"state": "completed"})
    assert await queue.getJobCounts("waiting", "completed") == {
        "waiting": 3,
        "completed": 0,
    }


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


async def test_closing_waits_for_what_runs(made: Made, queue: Queue) -> None:
    async def slow(job: Job, token: str) -> str:
        await busy(0.2)
        return "done"

    worker = made.worker(slow)
    heard = Heard(worker, "completed", "closed")
    active = Heard(worker, "active")
    await queue.add("paint", {})
    await active.wait()
    await worker.close()
    assert [call[0] for call in heard.calls] == ["completed", "closed"]
    await made.worker(returns, autorun=False).close(force=True)


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


async def test_finished_jobs_are_kept_as_asked(made: Made, queue: Queue) -> None:
    worker = made.worker(returns)
    heard = Heard(worker, "completed")
    await queue.add("a", {}, {"removeOnComplete": True})
    for n in range(4):
        await queue.add("a", n, {"removeOnComplete": {"count": 2, "age": 3600}})
    await heard.wait(5)
    assert [job.data for job in await queue.getCompleted()] == [3, 2]


async def test_the_latest_duplicate_is_kept_back_while_the_first_is_active(
    made: Made, queue: Queue
) -> None:
    async def adds(job: Job, token: str) -> Any:
        if job.data == 0:
            for n in (1, 2):
                await queue.add("a", n, opts)
        return job.data

    opts = {"deduplication": {"id": "d", "keepLastIfActive": True}}
    heard = Heard(made.worker(adds), "completed")
    await queue.add("a", 0, opts)
    assert [call[2] for call in await heard.wait(2)] == [0, 2]


async def test_a_limited_queue_is_limited(made: Made, queue: Queue) -> None:
    running, most = 0, 0

    async def count(job: Job, token: str) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await busy(0.01)
        running -= 1

    await queue.setGlobalConcurrency(1)
    await queue.addBulk([{"name": "a", "data": n} for n in range(5)])
    heard = Heard(made.worker(count, concurrency=4), "completed")
    await heard.wait(5)
    assert most == 1


async def test_a_rate_limit_holds_over_the_queue(made: Made, queue: Queue) -> None:
    await queue.setGlobalRateLimit(2, 400)
    await queue.addBulk([{"name": "a", "data": n} for n in range(5)])
    heard = Heard(made.worker(returns, concurrency=5), "completed")
    calls = await heard.wait(5)
    begun = sorted(call[1].processedOn for call in calls)
    assert begun[2] - begun[0] >= 400
    assert begun[4] - begun[2] >= 400


async def test_a_rate_limited_queue_waits(made: Made, queue: Queue) -> None:
    await queue.rateLimit(300)
    job = await queue.add("a", 1)
    heard = Heard(made.worker(returns), "completed")
    [(_, done, _)] = await heard.wait()
    assert done.processedOn - (job.timestamp or 0) >= 250


async def test_a_nan_is_refused_in_the_words_of_the_library(
    made: Made, queue: Queue
) -> None:
    async def bad(job: Job, token: str) -> Any:
        return {"n": float("inf")}

    await queue.add("paint", {})
    [(_, job, error)] = await Heard(made.worker(bad), "failed").wait()
    assert isinstance(error, ValueError)
    assert job.failedReason.startswith("Out of range float values are not JSON")


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


async def test_a_paused_worker_takes_no_job_until_it_is_resumed(
    made: Made, queue: Queue
) -> None:
    worker = made.worker(returns)
    heard = Heard(worker, "paused", "resumed", "completed")
    await worker.pause()
    assert worker.isPaused()
    job = await queue.add("paint", 1)
    other = made.worker(returns, name="elsewhere")
    told = Heard(other, "completed")
    # What another worker does meanwhile, this one would have done as well.
    await made.queue("elsewhere").add("paint", 2)
    await told.wait()
    assert await job.isWaiting()
    worker.resume()
    assert not worker.isPaused()
    assert [call[0] for call in await heard.wait(3)] == [
        "paused",
        "resumed",
        "completed",
    ]


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


async def test_the_kept_back_duplicate_ignores_the_ttl(
    made: Made, queue: Queue
) -> None:
    began, go_on = asyncio.Event(), asyncio.Event()

    async def holds(job: Job, token: str) -> Any:
        began.set()
        await go_on.wait()
        return job.data

    heard = Heard(made.worker(holds), "completed")
    rule = {"deduplication": {"id": "a", "ttl": 1, "keepLastIfActive": True}}
    await queue.add("paint", 1, rule)
    await began.wait()
    # Its ttl of a millisecond is over; it is kept back all the same.
    await queue.add("paint", 2, rule)
    await queue.add("paint", 3, rule)
    assert await queue.getJobCountByTypes("waiting") == 0
    go_on.set()
    assert [call[2] for call in await heard.wait(2)] == [1, 3]


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
