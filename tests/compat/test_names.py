"""Every name that a program may use is there, and is called as it calls it."""

from __future__ import annotations

import importlib
import inspect
from typing import Any

import pytest

from pgqueue.compat import bullmq
from pgqueue.compat.bullmq import Job, Queue, Worker, job_scheduler

MODULES = {
    "": (
        *("Queue", "Worker", "Job", "FlowProducer", "QueueEvents", "AbortError"),
        *("QueueEventsProducer", "JobScheduler", "LockManager", "AbortController"),
        *("AbortSignal", "WaitingChildrenError", "UnrecoverableError", "DelayedError"),
    ),
    ".custom_errors": ("WaitingChildrenError", "UnrecoverableError", "DelayedError"),
    ".lock_manager": ("LockManager",),
    ".job_scheduler": ("JobScheduler", "default_repeat_strategy"),
    ".queue": ("Queue",),
    ".worker": ("Worker", "getCompleted"),
    ".job": ("Job",),
    ".flow_producer": ("FlowProducer",),
    ".queue_events": ("QueueEvents",),
    ".queue_events_producer": ("QueueEventsProducer",),
    ".abort_controller": ("AbortController", "AbortSignal", "AbortError"),
}
"""What programs import, from which module."""

SCHEDULER_ID = "job_scheduler_id"
METHODS: dict[str, dict[str, tuple[Any, ...]]] = {
    "Queue": {
        "add": ("name", "data", ("opts", {})),
        "addBulk": ("jobs",),
        "getJobs": ("types", ("start", 0), ("end", -1), ("asc", False)),
        "getWaiting": (("start", 0), ("end", -1)),
        "getPrioritized": (("start", 0), ("end", -1)),
        "getDelayed": (("start", 0), ("end", -1)),
        "getActive": (("start", 0), ("end", -1)),
        "getWaitingChildren": (("start", 0), ("end", -1)),
        "getCompleted": (("start", 0), ("end", -1)),
        "getFailed": (("start", 0), ("end", -1)),
        "getJobState": ("job_id",),
        "getJobCounts": ("*types",),
        "getJobCountByTypes": ("*types",),
        "getWaitingCount": (),
        "getDelayedCount": (),
        "getFailedCount": (),
        "getCompletedCount": (),
        "getCountsPerPriority": ("priorities",),
        "pause": (),
        "resume": (),
        "isPaused": (),
        "drain": (("delayed", False),),
        "obliterate": (("force", False),),
        "clean": ("grace", "limit", "type"),
        "retryJobs": (("opts", {}),),
        "promoteJobs": (("opts", {}),),
        "remove": ("job_id", ("opts", {})),
        "getJobLogs": ("job_id", ("start", 0), ("end", -1), ("asc", True)),
        "setGlobalConcurrency": ("concurrency",),
        "getGlobalConcurrency": (),
        "removeGlobalConcurrency": (),
        "setGlobalRateLimit": ("max_jobs", "duration_ms"),
        "getGlobalRateLimit": (),
        "removeGlobalRateLimit": (),
        "rateLimit": ("expire_time_ms",),
        "getRateLimitTtl": (),
        "removeRateLimitKey": (),
        "getDeduplicationJobId": ("id",),
        "getDebounceJobId": ("id",),
        "removeDeduplicationKey": ("id",),
        "close": (),
        "upsertJobScheduler": (
            *(SCHEDULER_ID, "repeat_opts", ("job_name", None)),
            *(("job_data", None), ("opts", None)),
        ),
        "getJobScheduler": (SCHEDULER_ID,),
        "getJobSchedulers": (("start", 0), ("end", -1), ("asc", False)),
        "getJobSchedulersCount": (),
        "isJobScheduler": (SCHEDULER_ID,),
        "removeJobScheduler": (SCHEDULER_ID,),
    },
    "Job": {
        "fromId": ("queue", "jobId"),
        "updateProgress": ("progress",),
        "updateData": ("data",),
        "log": ("logRow",),
        "getState": (),
        "isActive": (),
        "isCompleted": (),
        "isFailed": (),
        "isDelayed": (),
        "isWaiting": (),
        "isWaitingChildren": (),
        "promote": (),
        "remove": (("opts", {}),),
        "retry": (("state", "failed"), ("opts", {})),
        "moveToCompleted": ("return_value", "token", ("fetchNext", False)),
        "moveToFailed": ("err", "token", ("fetchNext", False)),
        "moveToDelayed": ("timestamp", ("token", None)),
        "moveToWaitingChildren": ("token", "opts"),
        "getChildrenValues": (),
    },
    "Worker": {
        "run": (),
        "getNextJob": ("token",),
        "pause": (("do_not_wait_active", False),),
        "close": (("force", False),),
    },
    "FlowProducer": {
        "add": ("flow", ("opts", {})),
        "addBulk": ("flows",),
        "close": (),
    },
    "QueueEvents": {"run": (), "close": ()},
    "QueueEventsProducer": {
        "publishEvent": ("args", ("maxEvents", 1000)),
        "close": (),
    },
    "LockManager": {"close": ()},
    "AbortSignal": {"wait": ()},
}
SYNC: dict[str, dict[str, tuple[Any, ...]]] = {
    "Queue": {"sanitizeJobTypes": ("types",)},
    "Worker": {
        "on": ("event_name", "function"),
        "off": ("event_name", "function"),
        "resume": (),
        "cancelJob": ("job_id", ("reason", None)),
        "cancelAllJobs": (("reason", None),),
    },
    "FlowProducer": {
        "on": ("event_name", "function"),
        "off": ("event_name", "function"),
    },
    "QueueEvents": {
        "on": ("event_name", "function"),
        "off": ("event_name", "function"),
    },
    "LockManager": {"get_active_job_count": ()},
    "AbortController": {"abort": (("reason", None),)},
    "AbortSignal": {"throw_if_aborted": ()},
}
CONSTRUCTORS: dict[str, tuple[Any, ...]] = {
    "Queue": ("name", ("opts", {})),
    "Worker": ("name", "processor", ("opts", {})),
    "FlowProducer": (("redisOpts", None), ("opts", None)),
    "QueueEvents": ("name", ("opts", {})),
    "QueueEventsProducer": ("name", ("opts", {})),
    "JobScheduler": ("queue", ("repeat_strategy", None)),
    "AbortController": (),
    "AbortError": (("reason", None),),
    "Job": ("queue", "name", "data", ("opts", {}), ("job_id", None)),
}
ATTRIBUTES = (
    *("id", "name", "data", "opts", "attempts", "delay", "priority", "timestamp"),
    *("progress", "returnvalue", "failedReason", "stacktrace", "processedOn"),
    *("finishedOn", "attemptsMade", "attemptsStarted", "queueQualifiedName", "token"),
)


def cases(table: dict[str, dict[str, tuple[Any, ...]]]) -> list[Any]:
    """Return a test's arguments for each method."""
    return [
        pytest.param(getattr(bullmq, owner), name, wanted, id=f"{owner}.{name}")
        for owner, methods in table.items()
        for name, wanted in methods.items()
    ]


def check_parameters(function: Any, wanted: tuple[Any, ...]) -> None:
    """Raise unless it takes these in this order, by position and by name."""
    taken = [
        one
        for one in inspect.signature(function).parameters.values()
        if one.name != "self"
    ]
    for asked, found in zip(wanted, taken[: len(wanted)], strict=True):
        name, *default = asked if isinstance(asked, tuple) else (asked,)
        if name.startswith("*"):
            assert (name[1:], found.kind) == (found.name, found.VAR_POSITIONAL)
            continue
        assert (found.name, found.kind) == (name, found.POSITIONAL_OR_KEYWORD)
        if default:
            # In place of a dict that all calls would share there is None.
            assert found.default == (None if default == [{}] else default[0])
    assert all(one.default is not one.empty for one in taken[len(wanted) :])


@pytest.mark.parametrize("module", MODULES)
def test_every_module_has_its_names(module: str) -> None:
    found = importlib.import_module(f"pgqueue.compat.bullmq{module}")
    for name in MODULES[module]:
        assert getattr(found, name)
        assert getattr(bullmq, name, getattr(found, name)) is getattr(found, name)


@pytest.mark.parametrize(("owner", "name", "wanted"), cases(METHODS))
def test_a_method_is_awaited_and_takes_its_arguments_by_these_names(
    owner: Any, name: str, wanted: tuple[Any, ...]
) -> None:
    method = getattr(owner, name)
    assert inspect.iscoroutinefunction(method)
    check_parameters(method, wanted)


@pytest.mark.parametrize(("owner", "name", "wanted"), cases(SYNC))
def test_a_sync_method_takes_its_arguments_by_these_names(
    owner: Any, name: str, wanted: tuple[Any, ...]
) -> None:
    method = getattr(owner, name)
    assert not inspect.iscoroutinefunction(method)
    check_parameters(method, wanted)


@pytest.mark.parametrize("name", CONSTRUCTORS)
def test_an_object_is_made_with_these_arguments(name: str) -> None:
    check_parameters(getattr(bullmq, name), CONSTRUCTORS[name])


def test_the_default_strategy_takes_milliseconds_and_options() -> None:
    strategy = job_scheduler.default_repeat_strategy
    check_parameters(strategy, ("millis", "opts"))
    assert not inspect.iscoroutinefunction(strategy)


def test_a_job_has_its_attributes_from_the_beginning() -> None:
    job = Job(Queue("paint"), "paint", {"a": 1}, {"delay": 5, "priority": 2}, "own")
    for name in ATTRIBUTES:
        getattr(job, name)
    assert (job.id, job.delay, job.priority, job.attempts) == ("own", 5, 2, 1)
    assert (job.progress, job.attemptsMade, job.attemptsStarted) == (0, 0, 0)
    assert job.queueQualifiedName == "bull:paint"


def test_a_worker_has_its_defaults() -> None:
    worker = Worker("paint", None)
    defaults = {
        "concurrency": 1,
        "lockDuration": 30_000,
        "lockRenewTime": 15_000,
        "stalledInterval": 30_000,
        "maxStalledCount": 1,
        "drainDelay": 5,
    }
    assert defaults.items() <= worker.opts.items()
    assert Worker("paint", None, {"lockDuration": 900}).opts["lockRenewTime"] == 450
    assert worker.lockManager.get_active_job_count() == 0
    assert worker.workerName is None
    assert Worker("paint", None, None).prefix == "bull"
    assert Worker("paint", None, {"name": "left"}).workerName == "left"
