"""What every queue has: its name, its settings, and how it reaches the database."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any, Never, TypeVar

from psycopg_pool import AsyncConnectionPool, ConnectionPool

from pgqueue import options, payload
from pgqueue.config import Settings
from pgqueue.db import given, pool
from pgqueue.db.borrow import arun_on, run_on
from pgqueue.db.run import arun, run
from pgqueue.errors import UnknownOption
from pgqueue.ops.core import Pause

if TYPE_CHECKING:
    from pgqueue.ops.core import Atomic, Course, Op

T = TypeVar("T")


class Caller:
    """Runs operations: on the caller's connection if there is one, else on a pool."""

    def __init__(
        self,
        *,
        dsn: str | None = None,
        pool: ConnectionPool[Any] | None = None,
        size_limit: int = payload.MAX_BYTES,
    ) -> None:
        given.check_pool(pool, ConnectionPool, dsn)
        self._pool = pool
        self._settings = Settings.load(dsn)
        self._limit = options.check_int("size_limit", size_limit, 1, options.MAX_SIZE)

    def close(self) -> None:
        """Close this process's connections to the database, if no queue needs them.

        Using a closed queue opens them again.
        """
        pool.pools.leave(self._settings, self)

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _run(self, op: Op[T] | Atomic[T], connection: Any) -> T:
        schema = self._settings.schema
        if connection is not None:
            return run_on(connection, op, schema)
        if self._pool is not None:
            with given.lend(self._pool) as lent:
                return run(lent, op, schema)
        with pool.connection(self._settings, self) as own:
            return run(own, op, schema)

    def _borrows(self, connection: Any) -> bool:
        """Whether a call is a part of a transaction that is not ours."""
        return connection is not None

    @property
    def _alias(self) -> str | None:
        """Django's alias that a call without `connection=` is on, if it is."""
        return None

    def _walk(self, course: Course[T], connection: Any) -> T:
        """Run operations one after the other; what one raises is raised in the course."""
        answer, error = None, None
        while True:
            try:
                step = course.throw(error) if error else course.send(answer)
            except StopIteration as stop:
                value: T = stop.value
                return value
            answer, error = None, None
            try:
                if isinstance(step, Pause):
                    threading.Event().wait(step.seconds)
                else:
                    answer = self._run(step, connection)
            except BaseException as raised:  # noqa: BLE001  it is for the course
                error = raised


class Shell(Caller):
    """A queue without its methods."""

    def __init__(
        self,
        name: str,
        *,
        dsn: str | None = None,
        pool: ConnectionPool[Any] | None = None,
        size_limit: int = payload.MAX_BYTES,
        **unknown: Never,
    ) -> None:
        if unknown:
            raise UnknownOption.of(type(self), unknown)
        self.name = options.check_name(name, "queue name")
        super().__init__(dsn=dsn, pool=pool, size_limit=size_limit)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r})"


class AsyncCaller:
    """The same, awaited."""

    def __init__(
        self,
        *,
        dsn: str | None = None,
        pool: AsyncConnectionPool[Any] | None = None,
        size_limit: int = payload.MAX_BYTES,
    ) -> None:
        given.check_pool(pool, AsyncConnectionPool, dsn)
        self._pool = pool
        self._settings = Settings.load(dsn)
        self._limit = options.check_int("size_limit", size_limit, 1, options.MAX_SIZE)

    async def close(self) -> None:
        """Close this process's connections to the database, if no queue needs them."""
        await pool.async_pools.leave(self._settings, self)

    async def __aexit__(self, *exc: object) -> None:
        await self.close()

    async def _run(self, op: Op[T] | Atomic[T], connection: Any) -> T:
        schema = self._settings.schema
        if connection is not None:
            return await arun_on(connection, op, schema)
        if self._pool is not None:
            async with given.alend(self._pool) as lent:
                return await arun(lent, op, schema)
        async with pool.aconnection(self._settings, self) as own:
            return await arun(own, op, schema)

    async def _borrows(self, connection: Any) -> bool:
        """Whether a call is a part of a transaction that is not ours."""
        return connection is not None

    @property
    def _alias(self) -> str | None:
        """Django's alias that a call without `connection=` is on, if it is."""
        return None

    async def _walk(self, course: Course[T], connection: Any) -> T:
        """Run operations one after the other; what one raises is raised in the course."""
        answer, error = None, None
        while True:
            try:
                step = course.throw(error) if error else course.send(answer)
            except StopIteration as stop:
                value: T = stop.value
                return value
            answer, error = None, None
            try:
                if isinstance(step, Pause):
                    await asyncio.sleep(step.seconds)
                else:
                    answer = await self._run(step, connection)
            except BaseException as raised:  # noqa: BLE001  it is for the course
                error = raised


class AsyncShell(AsyncCaller):
    """The same, awaited."""

    def __init__(
        self,
        name: str,
        *,
        dsn: str | None = None,
        pool: AsyncConnectionPool[Any] | None = None,
        size_limit: int = payload.MAX_BYTES,
        **unknown: Never,
    ) -> None:
        if unknown:
            raise UnknownOption.of(type(self), unknown)
        self.name = options.check_name(name, "queue name")
        super().__init__(dsn=dsn, pool=pool, size_limit=size_limit)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r})"
