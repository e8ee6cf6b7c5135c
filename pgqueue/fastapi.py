"""FastAPI and Starlette: queues as dependencies, pools and workers in the lifespan.

Uses the public API only. Dependencies need the extra `fastapi`; the rest works with
Starlette alone.
"""

from __future__ import annotations

from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any, TypeVar, get_origin

from pgqueue.async_queue import AsyncQueue
from pgqueue.errors import ConfigError
from pgqueue.worker import Worker

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine

    from pgqueue.ops.core import Atomic, Op

T = TypeVar("T")

__all__ = ["PgQueue", "SessionQueue"]


class SessionQueue(AsyncQueue):
    """An `AsyncQueue` that runs on the connection of an SQLAlchemy `AsyncSession`.

    Whatever is called commits with the session, or is rolled back with it. With a
    `connection=` it is a queue like others. Make one for each session.

    Args:
        name: of the queue.
        session: an `AsyncSession` on the dialects of psycopg or asyncpg.
        dsn: as for `Queue`.
    """

    def __init__(self, name: str, session: Any, *, dsn: str | None = None) -> None:
        super().__init__(name, dsn=dsn)
        self._session = session

    async def _borrows(self, connection: Any) -> bool:  # noqa: ARG002
        return True

    async def _run(self, op: Op[T] | Atomic[T], connection: Any) -> T:
        return await super()._run(
            op, self._session if connection is None else connection
        )


class PgQueue:
    """The queues of an application, and workers that live as long as it does.

    Args:
        workers: are run within the application's process, on its loop, and stopped
            gracefully with it. In production a process of their own is better.
        dsn: of the queues, as for `Queue`.

    Raises:
        ConfigError: a worker is none.
    """

    def __init__(self, *workers: Worker, dsn: str | None = None) -> None:
        for worker in workers:
            if not isinstance(worker, Worker):
                allowed = 'Workers: PgQueue(Worker("mail", handler))'  # type: ignore[unreachable]
                raise ConfigError.bad("workers", worker, allowed)
        self._workers = workers
        self._dsn = dsn
        self._queues: dict[str, AsyncQueue] = {}

    @asynccontextmanager
    async def lifespan(self, app: object) -> AsyncIterator[None]:  # noqa: ARG002
        """Run the workers while the application does, then close all pools.

        Give it to `FastAPI(lifespan=jobs.lifespan)`, or enter it in your own.
        """
        async with AsyncExitStack() as stack:
            stack.push_async_callback(self._close)
            for worker in self._workers:
                await stack.enter_async_context(worker)
            yield

    def queue(self, name: str) -> AsyncQueue:
        """Return the queue of a name; the lifespan closes it.

        Raises:
            ConfigError: the name cannot be one of a queue. No I/O happens here.
        """
        if name not in self._queues:
            self._queues[name] = AsyncQueue(name, dsn=self._dsn)
        return self._queues[name]

    def depends(
        self, name: str, session: Any = None
    ) -> Callable[..., Coroutine[Any, Any, AsyncQueue]]:
        """Return a dependency that gives a queue: `Depends(jobs.depends("mail"))`.

        Args:
            name: of the queue.
            session: what gives the request's `AsyncSession`, as the routes have it: the
                function, or `Depends(…)`, or the annotation with it. The queue then
                adds in its transaction. With another `scope=` or `use_cache=` than in
                the routes, FastAPI would make another session.

        Raises:
            ConfigError: the name cannot be one of a queue, it gives no session, or
                FastAPI is missing.
        """
        plain = self.queue(name)
        try:
            from fastapi import Depends, params  # noqa: PLC0415  Starlette has none
        except ModuleNotFoundError as error:
            raise ConfigError(
                'depends() needs FastAPI; run: pip install "pgqueue-jobs[fastapi]"'
            ) from error

        if session is None:

            async def give() -> AsyncQueue:
                return plain

            return give
        found = [session, *getattr(session, "__metadata__", ())]
        markers = [one for one in found if isinstance(one, params.Depends)]
        if not markers and (get_origin(session) or not callable(session)):
            allowed = "a function, Depends(function), or an annotation with that"
            raise ConfigError.bad("session", session, allowed)
        marker: Any = markers[0] if markers else Depends(session)

        async def give_in_session(
            # As an annotation it would be read as text, which cannot see `session`.
            given: Any = marker,
        ) -> AsyncQueue:
            return SessionQueue(name, given, dsn=self._dsn)

        return give_in_session

    async def _close(self) -> None:
        for queue in self._queues.values():
            await queue.close()
