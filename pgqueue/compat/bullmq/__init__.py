"""The names of the official `bullmq` package over pgqueue."""

from pgqueue.compat.bullmq.abort_controller import (
    AbortController,
    AbortError,
    AbortSignal,
)
from pgqueue.compat.bullmq.custom_errors import (
    DelayedError,
    UnrecoverableError,
    WaitingChildrenError,
)
from pgqueue.compat.bullmq.flow_producer import FlowProducer
from pgqueue.compat.bullmq.job import Job
from pgqueue.compat.bullmq.job_scheduler import JobScheduler
from pgqueue.compat.bullmq.lock_manager import LockManager
from pgqueue.compat.bullmq.queue import Queue
from pgqueue.compat.bullmq.queue_events import QueueEvents
from pgqueue.compat.bullmq.queue_events_producer import QueueEventsProducer
from pgqueue.compat.bullmq.worker import Worker

__all__ = [
    "AbortController",
    "AbortError",
    "AbortSignal",
    "DelayedError",
    "FlowProducer",
    "Job",
    "JobScheduler",
    "LockManager",
    "Queue",
    "QueueEvents",
    "QueueEventsProducer",
    "UnrecoverableError",
    "WaitingChildrenError",
    "Worker",
]
