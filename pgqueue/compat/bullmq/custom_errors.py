"""Exceptions by which a processor says what becomes of its job."""

from __future__ import annotations


class WaitingChildrenError(Exception):
    """The job waits for its children; see `Job.moveToWaitingChildren`."""


class DelayedError(Exception):
    """The job was delayed by its processor; see `Job.moveToDelayed`."""


class UnrecoverableError(Exception):
    """The job fails now, whatever attempts are left."""


class MissingLock(Exception):
    """The job is not this worker's any more: the outcome was refused."""

    def __init__(self, job_id: str, command: str) -> None:
        super().__init__(f"Missing lock for job {job_id}. {command}")
        self.code = -2


class MissingParent(TypeError):
    """There is no such parent job."""

    def __init__(self, queue: str, job_id: str) -> None:
        super().__init__(f"Missing key for parent job {queue}:{job_id}. addJob")
        self.code = -5
