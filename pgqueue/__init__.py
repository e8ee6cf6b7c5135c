"""pgqueue: a job queue on the PostgreSQL that an application already has."""

from pgqueue.async_queue import AsyncQueue
from pgqueue.errors import (
    ConfigError,
    DatabaseUnavailable,
    HandlerSignal,
    JobError,
    JobFailed,
    JobNotFound,
    JobStateError,
    LeaseLost,
    PayloadError,
    PgQueueError,
    QueueNotEmpty,
    RetryLater,
    ScheduleNotFound,
    SchemaError,
    Unrecoverable,
    UnsupportedConnection,
)
from pgqueue.queue import Queue
from pgqueue.schedule import Schedule, SchedulePage
from pgqueue.types import (
    Backoff,
    Counts,
    Dedup,
    Job,
    JobState,
    KeepJobs,
    NewJob,
    Page,
)
from pgqueue.worker import ActiveJob, Worker

__all__ = [
    "ActiveJob",
    "AsyncQueue",
    "Backoff",
    "ConfigError",
    "Counts",
    "DatabaseUnavailable",
    "Dedup",
    "HandlerSignal",
    "Job",
    "JobError",
    "JobFailed",
    "JobNotFound",
    "JobState",
    "JobStateError",
    "KeepJobs",
    "LeaseLost",
    "NewJob",
    "Page",
    "PayloadError",
    "PgQueueError",
    "Queue",
    "QueueNotEmpty",
    "RetryLater",
    "Schedule",
    "ScheduleNotFound",
    "SchedulePage",
    "SchemaError",
    "Unrecoverable",
    "UnsupportedConnection",
    "Worker",
]
