"""`AsyncQueue`: `Queue` for asyncio, method for method; what they promise stands there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, TypeVar, overload

from pgqueue import options, payload
from pgqueue.config import Settings
from pgqueue.db import pool
from pgqueue.db.borrow import aborrow
from pgqueue.db.run import arun
from pgqueue.ops import bulk as bulk_ops
from pgqueue.ops import jobs as job_ops
from pgqueue.ops import queues as queue_ops
from pgqueue.queue import (
    check_clean,
    check_id,
    check_range,
    check_states,
)
from pgqueue.types import (
    Backoff,
    CleanState,
    Counts,
    Duration,
    Job,
    JsonValue,
    Keep,
    NewJob,
    Page,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from pgqueue.ops.core import Atomic, Op

T = TypeVar("T")


class AsyncQueue:
    """A named queue in a PostgreSQL database, used from asyncio.

    May be used from several event loops, one after the other: connections belong to
    the loop that uses them.

    Args:
        name: 1 to 255 characters; the queue exists from its first use.
        dsn: a libpq connection string or URL; by default `PGQUEUE_DSN`, then
            `DATABASE_URL`, then libpq's `PG*` variables.
        size_limit: the largest data of one job, in bytes of JSON.

    Raises:
        ConfigError: the name or a setting is not valid. No I/O happens here.
    """

    def __init__(
        self,
        name: str,
        *,
        dsn: str | None = None,
        size_limit: int = payload.MAX_BYTES,
    ) -> None:
        self.name = options.check_name(name, "queue name")
        self._settings = Settings.load(dsn)
        self._limit = options.check_int("size_limit", size_limit, 1, 2**30)

    async def add(
        self,
        name: str,
        data: JsonValue = None,
        *,
        delay: Duration | None = None,
        run_at: datetime | None = None,
        priority: int = 0,
        lifo: bool = False,
        attempts: int = 1,
        backoff: Backoff | Duration | None = None,
        timeout: Duration | None = None,  # noqa: ASYNC109  of the job, not the call
        key: str | None = None,
        remove_on_complete: Keep | None = None,
        remove_on_fail: Keep | None = None,
        connection: Any = None,
    ) -> Job:
        """Add a job, durable when this returns, or when *connection* commits."""
        new = NewJob(
            name,
            data,
            delay=delay,
            run_at=run_at,
            priority=priority,
            lifo=lifo,
            attempts=attempts,
            backoff=backoff,
            timeout=timeout,
            key=key,
            remove_on_complete=remove_on_complete,
            remove_on_fail=remove_on_fail,
        )
        element = options.encode_job(new, self._limit)
        return await self._run(job_ops.add(self.name, new, element), connection)

    @overload
    async def add_bulk(
        self,
        jobs: Iterable[NewJob],
        *,
        atomic: bool = True,
        count_only: Literal[False] = False,
        connection: Any = None,
    ) -> list[Job]: ...
    @overload
    async def add_bulk(
        self,
        jobs: Iterable[NewJob],
        *,
        atomic: bool = True,
        count_only: Literal[True],
        connection: Any = None,
    ) -> int: ...
    async def add_bulk(
        self,
        jobs: Iterable[NewJob],
        *,
        atomic: bool = True,
        count_only: bool = False,
        connection: Any = None,
    ) -> list[Job] | int:
        """Add any number of jobs, all or nothing, in the given order."""
        op = bulk_ops.bulk(
            self.name,
            jobs,
            self._limit,
            atomic=atomic,
            count_only=count_only,
            borrowed=connection is not None,
        )
        return await self._run(op, connection)

    async def get(self, job_id: int, *, connection: Any = None) -> Job:
        """Return a snapshot of a job."""
        return await self._run(job_ops.get(self.name, check_id(job_id)), connection)

    async def jobs(
        self,
        states: str | Sequence[str] | None = None,
        start: int = 0,
        end: int | None = None,
        *,
        after: str | None = None,
        limit: int | None = None,
        connection: Any = None,
    ) -> Page:
        """Return a page of jobs: by cursor (*after*, *limit*), or from *start* to *end*."""
        asked = check_states(states)
        skip, most = check_range(start, end, limit)
        op = job_ops.list_page(self.name, asked, skip, most, after)
        return await self._run(op, connection)

    async def count(self, *, connection: Any = None) -> int:
        """Return how many jobs wait: waiting, delayed, prioritized, waiting-children."""
        return await self._run(queue_ops.count(self.name), connection)

    async def counts(self, *, connection: Any = None) -> Counts:
        """Return how many jobs stand in each state, at one moment."""
        return await self._run(queue_ops.counts(self.name), connection)

    async def remove(self, job_id: int, *, connection: Any = None) -> bool:
        """Remove a job that is not active; return whether there was one."""
        return await self._run(job_ops.remove(self.name, check_id(job_id)), connection)

    async def retry(self, job_id: int, *, connection: Any = None) -> Job:
        """Put a completed or failed job back to waiting; its attempts stay counted."""
        return await self._run(job_ops.retry(self.name, check_id(job_id)), connection)

    async def pause(self, *, connection: Any = None) -> None:
        """Let no worker start another job of this queue; running ones go on."""
        await self._run(queue_ops.pause(self.name), connection)

    async def resume(self, *, connection: Any = None) -> None:
        """Undo `pause`, and wake the workers."""
        await self._run(queue_ops.resume(self.name), connection)

    async def is_paused(self, *, connection: Any = None) -> bool:
        """Return whether the queue is paused."""
        return await self._run(queue_ops.is_paused(self.name), connection)

    async def drain(self, delayed: bool = True, *, connection: Any = None) -> int:
        """Remove the waiting and prioritized jobs, and the delayed ones unless told."""
        return await self._run(queue_ops.drain(self.name, delayed=delayed), connection)

    async def clean(
        self,
        grace: Duration,
        limit: int = 0,
        state: CleanState = "completed",
        *,
        connection: Any = None,
    ) -> list[int]:
        """Remove jobs of one state that are older than *grace*, oldest first."""
        op = queue_ops.clean(self.name, *check_clean(grace, limit, state))
        return await self._run(op, connection)

    async def obliterate(self, *, force: bool = False, connection: Any = None) -> None:
        """Pause the queue, then remove everything in it."""
        await self._run(queue_ops.obliterate(self.name, force=force), connection)

    async def close(self) -> None:
        """Close this process's connections to the database, if no queue needs them."""
        await pool.async_pools.leave(self._settings, self)

    async def __aenter__(self) -> AsyncQueue:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r})"

    async def _run(self, op: Op[T] | Atomic[T], connection: Any) -> T:
        schema = self._settings.schema
        if connection is not None:
            return await arun(aborrow(connection), op, schema)
        async with pool.aconnection(self._settings, self) as own:
            return await arun(own, op, schema)
