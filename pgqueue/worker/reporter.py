"""How a running job's own calls reach the database."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from pgqueue.db import pool
from pgqueue.db.run import arun
from pgqueue.errors import LeaseLost
from pgqueue.ops.leases import save_progress
from pgqueue.worker.active_job import ActiveJob, Done

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from pgqueue.config import Settings
    from pgqueue.ops.core import Atomic, Op
    from pgqueue.worker.committer import Committer
    from pgqueue.worker.emitter import Emitter


class AsyncReporter:
    """Calls from `async def` handlers: they await a connection of the pool."""

    def __init__(
        self,
        settings: Settings,
        worker_id: int,
        emitter: Emitter,
        committer: Committer,
    ) -> None:
        self.committer = committer
        self._settings = settings
        self._worker_id = worker_id
        self._emitter = emitter

    async def progress(self, job: ActiveJob, value: str) -> None:
        """Store progress, guarded by the lease."""
        op = save_progress(self._worker_id, job.queue_id, job.lease_id, job.id, value)
        async with pool.aconnection(self._settings, self) as connection:
            await arun(connection, op, self._settings.schema)
        if self._emitter.heard("progress"):
            self._emitter.emit("progress", job.snapshot(), job.progress)

    async def call(self, job: ActiveJob, op: Op[Any] | Atomic[Any]) -> Any:
        """Run an operation of a job's own; refused once its lease has ended."""
        if job.dropped:
            raise LeaseLost(job.id)
        async with pool.aconnection(self._settings, self) as connection:
            return await arun(connection, op, self._settings.schema)

    async def close(self) -> None:
        """Give the pool up."""
        await self.committer.close()
        await pool.async_pools.leave(self._settings, self)


class ThreadReporter:
    """Calls from `def` handlers: their thread waits for the loop."""

    def __init__(self, through: AsyncReporter, loop: asyncio.AbstractEventLoop) -> None:
        self.committer = through.committer
        self._through = through
        self._loop = loop

    def progress(self, job: ActiveJob, value: str) -> Awaitable[None]:
        """Store progress, and return when it is stored."""
        call = self._through.progress(job, value)
        asyncio.run_coroutine_threadsafe(call, self._loop).result()
        return Done()

    def call(self, job: ActiveJob, op: Op[Any] | Atomic[Any]) -> Any:
        """Run an operation of a job's own, and return what it returns."""
        call = self._through.call(job, op)
        found = asyncio.run_coroutine_threadsafe(call, self._loop).result()
        return Done() if found is None else found
