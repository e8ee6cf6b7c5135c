"""What Django calls the result of a task, made of a job."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from django.conf import settings
from django.utils import timezone

from pgqueue.django.library import TaskResultDoesNotExist, base
from pgqueue.types import JobState

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from pgqueue.types import Attempt, Job

STATUS: Final = base.TaskResultStatus
STATUSES: Final = {
    JobState.ACTIVE: STATUS.RUNNING,
    JobState.COMPLETED: STATUS.SUCCESSFUL,
    JobState.FAILED: STATUS.FAILED,
}
RAISED: Final = re.compile(r"([A-Za-z_][\w.]*)(?::|$)")
SOMEBODY: Final = "pgqueue"
"""A worker whose name is kept no more."""


def make_id(queue: str, number: int) -> str:
    """Return the id of a result; ids of jobs are counted over all queues."""
    return f"{queue}:{number}"


def split_id(result_id: str) -> tuple[str, int]:
    """Return the queue and the job of a result's id.

    Raises:
        TaskResultDoesNotExist: it is none of ours.
    """
    queue, _, number = str(result_id).rpartition(":")
    if not queue or not number.isdecimal() or int(number) >= 2**63:
        raise TaskResultDoesNotExist(result_id)
    return queue, int(number)


def result_of(job: Job, task: Any, alias: str, tried: Sequence[Attempt]) -> Any:
    """Return a `TaskResult`.

    Args:
        job: as it stands now.
        alias: of the backend.
        tried: its failed runs, the oldest first.
    """
    workers = [each.worker or SOMEBODY for each in tried][: job.attempt]
    workers += [job.worker or SOMEBODY] * (job.attempt - len(workers))
    starts = [each.started_at for each in tried if each.started_at is not None]
    if job.started_at is not None:
        starts.append(job.started_at)
    result = base.TaskResult(
        task=task,
        id=make_id(job.queue, job.id),
        status=STATUSES.get(job.state, STATUS.READY),
        enqueued_at=local(job.created_at),
        started_at=local(min(starts, default=None)),
        finished_at=local(job.finished_at),
        last_attempted_at=local(max(starts, default=None)),
        args=job.data["args"],
        kwargs=job.data["kwargs"],
        backend=alias,
        errors=[error_of(each) for each in tried],
        worker_ids=workers,
    )
    if job.state == JobState.COMPLETED:
        object.__setattr__(result, "_return_value", job.result)
    return result


def error_of(attempt: Attempt) -> Any:
    """Return what a failed run raised."""
    stack = attempt.stack or ""
    return base.TaskError(
        exception_class_path=raised_in(stack), traceback=stack or attempt.error
    )


def raised_in(stack: str) -> str:
    """Return the path of the exception's class, read off the end of its traceback.

    What follows the last frame begins with it; a message may have further lines.
    """
    lines = stack.splitlines()
    frames = [n for n, line in enumerate(lines) if line.startswith("  ")]
    for line in lines[frames[-1] + 1 if frames else 0 :]:
        if found := RAISED.match(line):
            name = found[1]
            return name if "." in name else f"builtins.{name}"
    return "builtins.Exception"


def path_of(error: BaseException) -> str:
    """Return the path of an exception's class."""
    return f"{type(error).__module__}.{type(error).__qualname__}"


def local(instant: datetime | None) -> datetime | None:
    """Return an instant as this site writes them."""
    if instant is None or settings.USE_TZ:
        return instant
    return timezone.make_naive(instant)
