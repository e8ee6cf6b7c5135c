"""`Queue`, `AsyncQueue` and the flow producers on Django's connection."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, Unpack, overload

from asgiref.sync import sync_to_async

from pgqueue import async_queue, flow, payload
from pgqueue import queue as sync_queue
from pgqueue.django import registry
from pgqueue.django.conf import core_settings
from pgqueue.django.joining import alias_of, is_joined, run_joined
from pgqueue.shells.base import AsyncCaller, Caller

if TYPE_CHECKING:
    from collections.abc import Callable

    from pgqueue.config import Settings
    from pgqueue.ops.core import Atomic, Op
    from pgqueue.shells.tasks import AsyncTask, JobOptions, Task

T = TypeVar("T")
P = ParamSpec("P")
R = TypeVar("R")
H = TypeVar("H", bound="Callable[..., Any]")


class Located:
    """Which database of Django it is; asked anew each time, as tests move it."""

    _database: str | None = None

    @property
    def _settings(self) -> Settings:
        return core_settings(self._database)

    @_settings.setter
    def _settings(self, _: Settings) -> None:
        """The environment does not decide where a queue of Django is."""

    @property
    def _alias(self) -> str | None:
        return alias_of(None, self._database)


class Joining(Located, Caller):
    """Runs operations on Django's connection of the thread it is called in."""

    def _run(self, op: Op[T] | Atomic[T], connection: Any) -> T:
        alias = alias_of(connection, self._database)
        if alias is None:
            return super()._run(op, connection)
        return run_joined(op, alias)

    def _borrows(self, connection: Any) -> bool:
        alias = alias_of(connection, self._database)
        return True if alias is None else is_joined(alias)


class AsyncJoining(Located, AsyncCaller):
    """Does the same in the thread in which Django's own async calls run."""

    async def _run(self, op: Op[T] | Atomic[T], connection: Any) -> T:
        alias = alias_of(connection, self._database)
        if alias is None:
            return await super()._run(op, connection)
        # A coroutine cannot be told from its thread by the type checker.
        joined: Any = sync_to_async(run_joined, thread_sensitive=True)
        value: T = await joined(op, alias)
        return value

    async def _borrows(self, connection: Any) -> bool:
        alias = alias_of(connection, self._database)
        if alias is None:
            return True
        return bool(await sync_to_async(is_joined, thread_sensitive=True)(alias))


class Queue(Joining, sync_queue.Queue):
    """A queue in a database of Django; in `atomic()` its calls are a part of it.

    Args:
        name: 1 to 255 characters; the queue exists from its first use.
        database: an alias of DATABASES; by default what PGQUEUE says.
        size_limit: the largest data of one job, in bytes of JSON.

    Raises:
        ConfigError: the name or a setting is not valid. No I/O happens here.
    """

    def __init__(
        self,
        name: str,
        *,
        database: str | None = None,
        size_limit: int = payload.MAX_BYTES,
    ) -> None:
        super().__init__(name, size_limit=size_limit)
        self._database = database

    @overload
    def job(self, name: Callable[P, R], /) -> Task[P, R]: ...
    @overload
    def job(
        self, name: str | None = None, **given: Unpack[JobOptions]
    ) -> Callable[[Callable[P, R]], Task[P, R]]: ...
    def job(
        self,
        name: str | Callable[P, R] | None = None,
        **given: Unpack[JobOptions],
    ) -> Task[P, R] | Callable[[Callable[P, R]], Task[P, R]]:
        """Make the decorated function a job that `manage.py pgqueue worker` runs.

        Raises:
            ConfigError: it takes positional-only or variable arguments, or another
                function has the name in this queue.
        """
        if callable(name):
            return self.job()(name)
        make: Any = super().job(name, **given)

        def register(function: Callable[P, R]) -> Task[P, R]:
            task: Task[P, R] = make(function)
            registry.add(self.name, task.name, task.handle, function)
            return task

        return register

    def handler(self, name: str) -> Callable[[H], H]:
        """Let the decorated function of one argument, the job, run jobs of a name."""
        return registry.registering(self.name, name)


class AsyncQueue(AsyncJoining, async_queue.AsyncQueue):
    """The same, awaited; it joins the transaction of the code that called async code."""

    def __init__(
        self,
        name: str,
        *,
        database: str | None = None,
        size_limit: int = payload.MAX_BYTES,
    ) -> None:
        super().__init__(name, size_limit=size_limit)
        self._database = database

    @overload
    def job(self, name: Callable[P, R], /) -> AsyncTask[P, R]: ...
    @overload
    def job(
        self, name: str | None = None, **given: Unpack[JobOptions]
    ) -> Callable[[Callable[P, R]], AsyncTask[P, R]]: ...
    def job(
        self,
        name: str | Callable[P, R] | None = None,
        **given: Unpack[JobOptions],
    ) -> AsyncTask[P, R] | Callable[[Callable[P, R]], AsyncTask[P, R]]:
        """Make the decorated function a job that `manage.py pgqueue worker` runs.

        Raises:
            ConfigError: it takes positional-only or variable arguments, or another
                function has the name in this queue.
        """
        if callable(name):
            return self.job()(name)
        make: Any = super().job(name, **given)

        def register(function: Callable[P, R]) -> AsyncTask[P, R]:
            task: AsyncTask[P, R] = make(function)
            registry.add(self.name, task.name, task.handle, function)
            return task

        return register

    def handler(self, name: str) -> Callable[[H], H]:
        """Let the decorated function of one argument, the job, run jobs of a name."""
        return registry.registering(self.name, name)


class FlowProducer(Joining, flow.FlowProducer):
    """Adds flows to a database of Django; in `atomic()` as a part of it.

    Args:
        database: an alias of DATABASES; by default what PGQUEUE says.
        size_limit: the largest data of one job, in bytes of JSON.
    """

    def __init__(
        self, *, database: str | None = None, size_limit: int = payload.MAX_BYTES
    ) -> None:
        super().__init__(size_limit=size_limit)
        self._database = database


class AsyncFlowProducer(AsyncJoining, flow.AsyncFlowProducer):
    """The same, awaited."""

    def __init__(
        self, *, database: str | None = None, size_limit: int = payload.MAX_BYTES
    ) -> None:
        super().__init__(size_limit=size_limit)
        self._database = database


@cache
def queue(name: str = "default") -> Queue:
    """Return the queue of that name in the configured database, the same each time."""
    return Queue(name)
