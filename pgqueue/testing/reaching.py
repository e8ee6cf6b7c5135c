"""How the helpers reach the database: as the queue they are given does."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypeVar

from pgqueue.db import kinds
from pgqueue.db.borrow import run_on
from pgqueue.errors import ConfigError
from pgqueue.options import check_name
from pgqueue.shells import site
from pgqueue.shells.base import AsyncCaller, AsyncShell, Caller, Shell

if TYPE_CHECKING:
    from collections.abc import Callable

    from pgqueue.config import Settings
    from pgqueue.ops.core import Atomic, Op
    from pgqueue.worker.worker import Worker

T = TypeVar("T")


def name_of(queue: Any) -> str | None:
    """Return the name of a queue that is given as one, or by name.

    Raises:
        ConfigError: it is neither.
    """
    if queue is None:
        return None
    if isinstance(queue, (Shell, AsyncShell)):
        return queue.name
    if not isinstance(queue, str):
        raise ConfigError.bad("queue", queue, "a queue or its name")
    return check_name(queue, "queue name")


class Joined(Caller):
    """Runs operations on Django's connection, as a queue of `pgqueue.django` does."""

    def __init__(self, settings: Settings, alias: str) -> None:
        super().__init__()
        self._settings = settings
        self._lent = alias

    @property
    def _alias(self) -> str | None:
        return self._lent

    def _run(self, op: Op[T] | Atomic[T], connection: Any) -> T:
        return super()._run(op, self._lent if connection is None else connection)


class AsyncJoined(AsyncCaller):
    """Does the same in the thread in which Django's own async calls run."""

    def __init__(self, settings: Settings, alias: str) -> None:
        super().__init__()
        self._settings = settings
        self._lent = alias

    @property
    def _alias(self) -> str | None:
        return self._lent

    async def _run(self, op: Op[T] | Atomic[T], connection: Any) -> T:
        if connection is not None:
            return await super()._run(op, connection)
        value: T = await in_django(run_on, self._lent, op, self._settings.schema)
        return value


def caller(queue: Any, dsn: str | None, worker: Worker | None = None) -> Caller:
    """Return what runs operations: the queue itself, which knows its own database.

    Args:
        worker: says where the database is, if there is no queue.

    Raises:
        ConfigError: the queue takes connections of a pool that is awaited.
    """
    if isinstance(queue, Caller):
        return queue
    settings, alias = place_of(queue, worker, "AsyncQueue", dsn)
    if alias is not None:
        return Joined(settings or Caller()._settings, alias)  # noqa: SLF001
    made = Caller(dsn=dsn)
    if settings is not None:
        made._settings = settings  # noqa: SLF001
    return made


def acaller(queue: Any, dsn: str | None, worker: Worker | None = None) -> AsyncCaller:
    """Return what runs operations and awaits them."""
    if isinstance(queue, AsyncCaller):
        return queue
    settings, alias = place_of(queue, worker, "Queue", dsn)
    if alias is not None:
        return AsyncJoined(settings or AsyncCaller()._settings, alias)  # noqa: SLF001
    made = AsyncCaller(dsn=dsn)
    if settings is not None:
        made._settings = settings  # noqa: SLF001
    return made


def place_of(
    queue: Any, worker: Worker | None, kind: str, dsn: str | None
) -> tuple[Settings | None, str | None]:
    """Return where a queue of the other kind is, a worker, or Django's site.

    As settings, and as Django's alias if it is there; nothing where a DSN says it, so
    that Django is not asked for a database that it may not have.
    """
    if isinstance(queue, (Caller, AsyncCaller)):
        if queue._pool is not None:  # noqa: SLF001
            raise ConfigError(
                f"the {kind} has a pool of its own, which only its own kind can use; "
                f"{'await the' if kind == 'AsyncQueue' else 'take the not awaited'} "
                "helper, or give a queue without a pool"
            )
        found = queue._settings, queue._alias  # noqa: SLF001
        return found if dsn is None else (None, None)
    if dsn is not None:
        return None, None
    if worker is not None:
        return worker.settings, worker.alias
    return site.place() or (None, None)


def alias_of(connection: Any) -> str | None:
    """Return the alias of Django's connection, if it is one or names one."""
    if isinstance(connection, str):
        return connection
    if kinds.kinds(connection) & kinds.DJANGO:
        return str(connection.alias)
    return None


def django_alias(to: Caller | AsyncCaller, connection: Any) -> str | None:
    """Return the alias of Django's connection that all is to run on, if it is."""
    return to._alias if connection is None else alias_of(connection)  # noqa: SLF001


async def in_django(function: Callable[..., Any], *args: Any) -> Any:
    """Call something in the thread whose connections Django's async calls use."""
    from asgiref.sync import sync_to_async  # noqa: PLC0415  Django has brought it

    return await sync_to_async(function, thread_sensitive=True)(*args)


def wait_in_django(function: Callable[..., Any], *args: Any) -> Any:
    """Await something while its calls of Django's are made in this thread."""
    from asgiref.sync import async_to_sync  # noqa: PLC0415  Django has brought it

    return async_to_sync(function)(*args)


def refuse_loop() -> None:
    """Raise in async code, where Django lets nobody use its connection.

    Raises:
        ConfigError: a loop runs in this thread.
    """
    if asyncio._get_running_loop() is not None:  # noqa: SLF001
        raise ConfigError(
            "run_pending is on Django's connection, which async code cannot use; "
            "use: await arun_pending(…)"
        )
