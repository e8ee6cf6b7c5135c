"""Every option of BullMQ's is taken, and one that it has not is told, wherever it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from pgqueue import PayloadError
from pgqueue.compat.bullmq import (
    FlowProducer,
    Job,
    Queue,
    QueueEvents,
    QueueEventsProducer,
    Worker,
)
from pgqueue.compat.bullmq.known import OPTIONS
from pgqueue.errors import ConfigError, UnknownOption

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from compat.conftest import Made

KEEP = {"age": 3600, "count": 1000, "limit": 10}
JOB: dict[str, Any] = {
    "attempts": 3,
    "backoff": {"type": "exponential", "delay": 100, "jitter": 0.5},
    "delay": 60_000,
    "failParentOnFailure": True,
    "keepLogs": 5,
    "lifo": True,
    "priority": 3,
    "prevMillis": 1,
    "removeOnComplete": KEEP,
    "removeOnFail": KEEP,
    "repeatJobKey": "own",
    "sizeLimit": 1000,
    "stackTraceLimit": 2,
    "timestamp": 1_700_000_000_000,
    "jobId": "own-1",
    "deduplication": {"id": "d", "ttl": 9, "extend": True, "replace": True},
    "parent": None,
    "continueParentOnFailure": False,
    "ignoreDependencyOnFailure": False,
    "removeDependencyOnFailure": False,
}
CLIENT: dict[str, Any] = {
    "connection": None,
    "prefix": "own",
    "backend": "postgres",
    "blockingConnection": True,
    "blockingTimeout": 5000,
    "skipMetasUpdate": True,
    "skipVersionCheck": True,
    "skipWaitingForReady": True,
}
WORKER: dict[str, Any] = {
    **CLIENT,
    "autorun": False,
    "concurrency": 2,
    "defaultJobOptions": {"attempts": 2},
    "drainDelay": 1,
    "lockDuration": 20_000,
    "lockRenewTime": 5000,
    "maxStalledCount": 2,
    "maximumRateLimitDelay": 1000,
    "name": "left",
    "removeOnComplete": KEEP,
    "removeOnFail": KEEP,
    "runRetryDelay": 500,
    "settings": {"backoffStrategy": max},
    "stalledInterval": 10_000,
}
OBJECTS: dict[str, tuple[Callable[[Mapping[str, Any]], Any], dict[str, Any]]] = {
    "queue": (lambda o: Queue("a", o), {**CLIENT, "defaultJobOptions": {"delay": 5}}),
    "worker": (lambda o: Worker("a", None, o), WORKER),
    "queue events": (
        lambda o: QueueEvents("a", o),
        {**CLIENT, "autorun": False, "lastEventId": "0"},
    ),
    "queue events producer": (lambda o: QueueEventsProducer("a", o), CLIENT),
    "flow producer": (
        lambda o: FlowProducer({}, o),
        {**CLIENT, "defaultJobOptions": {}},
    ),
}
REPEAT = {"every": 5000, "limit": 9, "offset": 10, "count": 0, "tz": "Europe/Rome"}


@pytest.mark.parametrize("name", OPTIONS["job"])
async def test_every_option_of_a_job_is_taken_and_kept(queue: Queue, name: str) -> None:
    job = await queue.add("paint", {}, {name: JOB[name]})
    found = await Job.fromId(queue, str(job.id))
    assert found is not None
    assert found.opts[name] == job.opts[name] == JOB[name]


@pytest.mark.parametrize("what", OBJECTS)
async def test_every_option_of_an_object_is_taken(made: Made, what: str) -> None:
    make, options = OBJECTS[what]
    assert set(options) == set(OPTIONS[what])
    await make(options).close()


@pytest.mark.parametrize("what", OBJECTS)
def test_an_object_says_which_option_was_probably_meant(what: str) -> None:
    text = f"there is no {what} option 'connnection': did you mean 'connection'"
    with pytest.raises(UnknownOption, match=text):
        OBJECTS[what][0]({"connnection": None})


async def test_every_part_of_a_repeat_rule_is_taken(queue: Queue) -> None:
    assert await queue.upsertJobScheduler("a", REPEAT)
    pattern = {
        "pattern": "0 4 * * *",
        "startDate": 1,
        "endDate": "2099-01-01T00:00:00Z",
    }
    assert await queue.upsertJobScheduler("b", pattern)
    assert await queue.upsertJobScheduler("c", {"every": 9000, "immediately": True})
    with pytest.raises(UnknownOption, match=r"no repeat option 'limt'.*'limit'"):
        await queue.upsertJobScheduler("a", {"every": 5000, "limt": 9})
    assert await queue.getJobSchedulersCount() == 3


async def test_the_options_of_a_method_are_taken_and_others_are_told(
    queue: Queue,
) -> None:
    job = await queue.add("paint", {}, {"priority": 5})
    await queue.retryJobs({"count": 5, "state": "failed", "timestamp": 1})
    await queue.promoteJobs({"count": 5})
    await job.changePriority({"priority": 2, "lifo": False})
    assert await queue.remove(str(job.id), {"removeChildren": False}) == 1
    calls: dict[str, Callable[[], Any]] = {
        "retryJobs option 'stat'": lambda: queue.retryJobs({"stat": "completed"}),
        "promoteJobs option 'n'": lambda: queue.promoteJobs({"n": 5}),
        "remove option 'children'": lambda: queue.remove("1", {"children": False}),
        "retry option 'reset'": lambda: job.retry("failed", {"reset": True}),
        "changePriority option 'prio'": lambda: job.changePriority({"prio": 1}),
        "addBulk option 'options'": lambda: queue.addBulk([{"options": {}}]),
        "flow option 'queue'": lambda: FlowProducer().add({"queue": "a"}),
    }
    for text, call in calls.items():
        with pytest.raises(UnknownOption, match=f"there is no {text}: "):
            await call()
    assert await queue.getJobCountByTypes() == 0


@pytest.mark.parametrize(
    ("opts", "text"),
    [
        ({"deduplication": {"id": "d", "tll": 5}}, "deduplication option 'tll'"),
        ({"backoff": {"typ": "fixed"}}, "backoff option 'typ'"),
        ({"group": {"id": "g"}}, "option 'group' is not supported: .* takes group="),
        ({"sizeLimit": "x"}, "sizeLimit"),
        ({"backoff": {"delay": 5, "jitter": "x"}}, "backoff.jitter"),
    ],
)
async def test_an_option_within_an_option_is_checked_as_well(
    queue: Queue, opts: dict[str, Any], text: str
) -> None:
    with pytest.raises(ConfigError, match=text):
        await queue.add("paint", {}, opts)
    assert await queue.getJobCountByTypes() == 0


def test_defaults_and_settings_are_checked_at_once() -> None:
    with pytest.raises(UnknownOption, match="job option 'atempts'"):
        Queue("paint", {"defaultJobOptions": {"atempts": 3}})
    with pytest.raises(UnknownOption, match="settings option 'backoffStrategies'"):
        Worker("paint", None, {"settings": {"backoffStrategies": {}}})


async def test_data_that_is_larger_than_the_job_allows_is_refused(queue: Queue) -> None:
    # Each of the two letters is two bytes of UTF-8.
    data = {"a": "\u00e4\u00f6"}
    await queue.add("paint", data, {"sizeLimit": 12})
    for add in (
        lambda opts: queue.add("paint", data, opts),
        lambda opts: queue.addBulk([{"name": "paint", "data": data, "opts": opts}]),
    ):
        with pytest.raises(PayloadError, match="has 12 bytes, its sizeLimit is 11"):
            await add({"sizeLimit": 11})
    assert await queue.getWaitingCount() == 1
