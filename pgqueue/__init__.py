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
from pgqueue.events import AsyncQueueEvents, QueueEvents
from pgqueue.queue import Queue
from pgqueue.schedule import Schedule, SchedulePage
from pgqueue.types import (
    Backoff,
    Counts,
    Dedup,
    Event,
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
    "AsyncQueueEvents",
    "Backoff",
    "ConfigError",
    "Counts",
    "DatabaseUnavailable",
    "Dedup",
    "Event",
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
    "QueueEvents",
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
