"""Looks after the database while a worker lives: recovery, retention.

Every worker does it; rows that another one works on are skipped. Retention therefore
never depends on another job finishing.
"""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, Final

from pgqueue import telemetry
from pgqueue.db import pool
from pgqueue.db.run import AsyncConnection, arun
from pgqueue.errors import JobFailed, PgQueueError
from pgqueue.ops import events, getters, groups
from pgqueue.ops import maintenance as ops
from pgqueue.ops.releasing import FIRST, release, release_forgotten
from pgqueue.ops.schedules import repair

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pgqueue.config import Settings
    from pgqueue.worker.emitter import Emitter
    from pgqueue.worker.meter import Meter

INTERVAL: Final = 5.0
FULL_LOOK: Final = 60.0
"""How often pruning looks from the head again, past the hint (seconds)."""


class Maintenance:
    """The maintenance of one worker's queues."""

    def __init__(
        self,
        settings: Settings,
        emitter: Emitter,
        queues: Mapping[str, int],
        max_stalled: int,
        *,
        interval: float = INTERVAL,
        followed: Callable[[set[int]], None] | None = None,
        meter: Meter | None = None,
        worker_id: int = 0,
    ) -> None:
        self._settings = settings
        self._emitter = emitter
        self._queues = queues
        self._max_stalled = max_stalled
        self._interval = interval
        self._followed = followed
        self._meter = meter
        self._worker_id = worker_id
        self._low: dict[int, float] = {}
        self._swept: dict[int, int] = {}
        self._looked = 0.0
        self._released = FIRST

    def _report_failure(self, job: ops.Recovered) -> None:
        """Say that a job failed for good, though no run of it raised anything."""
        telemetry.emit(
            "job.failed", queue=job.queue, job_id=job.job_id, reason=ops.STALLED
        )
        self._emitter.emit("failed", None, JobFailed(job.job_id, ops.STALLED))

    async def run(self) -> None:
        """Go round until cancelled; a failure is reported and the round repeated."""
        while True:
            # Jitter, so that a fleet that started together does not sweep together.
            await asyncio.sleep(self._interval * random.uniform(0.8, 1.0))  # noqa: S311
            try:
                async with pool.aconnection(self._settings, self) as connection:
                    await self.once(connection)
            except Exception as error:  # noqa: BLE001  the next round tries again
                self._emitter.trouble(error, "maintenance")
            else:
                self._emitter.outage.works("maintenance")

    async def once(self, connection: AsyncConnection) -> None:
        """Look what there is to do, and do it."""
        schema = self._settings.schema
        lows = {one: self._low.get(one, 0.0) for one in self._queues.values()}
        found = await arun(connection, ops.find_upkeep(lows), schema)
        if any(one.lost for one in found):
            await self._recover(connection)
        scheduled = [one.queue_id for one in found if one.scheduled]
        if scheduled:
            for problem in await arun(connection, repair(scheduled), schema):
                self._emitter.error(PgQueueError(problem), "maintenance of schedules")
        if any(one.parents for one in found):
            look = release_forgotten(self._released)
            self._released = await arun(connection, look, schema)
        now = asyncio.get_running_loop().time()
        full = now - self._looked > FULL_LOOK
        await self._trim_events(connection, found, full=full)
        await self._write_metrics(connection)
        if full:
            for queue_id in self._queues.values():
                await arun(connection, getters.trim_metrics(queue_id), schema)
            self._low.clear()
            self._looked = now
        for one in found:
            await self._clean(connection, one, full=full)

    async def _recover(self, connection: AsyncConnection) -> None:
        """Put back what dead workers held, and tell."""
        schema = self._settings.schema
        recovered = await arun(connection, ops.recover(self._max_stalled), schema)
        for job in recovered:
            telemetry.emit("job.stalled", queue=job.queue, job_id=job.job_id)
            self._emitter.emit("stalled", job.job_id)
            if job.failed:
                self._report_failure(job)
        await arun(connection, release(ops.parents_of(recovered)), schema)

    async def _clean(
        self, connection: AsyncConnection, found: ops.Upkeep, *, full: bool
    ) -> None:
        """Remove what one queue keeps no longer, and settle what nobody else did."""
        schema, queue_id = self._settings.schema, found.queue_id
        pruned = 0
        if found.over or full:
            low = self._low.get(queue_id, 0.0)
            pruned, low = await arun(connection, ops.prune(queue_id, low), schema)
            self._low[queue_id] = low
        if found.counted:
            pruned += await arun(connection, ops.trim(queue_id), schema)
        if found.unsettled:
            await arun(connection, ops.settle_queue(queue_id), schema)
        if found.rated:
            await arun(connection, groups.trim_rates(queue_id), schema)
        if found.traced:
            swept = self._swept.get(queue_id, 0)
            op = ops.sweep_traces(queue_id, swept)
            self._swept[queue_id] = await arun(connection, op, schema)
        if pruned:
            [name] = [name for name, one in self._queues.items() if one == queue_id]
            telemetry.emit("jobs.pruned", queue=name, count=pruned)

    async def _trim_events(
        self, connection: AsyncConnection, found: list[ops.Upkeep], *, full: bool
    ) -> None:
        """Bound what followers have not read; counting is dear, so it is rarely done."""
        schema = self._settings.schema
        for queue_id in (one.queue_id for one in found if one.followed):
            gone = events.list_gone_waiters(queue_id)
            for _, consumer in await arun(connection, gone, schema):
                drop = events.drop_atomic(queue_id, consumer)
                await arun(connection, drop, schema)
            # If a worker died between the last job's end and saying so.
            await arun(connection, events.note_drained(queue_id), schema)
        for queue_id in (one.queue_id for one in found if one.told):
            await arun(connection, events.trim_events(queue_id, by_count=full), schema)
        if self._followed is not None:
            self._followed({one.queue_id for one in found if one.followed})

    async def _write_metrics(self, connection: AsyncConnection) -> None:
        """Write down what this worker did since the last time."""
        taken = self._meter.take(self._worker_id) if self._meter else []
        while taken:
            try:
                await arun(connection, taken[-1][2], self._settings.schema)
            except BaseException:
                if self._meter:
                    for one in taken:
                        self._meter.give_back(*one[:2])
                raise
            taken.pop()

    async def last(self) -> None:
        """Write down what is left at the end."""
        async with pool.aconnection(self._settings, self) as connection:
            await self._write_metrics(connection)

    async def close(self) -> None:
        """Give the pool up."""
        await pool.async_pools.leave(self._settings, self)
