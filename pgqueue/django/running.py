"""Runs a Django task as the handler of its jobs, and sends Django's signals."""

from __future__ import annotations

import os
import socket
import traceback
from typing import TYPE_CHECKING, Any

from django.utils import timezone
from django.utils.module_loading import import_string

from pgqueue.django.library import base, signals, tasks, to_json
from pgqueue.django.results import STATUS, path_of, result_of
from pgqueue.errors import (
    RateLimited,
    RetryLater,
    Unrecoverable,
    WaitForChildren,
)
from pgqueue.shells.tasks import CURRENT

if TYPE_CHECKING:
    from pgqueue.worker import ActiveJob


def find_task(path: str) -> Any:
    """Return the task that is imported from a path; None if there is no such task."""
    if "." not in path:
        return None
    try:
        found = import_string(path)
    except ImportError:
        return None
    return found if isinstance(found, base.Task) else None


class RunTask:
    """A handler in a thread; an `async def` task has a loop of its own there.

    Signals are sent for each run: a job whose worker dies begins more often than it ends.
    """

    def __init__(self, task: Any) -> None:
        self.task = task

    def __call__(self, job: ActiveJob) -> Any:
        backend, result = self.begin(job)
        CURRENT.set(job)
        signals.task_started.send(type(backend), task_result=result)
        args, kwargs = result.args, result.kwargs
        try:
            if self.task.takes_context:
                args = [base.TaskContext(task_result=result), *args]
            value = to_json(self.task.call(*args, **kwargs), "result")
        except (RetryLater, RateLimited, WaitForChildren):
            raise
        except BaseException as error:
            self.fail(backend, result, error, job)
            raise
        change(result, status=STATUS.SUCCESSFUL, _return_value=value)
        change(result, finished_at=timezone.now())
        signals.task_finished.send(type(backend), task_result=result)
        return value

    def begin(self, job: ActiveJob) -> tuple[Any, Any]:
        """Return the backend that added the job, and where it stands now."""
        alias = job.data.get("backend", base.DEFAULT_TASK_BACKEND_ALIAS)
        backend = tasks.task_backends[alias]
        result = result_of(job.snapshot(), self.task, alias, [])
        # So many runs there were; who made the earlier ones is not looked up.
        here = f"{socket.gethostname()}:{os.getpid()}"
        change(result, worker_ids=[here] * job.attempt)
        return backend, result

    def fail(
        self, backend: Any, result: Any, error: BaseException, job: ActiveJob
    ) -> None:
        """Tell of a run that failed for good; one that is retried has not finished."""
        stack = "".join(traceback.format_exception(error))
        result.errors.append(
            base.TaskError(exception_class_path=path_of(error), traceback=stack)
        )
        if job.attempt >= job.attempts or isinstance(error, Unrecoverable):
            change(result, status=STATUS.FAILED, finished_at=timezone.now())
            signals.task_finished.send(type(backend), task_result=result)


def change(result: Any, **values: Any) -> None:
    """Set fields of a result, which are for others to read."""
    for name, value in values.items():
        object.__setattr__(result, name, value)
