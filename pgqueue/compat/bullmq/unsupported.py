"""What BullMQ has and this module has not; each name says what to do instead."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from pgqueue.compat.bullmq.known import meant
from pgqueue.errors import ConfigError

TRACING: Final = "pgqueue counts and logs by itself"
ENDPOINT: Final = {
    "schema": "the environment says the schema, in PGQUEUE_SCHEMA",
    "telemetry": TRACING,
}
JOB_OPTIONS: Final = {
    "repeat": "use queue.upsertJobScheduler(id, repeat, …)",
    "debounce": "use deduplication",
    "rateLimiterKey": "use queue.setGlobalRateLimit(max, ms)",
    "telemetry": TRACING,
    "group": "AsyncQueue.add of pgqueue takes group=",
}
TEMPLATE_OPTIONS: Final = {
    "deduplication": "there is one pending job at any time",
    "parent": "add a child in the processor, under job.id",
}
QUEUE_OPTIONS: Final = {
    **ENDPOINT,
    "settings": "a repeat strategy of one's own is not there; use a cron pattern",
    "streams": "events are trimmed by the maintenance",
}
LOOP: Final = "processors run in the loop; use asyncio.to_thread in them"
WORKER_OPTIONS: Final = {
    **ENDPOINT,
    "limiter": "a limit belongs to the queue, use queue.setGlobalRateLimit(max, ms)",
    "maxStartedAttempts": "use the job option attempts, and maxStalledCount",
    "metrics": "they are always counted: Queue.metrics of pgqueue has them",
    "skipLockRenewal": "locks are renewed while the worker lives",
    "skipStalledCheck": "stalled jobs are found by any worker of any queue",
    **dict.fromkeys(
        ("useWorkerThreads", "workerForkOptions", "workerThreadsOptions"), LOOP
    ),
    "group": "groups are limited by AsyncQueue.set_group_concurrency of pgqueue",
    "batch": "the Worker of pgqueue takes batch=",
    "ttl": "AsyncQueue.add of pgqueue takes timeout=",
}
SETTINGS: Final = {
    "repeatStrategy": "use a cron pattern",
}
REDIS: Final = "there is no Redis behind it"
LEASES: Final = "locks are renewed by worker.lockManager"
NAMES: Final = {
    **dict.fromkeys(("client", "redisConnection", "scripts", "keys", "toKey"), REDIS),
    **dict.fromkeys(("bclient", "blockingRedisConnection", "redisVersion"), REDIS),
    "trimEvents": "events are trimmed by the maintenance",
    "removeDeprecatedPriorityKey": REDIS,
    **dict.fromkeys(
        ("getWorkers", "getWorkersCount", "get_workers", "get_workers_count"),
        "AsyncQueue.workers of pgqueue lists them",
    ),
    **dict.fromkeys(
        ("getMetrics", "exportPrometheusMetrics"),
        "AsyncQueue.metrics of pgqueue, and `pgqueue metrics`, have them",
    ),
    **dict.fromkeys(
        ("getRepeatableJobs", "removeRepeatable", "removeRepeatableByKey"),
        "use getJobSchedulers and removeJobScheduler",
    ),
    "disconnect": "use close()",
    "waitUntilReady": "nothing is to be waited for",
    "waitUntilFinished": "listen to QueueEvents, `completed:<id>` and `failed:<id>`",
    "moveToWait": "use moveToDelayed, with the present instant",
    **dict.fromkeys(
        ("removeChildDependency", "removeUnprocessedChildren"),
        "remove the children, by queue.remove(id): their parent waits for them no more",
    ),
    **dict.fromkeys(
        ("getIgnoredChildrenFailures", "getFailedChildrenValues"),
        "ActiveJob.children_failures of pgqueue has them",
    ),
    "clearLogs": "the job option keepLogs bounds the log",
    "updateJobProgress": "use job.updateProgress(value)",
    **dict.fromkeys(
        ("getMeta", "isMaxed"),
        "use isPaused, getGlobalConcurrency, getGlobalRateLimit and getActiveCount",
    ),
    "getVersion": "pgqueue is no release of BullMQ",
    "recordJobCountsMetric": "AsyncQueue.counts of pgqueue has them",
    **dict.fromkeys(
        ("startStalledCheckTimer", "removeOrphanedJobs"),
        "stalled jobs are found by any worker of any queue, and nothing is orphaned",
    ),
    **dict.fromkeys(
        ("RateLimitError", "rateLimitGroup"),
        "use queue.rateLimit(ms); a job's own limits are RateLimited of pgqueue",
    ),
    "discard": "raise UnrecoverableError",
    "addJobLog": "use job.log(text)",
    **dict.fromkeys(("extendLock", "extendLocks", "extendJobLocks"), LEASES),
    **dict.fromkeys(
        ("getFlow", "getDependencies", "getDependenciesCount"),
        "AsyncFlowProducer.get of pgqueue reads a flow",
    ),
}


class Unsupported(ConfigError, AttributeError):
    """A name of BullMQ's that is not provided."""


class Explained:
    """Base of what programs hold: a name that is not there says what to do instead."""

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            if name.startswith("_"):
                raise AttributeError(name)
            kind = type(self).__name__
            instead = NAMES.get(name) or meant(name, public_names(type(self)))
            raise Unsupported(f"{kind}.{name} is not supported: {instead}")


def public_names(kind: type) -> list[str]:
    """Return the names that a class has for programs."""
    return [name for name in dir(kind) if not name.startswith("_")]
