"""The worker: claims jobs, runs handlers, applies outcomes, looks after the queue."""

from pgqueue.worker.active_job import ActiveJob
from pgqueue.worker.batch import Batch
from pgqueue.worker.worker import Worker

__all__ = ["ActiveJob", "Batch", "Worker"]
