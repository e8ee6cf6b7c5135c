"""What BullMQ has and this module has not; each name says what to do instead."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any, Final

from pgqueue.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

TRACING: Final = "pgqueue counts and logs by itself"
ENDPOINT: Final = {
    "schema": "the environment says the schema, in PGQUEUE_SCHEMA",
    "telemetry": TRACING,
}
JOB_OPTIONS: Final = {
    "repeat": "use queue.upsertJobScheduler(id, repeat, …)",
    "sizeLimit": "the limit is 1 MiB of JSON",
    "debounce": "use deduplication",
    "rateLimiterKey": "use queue.setGlobalRateLimit(max, ms)",
    "telemetry": TRACING,
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
WORKER_OPTIONS: Final = {
    **ENDPOINT,
    "limiter": "a limit belongs to the queue, use queue.setGlobalRateLimit(max, ms)",
    "maxStartedAttempts": "use the job option attempts, and maxStalledCount",
    "metrics": "they are always counted: Queue.metrics of pgqueue has them",
    "skipLockRenewal": "locks are renewed while the worker lives",
    "skipStalledCheck": "stalled jobs are found by any worker of any queue",
    "useWorkerThreads": "processors run in the loop; use asyncio.to_thread in them",
}
SETTINGS: Final = {
    "repeatStrategy": "use a cron pattern",
}
REDIS: Final = "there is no Redis behind it"
LEASES: Final = "locks are renewed by worker.lockManager"
NAMES: Final = {
    **dict.fromkeys(
        ("client", "redisConnection", "scripts", "keys", "toKey", "backend"), REDIS
    ),
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
    "moveToDelayed": "raise an exception; the job runs again after its backoff",
    "discard": "raise UnrecoverableError",
    "addJobLog": "use job.log(text)",
    **dict.fromkeys(("extendLock", "extendLocks", "extendJobLocks"), LEASES),
    **dict.fromkeys(
        ("getFlow", "getDependencies", "getDependenciesCount"),
        "AsyncFlowProducer.get of pgqueue reads a flow",
    ),
}


OPTIONS: Final = {
    "job": [
        "attempts",
        "backoff",
        "continueParentOnFailure",
        "deduplication",
        "delay",
        "failParentOnFailure",
        "ignoreDependencyOnFailure",
        "jobId",
        "keepLogs",
        "lifo",
        "parent",
        "prevMillis",
        "priority",
        "removeDependencyOnFailure",
        "removeOnComplete",
        "removeOnFail",
        "repeatJobKey",
        "stackTraceLimit",
        "timestamp",
    ],
    "queue": [
        "backend",
        "blockingTimeout",
        "connection",
        "defaultJobOptions",
        "prefix",
        "skipMetasUpdate",
        "skipVersionCheck",
        "skipWaitingForReady",
    ],
    "worker": [
        "autorun",
        "backend",
        "blockingTimeout",
        "concurrency",
        "connection",
        "defaultJobOptions",
        "drainDelay",
        "lockDuration",
        "lockRenewTime",
        "maxStalledCount",
        "name",
        "prefix",
        "removeOnComplete",
        "removeOnFail",
        "runRetryDelay",
        "settings",
        "skipMetasUpdate",
        "skipVersionCheck",
        "skipWaitingForReady",
        "stalledInterval",
    ],
}
"""The options of BullMQ's, beside those that are refused with a reason."""


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


def meant(name: str, known: Sequence[str]) -> str:
    """Say which of the known names may have been meant, or which there are."""
    words = {one.replace("_", "").lower(): one for one in known}
    close = difflib.get_close_matches(
        name.replace("_", "").lower(), words, n=1, cutoff=0.8
    )
    if close:
        return f"did you mean {words[close[0]]!r}?"
    return f"there are {', '.join(known)}"


def check_options(
    what: str, opts: Mapping[str, Any], unsupported: Mapping[str, str]
) -> None:
    """Raise if an option is set that would be without effect.

    Raises:
        ConfigError: one is; the text says what to do instead.
    """
    for name, instead in unsupported.items():
        if opts.get(name) not in (None, False):
            raise ConfigError(f"the {what} option {name!r} is not supported: {instead}")
    known = OPTIONS.get(what, ())
    for name in opts if known else ():
        if name not in known and name not in unsupported:
            text = meant(str(name), known)
            raise ConfigError(f"there is no {what} option {name!r}: {text}")


def check_backend(opts: Mapping[str, Any]) -> None:
    """Raise if another backend than PostgreSQL is asked for."""
    backend = opts.get("backend")
    if backend not in (None, "postgres"):
        raise ConfigError.bad("backend", backend, '"postgres", or nothing')
