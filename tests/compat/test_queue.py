"""`Queue` of the compatibility module: adding, reading, and removing."""

from __future__ import annotations

import time
from enum import IntEnum
from typing import TYPE_CHECKING, Any

import pytest

from pgqueue import AsyncQueue
from pgqueue.compat.bullmq import Job, Queue
from pgqueue.errors import ConfigError, UnsupportedConnection

if TYPE_CHECKING:
    from compat.conftest import Made


async def test_the_first_job_is_called_1_and_ids_grow(queue: Queue) -> None:
    first = await queue.add("paint", {"color": "blue"})
    second = await queue.add("paint", {"color": "red"})
    assert first.id == "1"
    assert int(second.id or 0) > 1


async def test_a_job_that_is_read_back_is_as_it_was_given(queue: Queue) -> None:
    opts = {"delay": 5000, "attempts": 3, "backoff": 1000}
    job = await queue.add("paint", {"color": "blue"}, opts)
    read = await Job.fromId(queue, str(job.id))
    assert read is not None
    for one in (job, read):
        assert (one.id, one.name, one.data) == ("1", "paint", {"color": "blue"})
        assert opts.items() <= one.opts.items()
        assert (one.attempts, one.delay, one.priority) == (3, 5000, 0)
        assert (one.attemptsMade, one.attemptsStarted) == (0, 0)
        assert one.queueQualifiedName == "bull:paint"
    assert read.timestamp == job.timestamp


async def test_a_job_that_is_not_there_is_none(queue: Queue) -> None:
    assert await Job.fromId(queue, "77") is None
    assert await Job.fromId(queue, "own") is None
    assert await queue.getJobState("77") == "unknown"


async def test_an_own_id_is_kept_and_taken_once(queue: Queue) -> None:
    job = await queue.add("paint", 1, {"jobId": "own"})
    again = await queue.add("paint", 2, {"jobId": "own"})
    assert job.id == again.id == "own"
    read = await Job.fromId(queue, "own")
    assert read is not None
    assert (read.id, read.data) == ("own", 1)
    assert await queue.getWaitingCount() == 1


async def test_the_options_of_the_queue_are_under_those_of_the_job(made: Made) -> None:
    queue = made.queue(defaultJobOptions={"attempts": 5, "priority": 2})
    job = await queue.add("paint", {}, {"priority": 1})
    assert (job.attempts, job.priority) == (5, 1)
    assert [one.id for one in await queue.getPrioritized()] == [job.id]


async def test_bulk_keeps_the_order(queue: Queue) -> None:
    jobs = await queue.addBulk(
        [{"name": "a", "data": 1}, {"name": "b", "data": 2, "opts": {"delay": 9000}}]
    )
    assert [(job.id, job.name, job.data) for job in jobs] == [
        ("1", "a", 1),
        ("2", "b", 2),
    ]
    assert await queue.getJobState("2") == "delayed"


async def test_two_prefixes_are_two_queues_and_a_name_may_be_empty(made: Made) -> None:
    one, other, empty = made.queue(), made.queue(prefix="{bull}"), made.queue("")
    await one.add("a", {})
    await empty.add("b", {})
    assert await other.getWaitingCount() == 0
    assert [job.name for job in await empty.getWaiting()] == ["b"]
    assert other.qualifiedName == "{bull}:paint"


async def test_another_kind_of_connection_is_refused(dsn: str) -> None:
    with pytest.raises(UnsupportedConnection, match="PostgreSQL DSN"):
        Queue("paint", {"connection": {"host": "localhost"}})
    with pytest.raises(ConfigError, match="PostgreSQL DSN"):
        Queue("paint", {"connection": "redis://localhost"})
    queue = Queue("paint", {"connection": dsn})
    assert (await queue.add("a", {})).id == "1"
    await queue.close()


async def test_nan_is_no_data_and_enums_are_numbers(queue: Queue) -> None:
    class Color(IntEnum):
        RED = 3

    with pytest.raises(ValueError, match="Out of range float values are not JSON"):
        await queue.add("paint", {"n": float("nan")})
    job = await queue.add("paint", {"color": Color.RED})
    read = await Job.fromId(queue, str(job.id))
    assert read is not None
    assert read.data == {"color": 3}


async def test_lists_are_in_the_stated_order(queue: Queue) -> None:
    for n in range(4):
        await queue.add("paint", n)
    for n in (3, 1, 2):
        await queue.add("paint", n, {"priority": n})
    await queue.add("later", 9, {"delay": 90_000})
    await queue.add("later", 5, {"delay": 50_000})

    def data(jobs: list[Job]) -> list[Any]:
        return [job.data for job in jobs]

    assert data(await queue.getWaiting()) == [0, 1, 2, 3]
    assert data(await queue.getJobs(["waiting"])) == [3, 2, 1, 0]
    assert data(await queue.getJobs(["wait"], 1, 2, asc=True)) == [1, 2]
    assert data(await queue.getJobs(["wait"], 0, 1)) == [3, 2]
    assert data(await queue.getPrioritized()) == [1, 2, 3]
    assert data(await queue.getDelayed()) == [5, 9]
    assert await queue.getJobCounts("wait", "prioritized", "delayed", "failed") == {
        "wait": 4,
        "prioritized": 3,
        "delayed": 2,
        "failed": 0,
    }
    assert await queue.getJobCountByTypes("waiting", "delayed") == 6
    assert await queue.getCountsPerPriority([0, 1, 7]) == {"0": 4, "1": 1, "7": 0}
    assert await queue.count() == 9


def test_types_are_sanitized_without_a_queue() -> None:
    sanitize: Any = Queue.sanitizeJobTypes
    assert sanitize(None, ["active", "active", "failed"]) == ["active", "failed"]
    assert sorted(sanitize(None, [])) == [
        "active",
        "completed",
        "delayed",
        "failed",
        "prioritized",
        "waiting",
        "waiting-children",
    ]


async def test_the_jobs_of_a_paused_queue_are_waiting(queue: Queue) -> None:
    await queue.pause()
    job = await queue.add("paint", {})
    assert await queue.isPaused()
    assert await job.getState() == "waiting"
    assert await job.isWaiting()
    assert await queue.getWaitingCount() == 1
    assert await queue.clean(0, 10, "paused") == [job.id]
    await queue.resume()
    assert not await queue.isPaused()


async def test_paused_jobs_are_the_waiting_ones_of_a_paused_queue(queue: Queue) -> None:
    job = await queue.add("paint", {})
    assert await queue.getJobCounts("paused") == {"paused": 0}
    assert await queue.getJobs(["paused"]) == []
    await queue.pause()
    assert await queue.getJobCounts("paused", "wait") == {"paused": 1, "wait": 1}
    assert await queue.getJobCountByTypes("paused", "waiting") == 1
    assert [one.id for one in await queue.getJobs(["paused", "wait"])] == [job.id]
    assert [one.id for one in await queue.getJobs(["paused"])] == [job.id]


async def test_drain_keeps_the_delayed_unless_asked(queue: Queue) -> None:
    await queue.add("a", {})
    await queue.add("a", {}, {"priority": 1})
    await queue.add("a", {}, {"delay": 9000})
    await queue.pause()
    await queue.drain()
    assert await queue.getJobCountByTypes() == 1
    await queue.drain(delayed=True)
    assert await queue.getJobCountByTypes() == 0


async def test_obliterate_refuses_active_jobs_unless_forced(made: Made) -> None:
    queue, worker = made.queue(), made.worker(None)
    await queue.obliterate()
    await queue.add("a", {})
    await queue.add("b", {})
    assert await worker.getNextJob("token")
    with pytest.raises(Exception, match="Cannot obliterate queue with active jobs"):
        await queue.obliterate()
    assert await queue.getJobCountByTypes() == 2
    await queue.obliterate(force=True)
    assert await queue.getJobCountByTypes() == 0


async def test_clean_returns_ids_as_they_are_known(queue: Queue) -> None:
    await queue.add("a", {}, {"jobId": "own"})
    await queue.add("a", {})
    assert await queue.clean(60_000, 10, "wait") == []
    assert await queue.clean(0, 10, "wait") == ["own", "2"]


async def test_remove_says_whether_there_was_one(queue: Queue) -> None:
    job = await queue.add("a", {})
    assert await queue.remove(str(job.id)) == 1
    assert await queue.remove(str(job.id)) == 0
    for call, command in (
        (job.updateData({"b": 1}), "updateData"),
        (job.updateProgress(1), "updateProgress"),
        (job.log("text"), "addLog"),
        (job.promote(), "promote"),
        (job.retry(), "reprocessJob"),
    ):
        with pytest.raises(TypeError, match=rf"Missing key for job 1\. {command}"):
            await call


async def test_logs_are_counted(queue: Queue) -> None:
    job = await queue.add("a", {}, {"keepLogs": 2})
    assert [await job.log(text) for text in ("one", "two", "three")] == [1, 2, 2]
    logs = await queue.getJobLogs(str(job.id))
    assert logs == {"logs": ["two", "three"], "count": 2}
    newest = await queue.getJobLogs(str(job.id), 0, 0, asc=False)
    assert newest == {"logs": ["three"], "count": 2}


async def test_a_promoted_job_waits(queue: Queue) -> None:
    job = await queue.add("a", {}, {"delay": 9000})
    await job.promote()
    assert job.delay == 0
    assert await job.getState() == "waiting"
    await queue.addBulk(
        [{"name": "b", "data": n, "opts": {"delay": 9000}} for n in "ab"]
    )
    await queue.promoteJobs({"count": 1})
    assert await queue.getWaitingCount() == 3


async def test_data_and_progress_are_replaced(queue: Queue) -> None:
    job = await queue.add("a", {"a": 1})
    await job.updateData({"b": 2})
    await job.updateProgress({"half": True})
    read = await Job.fromId(queue, str(job.id))
    assert read is not None
    assert (read.data, read.progress) == ({"b": 2}, {"half": True})


async def test_a_parent_must_exist(queue: Queue) -> None:
    opts = {"parent": {"id": "77", "queue": "nowhere"}}
    with pytest.raises(TypeError) as raised:
        await queue.add("a", {}, opts)
    assert str(raised.value) == "Missing key for parent job nowhere:77. addJob"


async def test_contradictory_policies_are_refused(queue: Queue) -> None:
    opts = {"failParentOnFailure": True, "ignoreDependencyOnFailure": True}
    with pytest.raises(ValueError, match="cannot be used together"):
        await queue.add("a", {}, opts)


async def test_unsupported_options_say_what_to_do(queue: Queue) -> None:
    with pytest.raises(ConfigError, match="upsertJobScheduler"):
        await queue.add("a", {}, {"repeat": {"every": 1000}})


@pytest.mark.parametrize("job_id", ["7", 7, "007"])
async def test_an_own_id_of_digits_only_is_refused(queue: Queue, job_id: Any) -> None:
    with pytest.raises(ConfigError, match="jobId"):
        await queue.add("paint", 1, {"jobId": job_id})
    assert await queue.getJobCountByTypes("waiting") == 0


async def test_a_delay_counts_from_the_timestamp_of_the_job(queue: Queue) -> None:
    now = int(time.time() * 1000)
    over = await queue.add("paint", 1, {"delay": 5000, "timestamp": now - 60_000})
    later = await queue.add("paint", 1, {"delay": 60_000, "timestamp": now + 60_000})
    assert await over.getState() == "waiting"
    assert await later.getState() == "delayed"
    async with AsyncQueue("bull:paint") as native:
        found = await native.get(int(str(later.id)))
    assert found.run_at is not None
    assert abs(found.run_at.timestamp() * 1000 - now - 120_000) < 1


async def test_a_timestamp_that_is_none_is_refused(queue: Queue) -> None:
    with pytest.raises(ConfigError, match="timestamp"):
        await queue.add("paint", 1, {"delay": 5, "timestamp": "today"})


async def test_the_priority_of_a_waiting_job_is_changed(queue: Queue) -> None:
    first, second = await queue.add("paint", 1), await queue.add("paint", 2)
    await first.changePriority({"priority": 5})
    assert await first.getState() == "prioritized"
    assert [job.id for job in await queue.getPrioritized()] == [first.id]
    await second.changePriority({"priority": 1})
    assert [job.id for job in await queue.getPrioritized()] == [second.id, first.id]


async def test_the_delay_of_a_delayed_job_counts_anew(queue: Queue) -> None:
    job = await queue.add("paint", 1, {"delay": 3_600_000})
    other = await queue.add("paint", 2, {"delay": 60_000})
    await job.changeDelay(1_000)
    assert [one.id for one in await queue.getDelayed()] == [job.id, other.id]
