"""`PgQueueBackend`: Django's tasks, run by pgqueue.

A task is a job whose name is the path its function is imported from, and whose data are
the arguments. It is added on Django's connection: in `atomic()` it exists exactly if
that block commits.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, Final

from django.conf import settings
from django.utils import timezone

from pgqueue import options
from pgqueue.django.library import (
    InvalidTask,
    TaskResultDoesNotExist,
    backends,
    base,
    signals,
    to_json,
)
from pgqueue.django.queues import Queue
from pgqueue.django.results import result_of, split_id
from pgqueue.errors import JobNotFound, PgQueueError
from pgqueue.types import Backoff, Dedup, Duration, Keep, NewJob

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from pgqueue.types import Job

__all__ = ["PgQueueBackend", "PgQueueTask"]

LAST: Final = 100
"""Django's priorities are -100 to 100, the highest first; ours 0 to 200, 0 first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PgQueueTask(base.Task):
    """A task with the options of a job; those not given come from the backend's OPTIONS.

    They are keywords of `@task(…)`, where Django lets them through, and of `using(…)`.
    See `Queue.add` for what each of them means.
    """

    attempts: int | None = None
    backoff: Backoff | Duration | str | None = None
    timeout: Duration | None = None
    expires: Duration | datetime | None = None
    key: str | None = None
    dedup: Dedup | None = None
    lifo: bool | None = None
    remove_on_complete: Keep | None = None
    remove_on_fail: Keep | None = None
    keep_logs: int | None = None
    stack_limit: int | None = None
    size_limit: int | None = None
    headers: Mapping[str, str] | None = None
    tags: Sequence[str] | None = None

    def using(self, **changes: Any) -> PgQueueTask:
        """Return the task with other options; None leaves one as it is.

        Raises:
            TypeError: there is no such option.
            InvalidTask: an option is out of its range.
        """
        known = {*OPTIONS, "priority", "queue_name", "run_after", "backend"}
        if unknown := changes.keys() - known:
            raise TypeError(f"using() takes no option {min(unknown)!r}")
        given = {name: value for name, value in changes.items() if value is not None}
        return replace(self, **given)


OPTIONS: Final = tuple(
    each.name
    for each in fields(PgQueueTask)
    if each.name not in {inherited.name for inherited in fields(base.Task)}
)


class PgQueueBackend(backends.BaseTaskBackend):
    """Adds tasks as jobs to the configured database, in the current transaction.

    `OPTIONS` of the entry in TASKS are defaults for all tasks: `{"attempts": 5}`.
    """

    task_class = PgQueueTask
    supports_defer = True
    supports_async_task = True
    supports_get_result = True
    supports_priority = True

    def validate_task(self, task: Any) -> None:
        """Raise `InvalidTask` unless the task can be added."""
        super().validate_task(task)
        new = NewJob("task", **self._options(task))
        try:
            options.asked_options(new)
            options.check_name(task.queue_name, "queue name")
        except PgQueueError as error:
            raise InvalidTask(str(error)) from error

    def enqueue(self, task: Any, args: Any, kwargs: Any) -> Any:
        """Add a task, durable when this returns, or when the current block commits.

        Raises:
            InvalidTask: an option is out of its range; nothing was sent.
            TypeError: an argument is not JSON; says which, and what to give instead.
        """
        self.validate_task(task)
        data: dict[str, Any] = {
            "args": to_json(list(args), "args"),
            "kwargs": to_json(dict(kwargs), "kwargs"),
        }
        if self.alias != base.DEFAULT_TASK_BACKEND_ALIAS:
            data["backend"] = self.alias
        job = Queue(task.queue_name).add(task.module_path, data, **self._options(task))
        result = result_of(job, task, self.alias, self._attempts(job))
        signals.task_enqueued.send(type(self), task_result=result)
        return result

    def get_result(self, result_id: str) -> Any:
        """Return where a task stands; for as long as its job is kept.

        Raises:
            TaskResultDoesNotExist: there is no such job, or no more.
        """
        from pgqueue.django.running import find_task  # noqa: PLC0415  it needs us

        queue, number = split_id(result_id)
        try:
            job = Queue(queue).get(number)
            tried = self._attempts(job)
        except JobNotFound as error:
            raise TaskResultDoesNotExist(result_id) from error
        task = find_task(job.name)
        if task is None:
            raise TaskResultDoesNotExist(result_id)
        changes = {"queue_name": queue, "priority": LAST - job.priority}
        if task.backend != self.alias:
            changes["backend"] = self.alias
        different = {
            name: value
            for name, value in changes.items()
            if getattr(task, name) != value
        }
        return result_of(job, task.using(**different), self.alias, tried)

    def check(self, **_: Any) -> list[Any]:
        """Return what is wrong with OPTIONS."""
        from django.core.checks import Error  # noqa: PLC0415  only for checks

        if unknown := self.options.keys() - set(OPTIONS):
            return [
                Error(
                    f"TASKS[{self.alias!r}]['OPTIONS'] has {min(unknown)!r}.",
                    hint=f"It may have: {', '.join(OPTIONS)}.",
                    id="pgqueue.E003",
                )
            ]
        try:
            options.asked_options(NewJob("task", **self.options))
        except PgQueueError as error:
            return [
                Error(f"TASKS[{self.alias!r}]['OPTIONS']: {error}", id="pgqueue.E004")
            ]
        return []

    def _attempts(self, job: Job) -> Any:
        """Return the failed runs of a job, if it had any."""
        failed = job.attempt > 1 or job.error is not None
        return Queue(job.queue).attempts(job.id) if failed else []

    def _options(self, task: Any) -> dict[str, Any]:
        """Return what a task, then OPTIONS, say about its jobs, in our words."""
        asked = {name: self.options[name] for name in OPTIONS if name in self.options}
        # One that was made for another backend has none of its own.
        own = {name: getattr(task, name, None) for name in OPTIONS}
        asked |= {name: value for name, value in own.items() if value is not None}
        asked["priority"] = LAST - int(task.priority)
        if task.run_after is not None:
            after = task.run_after
            asked["run_at"] = after if settings.USE_TZ else timezone.make_aware(after)
        return asked
