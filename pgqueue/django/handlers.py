"""Handlers as Django needs them: set up, and with connections that still work.

A handler's connections are looked at before and after it, as those of a request are: a
worker runs for weeks, and the server may restart meanwhile.
"""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING, Any, Final

from asgiref.sync import ThreadSensitiveContext, sync_to_async
from django.apps import apps
from django.db import close_old_connections, connections

from pgqueue import telemetry
from pgqueue.django import registry
from pgqueue.errors import NoHandler, RetryLater
from pgqueue.worker.handlers import Handlers, is_async

if TYPE_CHECKING:
    from collections.abc import Callable

    Handler = Callable[[Any], Any]


HOLD: Final = 60.0
"""How long a job is held that only a function of another queue is for, in seconds."""


class Guarded:
    """A `def` handler between two looks at its thread's connections."""

    def __init__(self, handler: Handler) -> None:
        self.handler = handler

    @property
    def unguarded(self) -> Handler:
        """What a test runs: the connections are in its own transaction."""
        return self.handler

    def __call__(self, job: Any) -> Any:
        close_old_connections()
        try:
            return self.handler(job)
        finally:
            close_old_connections()

    def __reduce__(self) -> tuple[Any, ...]:
        return restore, (pickle.dumps(self.handler),)


class AsyncGuarded(Guarded):
    """An `async def` handler whose ORM calls have a thread, so connections, of its own.

    All coroutines of a process would share one otherwise, and its transaction.
    """

    async def __call__(self, job: Any) -> Any:
        async with ThreadSensitiveContext():
            try:
                return await self.handler(job)
            finally:
                # The thread ends with the job, and nobody could use them again.
                await sync_to_async(connections.close_all)()


def guard(handler: Handler) -> Guarded:
    """Return a handler with its connections looked after."""
    if isinstance(handler, Guarded):
        return handler
    return AsyncGuarded(handler) if is_async(handler) else Guarded(handler)


def restore(pickled: bytes) -> Guarded:
    """Make a handler again in a child process, where Django is not set up yet."""
    set_up()
    return guard(pickle.loads(pickled))  # noqa: S301  our own parent sent it


def set_up() -> None:
    """Set Django up in a process that was spawned."""
    if not apps.ready:
        import django  # noqa: PLC0415

        django.setup()


class GuardedHandlers(Handlers):
    """Handlers of a worker, each of them guarded as it is registered."""

    @classmethod
    def around(cls, handlers: Handlers) -> GuardedHandlers:
        """Guard what a worker has already."""
        guarded = cls(None if handlers.default is None else guard(handlers.default))
        for name, handler in handlers.named.items():
            guarded.named[name] = guard(handler)
        return guarded

    def register(self, name: str, handler: Handler) -> None:
        """Let a function run the jobs of a name, guarded."""
        super().register(name, handler)
        self.named[name] = guard(handler)


class ByQueue:
    """Runs the functions that have one name, each for the jobs of its queue."""

    def __init__(self, name: str) -> None:
        self.name = name

    def choose(self, job: Any) -> Handler:
        """Return the function of a job's queue.

        Raises:
            RetryLater: only other queues have one of the name; the job is left to
                another worker, without an attempt used.
        """
        entry = registry.ENTRIES.get(self.name, {}).get(job.queue)
        if entry is None:
            raise RetryLater(HOLD, str(NoHandler(job.id, job.queue, job.name)))
        return entry.handler

    def __call__(self, job: Any) -> Any:
        return self.choose(job)(job)


class AsyncByQueue(ByQueue):
    """The same for `async def` functions."""

    async def __call__(self, job: Any) -> Any:
        return await self.choose(job)(job)


class SiteHandlers(Handlers):
    """Every function that `jobs.py` of an app registers, and every Django task.

    A task is found by its name, the path that it is imported from, when its first job
    comes. A name that means nothing here is left to other workers.
    """

    def find(self, name: str) -> Handler | None:
        """Return what runs the jobs of a name."""
        known = self.named.get(name)
        if known is None and (found := look_up(name)) is not None:
            known = self.named[name] = guard(found)
        return known

    def kinds(self) -> set[bool]:
        """Return both kinds: what comes later is not known."""
        return {True, False}

    def __reduce__(self) -> tuple[Any, ...]:
        return restore_site, ()


UNKNOWN: Final[set[str]] = set()
"""Names that were told of already."""


def look_up(name: str) -> Handler | None:
    """Return what a name means on this site."""
    if queues := registry.ENTRIES.get(name):
        first = next(iter(queues.values()))
        return AsyncByQueue(name) if is_async(first.handler) else ByQueue(name)
    if name in UNKNOWN:
        return None
    try:
        from pgqueue.django.running import RunTask, find_task  # noqa: PLC0415  optional
    except ImportError:
        return None
    try:
        task = find_task(name)
    except Exception as error:  # noqa: BLE001  importing runs the module
        telemetry.emit("job.unhandled", name=name, error=str(error))
        task = None
    if task is None:
        UNKNOWN.add(name)
        return None
    return RunTask(task)


def restore_site() -> SiteHandlers:
    """Make them again in a child process."""
    set_up()
    return SiteHandlers()
