"""Jobs in Django's admin: to look at, to retry and to cancel; nothing is edited."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from django.contrib import admin, messages
from django.db import connections
from django.utils.html import format_html

from pgqueue.django.conf import site
from pgqueue.django.models import Job
from pgqueue.django.queues import Queue
from pgqueue.errors import JobError

if TYPE_CHECKING:
    from collections.abc import Callable

SHOWN = (
    "id",
    "queue",
    "name",
    "state",
    "priority",
    "attempt",
    "attempts",
    "stalled",
    "created_at",
    "run_at",
    "started_at",
    "finished_at",
    "worker",
    "key",
    "parent_id",
    "error",
    "data_shown",
    "progress_shown",
    "result_shown",
    "failures",
    "log",
)


class QueueFilter(admin.SimpleListFilter):
    """The queues that there are, without a look at the jobs."""

    title = "queue"
    parameter_name = "queue"

    def lookups(self, _request: Any, _admin: Any) -> list[tuple[str, str]]:
        """Return the names of all queues."""
        query = f"SELECT name FROM {site().schema}.queue ORDER BY name"  # noqa: S608
        with connections[site().database].cursor() as cursor:
            cursor.execute(query)
            return [(name, name) for (name,) in cursor.fetchall()]

    def queryset(self, _request: Any, jobs: Any) -> Any:
        """Return the jobs of the queue chosen."""
        return jobs if self.value() is None else jobs.filter(queue=self.value())


@admin.register(Job)
class JobAdmin(admin.ModelAdmin):
    """A list that is filtered by state and queue, and a page for each job."""

    list_display = ("id", "queue", "name", "state", "attempt", "created_at", "error")
    list_filter = ("state", QueueFilter)
    search_fields = ("=id", "name", "=key", "error")
    search_help_text = "An id, a key, or a part of a name or error."
    ordering = ("-id",)
    # Counting all of them takes a look at every table of states.
    show_full_result_count = False
    list_per_page = 50
    actions = ("retry_jobs", "cancel_jobs")
    fields = SHOWN
    readonly_fields = SHOWN

    def has_add_permission(self, _request: Any) -> bool:
        """Jobs are added by code."""
        return False

    def has_change_permission(self, _request: Any, _obj: Any = None) -> bool:
        """Nothing is edited."""
        return False

    def has_delete_permission(self, _request: Any, _obj: Any = None) -> bool:
        """Nothing is deleted."""
        return False

    def has_operate_permission(self, request: Any) -> bool:
        """Whether somebody may retry and cancel."""
        return bool(request.user.has_perm("pgqueue.operate_job"))

    @admin.action(permissions=["operate"], description="Retry selected jobs")
    def retry_jobs(self, request: Any, chosen: Any) -> None:
        """Let finished jobs run again."""
        self._act(
            request, chosen, lambda job: Queue(job.queue).retry(job.id), "retried"
        )

    @admin.action(permissions=["operate"], description="Cancel selected jobs")
    def cancel_jobs(self, request: Any, chosen: Any) -> None:
        """Stop jobs wherever they are."""
        self._act(
            request, chosen, lambda job: Queue(job.queue).cancel(job.id), "cancelled"
        )

    def _act(
        self, request: Any, chosen: Any, act: Callable[[Any], object], done: str
    ) -> None:
        """Do something to each job, and tell of those that it cannot be done to."""
        count = 0
        for job in chosen:
            try:
                act(job)
            except JobError as error:
                self.message_user(request, str(error), messages.WARNING)
            else:
                count += 1
        if count:
            what = "1 job" if count == 1 else f"{count} jobs"
            self.message_user(request, f"{what} {done}.", messages.SUCCESS)

    @admin.display(description="data")
    def data_shown(self, job: Any) -> str:
        """Return the data as text on several lines."""
        return shown(job.data)

    @admin.display(description="progress")
    def progress_shown(self, job: Any) -> str:
        """Return the progress."""
        return shown(job.progress)

    @admin.display(description="result")
    def result_shown(self, job: Any) -> str:
        """Return the result."""
        return shown(job.result)

    @admin.display(description="failed attempts")
    def failures(self, job: Any) -> str:
        """Return why each failed run did, with its traceback."""
        try:
            tried = Queue(job.queue).attempts(job.id)
        except JobError:
            return "-"
        return lines(
            [f"{one.attempt}: {one.error}\n{one.stack or ''}".rstrip() for one in tried]
        )

    @admin.display(description="log")
    def log(self, job: Any) -> str:
        """Return the first lines of the log."""
        try:
            found = Queue(job.queue).logs(job.id)
        except JobError:
            return "-"
        return lines([f"{one.at:%Y-%m-%d %H:%M:%S} {one.line}" for one in found])


def shown(value: Any) -> str:
    """Return a JSON value for a page."""
    text = json.dumps(value, indent=2, ensure_ascii=False)
    return "-" if value is None else lines([text])


def lines(found: list[str]) -> str:
    """Return texts as they are written; the page escapes them."""
    if not found:
        return "-"
    return format_html("<pre>{}</pre>", "\n".join(found))
