"""Every name that a program may use is there, and takes its arguments by these names."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

from pgqueue.compat import bullmq
from pgqueue.compat.bullmq import job_scheduler, lock_manager

NONE: tuple[str, ...] = ()

QUEUE = {
    "add": ("name", "data", "opts"),
    "addBulk": ("jobs",),
    "getJobs": ("types", "start", "end", "asc"),
    **dict.fromkeys(("getWaiting", "getPrioritized", "getDelayed", "getActive"), NONE),
    **dict.fromkeys(("getWaitingChildren", "getCompleted", "getFailed"), NONE),
    "getJobState": NONE,
    "getJobCounts": ("types",),
    "getJobCountByTypes": ("types",),
    **dict.fromkeys(("getWaitingCount", "getDelayedCount"), NONE),
    **dict.fromkeys(("getFailedCount", "getCompletedCount"), NONE),
    "getCountsPerPriority": NONE,
    "sanitizeJobTypes": NONE,
    **dict.fromkeys(("pause", "resume", "isPaused", "close"), NONE),
    "drain": ("delayed",),
    "obliterate": ("force",),
    "clean": ("grace", "limit", "type"),
    "retryJobs": ("opts",),
    "promoteJobs": ("opts",),
    "remove": NONE,
    "getJobLogs": ("start", "end", "asc"),
    **dict.fromkeys(("setGlobalConcurrency", "getGlobalConcurrency"), NONE),
    **dict.fromkeys(("removeGlobalConcurrency", "setGlobalRateLimit"), NONE),
    **dict.fromkeys(("getGlobalRateLimit", "removeGlobalRateLimit"), NONE),
    **dict.fromkeys(("rateLimit", "getRateLimitTtl", "removeRateLimitKey"), NONE),
    "upsertJobScheduler": ("job_name", "job_data", "opts"),
    "getJobScheduler": NONE,
    "getJobSchedulers": ("start", "end", "asc"),
    **dict.fromkeys(("getJobSchedulersCount", "isJobScheduler"), NONE),
    "removeJobScheduler": NONE,
}
JOB = {
    **dict.fromkeys(
        ("fromId", "updateProgress", "updateData", "log", "getState"), NONE
    ),
    **dict.fromkeys(("isActive", "isCompleted", "isFailed", "isDelayed"), NONE),
    **dict.fromkeys(("isWaiting", "isWaitingChildren", "promote", "remove"), NONE),
    "retry": ("state", "opts"),
    "moveToCompleted": ("token", "fetchNext"),
    "moveToFailed": ("token", "fetchNext"),
    "moveToWaitingChildren": ("token",),
    "getChildrenValues": NONE,
}
WORKER = {
    **dict.fromkeys(("run", "on", "off", "pause", "resume"), NONE),
    "getNextJob": ("token",),
    "close": ("force",),
    "cancelJob": ("reason",),
    "cancelAllJobs": ("reason",),
}
METHODS: dict[Any, dict[str, tuple[str, ...]]] = {
    bullmq.Queue: QUEUE,
    bullmq.Job: JOB,
    bullmq.Worker: WORKER,
    bullmq.FlowProducer: {"add": ("opts",), "addBulk": NONE, "close": NONE},
    bullmq.QueueEvents: dict.fromkeys(("on", "off", "run", "close"), NONE),
    bullmq.QueueEventsProducer: dict.fromkeys(("publishEvent", "close"), NONE),
    bullmq.AbortController: {"abort": ("reason",)},
    bullmq.AbortSignal: dict.fromkeys(("wait", "throw_if_aborted"), NONE),
    lock_manager.LockManager: dict.fromkeys(("get_active_job_count", "close"), NONE),
}
SYNC = {
    *("sanitizeJobTypes", "on", "off", "cancelJob", "cancelAllJobs", "abort"),
    *("throw_if_aborted", "get_active_job_count", "resume"),
}
EXPORTED = (
    *("Queue", "Worker", "Job", "FlowProducer", "QueueEvents", "QueueEventsProducer"),
    *("JobScheduler", "LockManager", "AbortController", "AbortSignal", "AbortError"),
    *("WaitingChildrenError", "UnrecoverableError"),
)


@pytest.mark.parametrize(
    ("owner", "name", "parameters"),
    [
        pytest.param(owner, name, names, id=f"{owner.__name__}.{name}")
        for owner, methods in METHODS.items()
        for name, names in methods.items()
    ],
)
def test_a_method_takes_its_arguments_by_these_names(
    owner: Any, name: str, parameters: tuple[str, ...]
) -> None:
    method = getattr(owner, name)
    taken = inspect.signature(method).parameters
    assert set(parameters) <= set(taken)
    if name not in SYNC or (owner, name) == (bullmq.Queue, "resume"):
        assert inspect.iscoroutinefunction(method)


@pytest.mark.parametrize("name", EXPORTED)
def test_a_class_is_exported(name: str) -> None:
    assert inspect.isclass(getattr(bullmq, name))


def test_the_default_strategy_takes_milliseconds_and_options() -> None:
    taken = inspect.signature(job_scheduler.default_repeat_strategy).parameters
    assert list(taken)[:2] == ["millis", "opts"]
