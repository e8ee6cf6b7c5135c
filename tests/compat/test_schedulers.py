"""Job schedulers of the compatibility module."""

from __future__ import annotations

import sys
import time
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfoNotFoundError

import pytest

from compat.conftest import Heard
from pgqueue.compat.bullmq import Job, JobScheduler, Queue
from pgqueue.compat.bullmq.job_scheduler import (
    _transform_scheduler_data,
    default_repeat_strategy,
)
from pgqueue.errors import ConfigError

if TYPE_CHECKING:
    from compat.conftest import Made

HOUR = 3_600_000
NOON = int(datetime(2030, 1, 1, 12, tzinfo=UTC).timestamp() * 1000)


async def test_an_upsert_returns_the_next_job(queue: Queue) -> None:
    job = await queue.upsertJobScheduler(
        "clean", {"every": HOUR}, "sweep", {"a": 1}, {"failParentOnFailure": True}
    )
    assert job is not None
    scheduler = await queue.getJobScheduler("clean")
    assert scheduler is not None
    assert job.id == f"repeat:clean:{scheduler['next']}"
    assert (job.name, job.data) == ("sweep", {"a": 1})
    assert await job.isDelayed()
    read = await Job.fromId(queue, job.id)
    assert read is not None
    assert read.id == job.id
    expected = {
        "key": "clean",
        "name": "sweep",
        "every": HOUR,
        "iterationCount": 1,
        "template": {"data": {"a": 1}, "opts": {"failParentOnFailure": True}},
    }
    assert expected.items() <= scheduler.items()
    assert "limit" not in scheduler
    assert scheduler["next"] > time.time() * 1000


async def test_an_upsert_replaces_the_scheduler_and_its_job(queue: Queue) -> None:
    await queue.upsertJobScheduler("clean", {"every": HOUR})
    extra = {"tz": "Europe/Paris", "limit": 3, "endDate": NOON}
    job = await queue.upsertJobScheduler("clean", {"pattern": "0 3 * * *", **extra})
    assert job is not None
    assert job.name == "clean"
    assert await queue.getDelayedCount() == 1
    [scheduler] = await queue.getJobSchedulers()
    assert ({"pattern": "0 3 * * *", **extra}).items() <= scheduler.items()
    assert "every" not in scheduler
    assert await queue.getJobSchedulersCount() == 1
    assert await queue.isJobScheduler("clean")


async def test_a_queue_and_a_worker_have_the_schedulers_apart(
    made: Made, queue: Queue
) -> None:
    worker = made.worker(None)
    assert worker.jobScheduler is worker.jobScheduler
    assert worker.jobScheduler.queue is worker
    await queue.jobScheduler.upsertJobScheduler("clean", {"every": HOUR}, "n", {})
    assert await worker.jobScheduler.getScheduler("clean")
    assert await queue.isJobScheduler("clean")


async def test_a_worker_shares_its_backend_with_the_scheduler_it_makes_when_asked(
    made: Made,
) -> None:
    worker = made.worker(None)
    assert worker._job_scheduler is None
    scheduler = worker.jobScheduler
    assert worker._job_scheduler is scheduler
    assert scheduler.backend is worker.backend
    with pytest.raises(ConfigError, match="there are getJobData"):
        _ = worker.backend.addJob  # type: ignore[attr-defined]


async def test_a_job_that_is_made_of_its_data_lets_its_scheduler_go_on_once(
    made: Made, queue: Queue
) -> None:
    first = await queue.upsertJobScheduler("s", {"every": HOUR}, "sweep", {"a": 1})
    assert first is not None
    assert first.id is not None
    worker = made.worker(None)
    data = await worker.backend.getJobData(first.id)
    assert data is not None
    assert (data["name"], data["data"]) == ("sweep", {"a": 1})
    for _ in range(2):
        job = await worker.nextJobFromJobData(data, first.id, token="token")
        assert job is not None
        assert (job.id, job.token) == (first.id, "token")
        scheduler = await queue.getJobScheduler("s")
        assert scheduler is not None
        assert scheduler["iterationCount"] == 2
    assert await worker.nextJobFromJobData(None, first.id) is None
    assert await worker.nextJobFromJobData(data, "999") is None
    assert await worker.backend.getJobData("999") is None


async def test_schedulers_are_listed_by_their_next_time(queue: Queue) -> None:
    for key, start in (("b", NOON + HOUR), ("a", NOON), ("c", NOON + 2 * HOUR)):
        await queue.upsertJobScheduler(key, {"every": HOUR, "startDate": start})

    def keys(found: list[dict[str, Any]]) -> list[str]:
        return [one["key"] for one in found]

    assert keys(await queue.getJobSchedulers(asc=True)) == ["a", "b", "c"]
    assert keys(await queue.getJobSchedulers()) == ["c", "b", "a"]
    assert keys(await queue.getJobSchedulers(0, 0, asc=True)) == ["a"]


async def test_a_removed_scheduler_takes_its_job_along(queue: Queue) -> None:
    await queue.upsertJobScheduler("clean", {"every": HOUR})
    scheduler = JobScheduler(queue)
    assert await scheduler.removeJobScheduler("clean") == 0
    assert await scheduler.removeJobScheduler("clean") == 1
    assert await scheduler.getScheduler("clean") is None
    assert await queue.getJobCountByTypes() == 0


@pytest.mark.parametrize(
    "repeat",
    [
        {},
        {"every": 5, "pattern": "* * * * *"},
        {"every": 5, "immediately": True, "startDate": NOON},
        {"pattern": "no pattern"},
    ],
)
async def test_a_bad_rule_is_a_value_error(
    queue: Queue, repeat: dict[str, Any]
) -> None:
    with pytest.raises(ValueError, match=r"takes|cannot begin"):
        await queue.upsertJobScheduler("clean", repeat)


@pytest.mark.parametrize("rule", [{"limit": 2, "count": 2}, {"endDate": 1000}])
async def test_nothing_is_stored_for_a_scheduler_that_is_over(
    queue: Queue, rule: dict[str, Any]
) -> None:
    assert await queue.upsertJobScheduler("clean", {"every": HOUR, **rule}) is None
    assert await queue.getJobSchedulersCount() == 0


async def test_the_jobs_follow_each_other(made: Made, queue: Queue) -> None:
    async def returns(job: Job, token: str) -> None:
        return None

    heard = Heard(made.worker(returns), "completed")
    await queue.upsertJobScheduler("clean", {"every": 200})
    calls = await heard.wait(3)
    ids = [call[1].id for call in calls]
    assert len(set(ids)) == len(ids)
    assert all(one.startswith("repeat:clean:") for one in ids)
    scheduler = await queue.getJobScheduler("clean")
    assert scheduler is not None
    assert scheduler["iterationCount"] >= 3
    read = await Job.fromId(queue, ids[0])
    assert read is not None
    assert await read.isCompleted()
    await queue.removeJobScheduler("clean")


def test_the_default_strategy_says_when_a_pattern_fires() -> None:
    assert default_repeat_strategy(NOON, {"pattern": "0 13 * * *"}) == NOON + HOUR
    paris = {"pattern": "0 14 * * *", "tz": "Europe/Paris"}
    assert default_repeat_strategy(NOON, paris) == NOON + HOUR
    seconds = {"pattern": "*/2 * * * * *"}
    assert default_repeat_strategy(NOON, seconds) == NOON + 2000
    assert default_repeat_strategy(NOON, {"every": 5}) is None
    now = default_repeat_strategy(NOON, {"pattern": "* * * * *", "immediately": True})
    assert abs(int(now or 0) - time.time() * 1000) < 60_000
    with pytest.raises(ValueError, match="pattern"):
        default_repeat_strategy(NOON, {"pattern": "never"})
    with pytest.raises(ZoneInfoNotFoundError):
        default_repeat_strategy(NOON, {"pattern": "* * * * *", "tz": "Moon/Sea"})


async def test_a_bad_pattern_is_the_error_of_croniter_for_those_who_have_it(
    queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    class CroniterBadCronError(ValueError):
        pass

    theirs = SimpleNamespace(CroniterBadCronError=CroniterBadCronError)
    monkeypatch.setitem(sys.modules, "croniter", theirs)
    with pytest.raises(CroniterBadCronError, match="cron='never' is not valid"):
        default_repeat_strategy(NOON, {"pattern": "never"})
    with pytest.raises(CroniterBadCronError) as caught:
        await queue.upsertJobScheduler("clean", {"pattern": "never"})
    assert isinstance(caught.value, ConfigError)


def test_a_key_of_an_old_repeatable_job_tells_what_it_was() -> None:
    read = _transform_scheduler_data("sweep:all:1893499200000:UTC:0 3 * * *", {}, 7)
    assert read == {
        "key": "sweep:all:1893499200000:UTC:0 3 * * *",
        "name": "sweep",
        "id": "all",
        "endDate": NOON,
        "tz": "UTC",
        "pattern": "0 3 * * *",
        "next": 7,
    }
    short = _transform_scheduler_data("sweep::soon", {}, None)
    assert short == {
        "key": "sweep::soon",
        **dict.fromkeys(("id", "endDate", "tz", "pattern", "next")),
        "name": "sweep",
    }
    assert _transform_scheduler_data("sweep", {}, None) is None
    shown = _transform_scheduler_data("sweep", {"every": 5, "name": "n"}, 7)
    assert shown == {"key": "sweep", "name": "n", "every": 5, "next": 7}


async def test_an_offset_shifts_the_grid(queue: Queue) -> None:
    job = await queue.upsertJobScheduler("s", {"every": 60_000, "offset": 10_000})
    assert job is not None
    found = await queue.getJobScheduler("s")
    assert found is not None
    assert found["next"] % 60_000 == 10_000
    assert found["offset"] == 10_000


async def test_immediately_makes_the_first_job_due_at_once(queue: Queue) -> None:
    job = await queue.upsertJobScheduler(
        "s", {"pattern": "0 0 1 1 *", "immediately": True}
    )
    assert job is not None
    assert await job.getState() in ("waiting", "delayed")
    found = await queue.getJobScheduler("s")
    assert found is not None
    assert abs(found["next"] - time.time() * 1000) < 60_000


async def test_dates_are_shown_in_milliseconds(queue: Queue) -> None:
    rule = {"pattern": "* * * * *", "startDate": "2030-01-01T12:00:00Z"}
    end = datetime(2031, 1, 1, tzinfo=UTC)
    job = await queue.upsertJobScheduler("s", {**rule, "endDate": end})
    found = await queue.getJobScheduler("s")
    assert job is not None
    assert found is not None
    assert (found["startDate"], found["endDate"]) == (NOON, end.timestamp() * 1000)
    assert job.opts["repeat"]["startDate"] == NOON


async def test_an_iteration_has_its_own_id_and_time(queue: Queue) -> None:
    opts = {"jobId": "own", "delay": 5, "timestamp": 5}
    job = await queue.upsertJobScheduler("s", {"every": HOUR}, opts=opts)
    assert job is not None
    assert job.id is not None
    assert job.id.startswith("repeat:s:")
    assert job.timestamp is not None
    assert abs(job.timestamp - time.time() * 1000) < 60_000
    assert f"repeat:s:{job.timestamp + job.delay}" == job.id
