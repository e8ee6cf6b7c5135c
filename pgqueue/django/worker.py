"""`Worker` on Django's database, and the one that runs every job of a site."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypedDict, Unpack

import pgqueue.worker
from pgqueue.django import registry
from pgqueue.django.conf import core_settings, site
from pgqueue.django.handlers import GuardedHandlers, SiteHandlers
from pgqueue.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pgqueue.config import Settings
    from pgqueue.types import Duration, Keep
    from pgqueue.worker.executor import Handler
    from pgqueue.worker.strategies import Strategy


class WorkerOptions(TypedDict, total=False):
    """The options of `pgqueue.Worker`, but for where its database is."""

    concurrency: int
    lease: Duration
    max_stalled: int
    shutdown_timeout: Duration
    remove_on_complete: Keep | None
    remove_on_fail: Keep | None
    backoffs: Mapping[str, Strategy] | None
    isolation: Literal["thread", "process"]
    processes: int
    name: str | None


class Worker(pgqueue.worker.Worker):
    """A worker of queues in a database of Django, which closes old connections.

    Args:
        queues: as for `pgqueue.Worker`, like all options.
        handler: the same.
        database: an alias of DATABASES; by default what PGQUEUE says.
    """

    _database: str | None = None
    _own: Settings | None = None

    def __init__(
        self,
        queues: str | Sequence[str],
        handler: Handler | None = None,
        *,
        database: str | None = None,
        **given: Unpack[WorkerOptions],
    ) -> None:
        super().__init__(queues, handler, **given)
        self._database = database
        self._own = None
        self.handlers = GuardedHandlers.around(self.handlers)

    @property
    def settings(self) -> Settings:
        """Where the database is: asked anew each time, as tests move it."""
        return self._own or core_settings(self._database)

    @settings.setter
    def settings(self, settings: Settings) -> None:
        self._own = settings

    @property
    def alias(self) -> str | None:  # type: ignore[override]
        """What `job.transaction()` of a `def` handler is on: the site's connection."""
        return None if self._own else self._database or site().database


def adapt(worker: pgqueue.worker.Worker) -> None:
    """Make a worker that was made without Django fit in: connections and database."""
    if not isinstance(worker, Worker):
        worker.handlers = GuardedHandlers.around(worker.handlers)
        if not worker.settings.dsn:
            worker.settings = core_settings()
            worker.alias = site().database


def task_queues() -> list[str]:
    """Return the queues of every entry in TASKS that is ours."""
    try:
        from pgqueue.django import library, tasks  # noqa: PLC0415  optional
    except ImportError:
        return []
    found: set[str] = set()
    handler = library.tasks.task_backends
    for alias in handler.settings:
        if isinstance(handler[alias], tasks.PgQueueBackend):
            found |= handler[alias].queues
    return sorted(found)


def unknown_queues(queues: Sequence[str]) -> list[str]:
    """Return those queues that no function and no entry of TASKS is for."""
    known = {*registry.queues(), *task_queues()}
    return [name for name in queues if name not in known]


def make_site_worker(
    queues: Sequence[str] = (), **given: Unpack[WorkerOptions]
) -> Worker:
    """Return a worker for every job that `jobs.py` of an app or a task is for.

    Args:
        queues: only these; by default all that have a function, and those of TASKS.

    Raises:
        ConfigError: there is no queue to work on.
    """
    names = list(queues) or list(dict.fromkeys(registry.queues() + task_queues()))
    if not names:
        raise ConfigError(
            "no app has a jobs.py with a function for a queue, and TASKS names no queue "
            "of PgQueueBackend; name one: -q QUEUE"
        )
    worker = Worker(names, **given)
    worker.handlers = SiteHandlers()
    return worker
