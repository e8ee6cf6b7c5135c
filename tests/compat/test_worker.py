"""`Worker` of the compatibility module."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import pytest

from compat.conftest import Heard, busy, raises, returns
from pgqueue.compat.bullmq import Job, Queue, UnrecoverableError
from pgqueue.compat.bullmq.link import Link
from pgqueue.db.run import AsyncCursor
from pgqueue.errors import DatabaseUnavailable
from waiting import SOON

if TYPE_CHECKING:
    from compat.conftest import Made
    from conftest import Sql

UPKEEP = {"renew_leases", "look_for_cancelled", "find_upkeep"}


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
    assert 1000 <= job.processedOn - job.timestamp < 1000 + SOON * 1000


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


async def test_a_retry_takes_what_had_finished_in_the_millisecond_it_names(
    made: Made, queue: Queue, sql: Sql
) -> None:
    fail, told = True, 0

    async def flaky(job: Job, token: str) -> None:
        await busy(0.01)
        if fail:
            raise RuntimeError("Failed")

    def look(job: Job, error: Exception) -> None:
        nonlocal told
        if job.data == 1:
            told = round(time.time() * 1000)

    worker = made.worker(flaky)
    worker.on("failed", look)
    heard = Heard(worker, "failed")
    jobs = await queue.addBulk([{"name": "a", "data": n} for n in range(4)])
    await heard.wait(4)
    fail, heard = False, Heard(worker, "completed")
    await queue.retryJobs({"timestamp": told})
    await heard.wait(2)
    assert await queue.getJobCounts("completed", "failed") == {
        "completed": 2,
        "failed": 2,
    }
    await queue.pause()
    for job, micros in ((jobs[2], 999), (jobs[3], 1000)):
        sql.run(
            "UPDATE pgqueue.finished SET finished_at = "
            "'2024-01-01 00:00Z'::timestamptz + %s * interval '1 microsecond' "
            "WHERE job_id = %s",
            (micros, int(job.id or 0)),
        )
    read = await Job.fromId(queue, str(jobs[2].id))
    assert read is not None
    await queue.retryJobs({"timestamp": read.finishedOn})
    assert [job.id for job in await queue.getWaiting()] == [read.id]


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


async def test_finished_jobs_are_kept_as_asked(made: Made, queue: Queue) -> None:
    worker = made.worker(returns)
    heard = Heard(worker, "completed")
    await queue.add("a", {}, {"removeOnComplete": True})
    for n in range(4):
        await queue.add("a", n, {"removeOnComplete": {"count": 2, "age": 3600}})
    await heard.wait(5)
    assert [job.data for job in await queue.getCompleted()] == [3, 2]


async def test_a_nan_is_refused_in_the_words_of_the_library(
    made: Made, queue: Queue
) -> None:
    async def bad(job: Job, token: str) -> Any:
        return {"n": float("inf")}

    await queue.add("paint", {})
    [(_, job, error)] = await Heard(made.worker(bad), "failed").wait()
    assert isinstance(error, ValueError)
    assert job.failedReason.startswith("Out of range float values are not JSON")


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


async def test_pausing_waits_for_what_runs_unless_told_not_to(
    made: Made, queue: Queue
) -> None:
    go_on = asyncio.Event()

    async def waits(job: Job, token: str) -> None:
        await go_on.wait()

    worker = made.worker(waits)
    heard, active = Heard(worker, "completed", "paused"), Heard(worker, "active")
    await queue.add("paint", 1)
    await active.wait()
    await worker.pause(do_not_wait_active=True)
    pausing = asyncio.ensure_future(worker.pause())
    go_on.set()
    await pausing
    assert [call[0] for call in heard.calls] == ["paused", "completed", "paused"]


async def test_a_second_run_has_the_traceback_of_the_first(
    made: Made, queue: Queue
) -> None:
    seen = []

    async def looks(job: Job, token: str) -> None:
        seen.append(len(job.stacktrace))
        if job.attemptsMade < 2:
            raise RuntimeError("Failed")

    await queue.add("paint", 1, {"attempts": 3})
    await Heard(made.worker(looks), "completed").wait()
    assert seen == [0, 1, 2]


async def test_a_processor_that_is_no_async_def_is_told_so(
    made: Made, queue: Queue
) -> None:
    await queue.add("paint", {})
    worker = made.worker(lambda _job, _token: 42)
    [(_, failed, _error)] = await Heard(worker, "failed").wait()
    assert "make it `async def`" in failed.failedReason


async def test_a_free_slot_is_filled_after_few_round_trips(
    made: Made, queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    await queue.addBulk([{"name": "a", "data": n} for n in range(2)])
    asked: list[str] = []
    execute = AsyncCursor.execute

    async def noted(self: AsyncCursor, text: Any, *args: Any, **opts: Any) -> Any:
        asked.append(text.split(b":")[0].removeprefix(b"-- ").decode())
        return await execute(self, text, *args, **opts)

    monkeypatch.setattr(AsyncCursor, "execute", noted)
    ended = began = 0

    async def process(job: Job, token: str) -> None:
        nonlocal ended, began
        began, ended = (began, len(asked)) if not job.data else (len(asked), ended)

    await Heard(made.worker(process), "completed").wait(2)
    between = [one for one in asked[ended:began] if one not in UPKEEP]
    assert between == ["finish_jobs", "read_ending", "describe_jobs"]


async def test_a_claimed_job_has_its_own_id_and_its_progress(
    made: Made, queue: Queue
) -> None:
    job = await queue.add("paint", {}, {"jobId": "mine", "attempts": 2})
    await job.updateProgress({"done": 1})
    await queue.add("paint", {})
    seen: dict[Any, Any] = {}

    async def process(job: Job, token: str) -> None:
        if seen.setdefault((job.id, job.attemptsMade), job.progress):
            await job.updateProgress(50)
            if not job.attemptsMade:
                raise RuntimeError("Failed")

    await Heard(made.worker(process), "completed").wait(2)
    assert seen == {("mine", 0): {"done": 1}, ("mine", 1): 50, ("2", 0): 0}


async def test_a_claim_of_what_cannot_be_read_is_let_go(
    made: Made, queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, failed = Link.read, []

    async def read_once_not(self: Link, op: Any) -> Any:
        if not failed and getattr(op, "__name__", "") == "claimed":
            failed.append(op)
            raise DatabaseUnavailable("gone for a moment")
        return await read(self, op)

    monkeypatch.setattr(Link, "read", read_once_not)
    await queue.add("paint", {})
    worker = made.worker(returns, lockDuration=1000, stalledInterval=500)
    told = Heard(worker, "error", "stalled", "completed")
    calls = await told.wait(3)
    assert [call[0] for call in calls] == ["error", "stalled", "completed"]
