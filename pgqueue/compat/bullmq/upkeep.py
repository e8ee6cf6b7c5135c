"""What a worker does beside its jobs: schedules, stalled jobs, retention."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from pgqueue.compat.bullmq import reading
from pgqueue.compat.bullmq.job import Job
from pgqueue.errors import ConfigError
from pgqueue.ops import queues
from pgqueue.ops.schedules import Begun, advance
from pgqueue.worker.maintenance import INTERVAL, Maintenance

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable

    from pgqueue.compat.bullmq.claims import Holder
    from pgqueue.compat.bullmq.link import Link
    from pgqueue.compat.bullmq.lock_manager import LockManager
    from pgqueue.errors import JobFailed
    from pgqueue.worker.emitter import Emitter

TRIES = 10

workers: WeakSet[Upkeep] = WeakSet()
"""Those of this process: whoever recovers a job tells the one whose queue it is."""


class Upkeep:
    """The upkeep of `Worker`."""

    link: Link
    opts: dict[str, Any]
    holder: Holder
    lockManager: LockManager
    closing: bool
    closed: bool
    emit: Callable[..., None]
    _core: Emitter
    _maintenance: asyncio.Task[None] | None
    _told: set[asyncio.Task[None]]
    _telling: asyncio.Lock

    def _look_after(self) -> None:
        """Begin to renew locks, and to look for stalled jobs."""
        self.lockManager.start()
        if self._maintenance is None and not self.closing:
            loop = asyncio.get_running_loop()
            self._maintenance = loop.create_task(self._maintain())

    async def _maintain(self) -> None:
        await self.holder.register()
        upkeep = Maintenance(
            self.link.settings,
            self._core,
            {self.link.queue: self.holder.queue_id},
            self.opts["maxStalledCount"],
            interval=min(INTERVAL, self.opts["stalledInterval"] / 1000),
        )
        try:
            await upkeep.run()
        finally:
            await upkeep.close()

    def _on_stalled(self, number: int) -> None:
        self._tell(self._tell_stalled(number))

    def _on_stalled_out(self, _: object, error: JobFailed) -> None:
        self._tell(self._tell_stalled_out(error))

    def _tell(self, telling: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(self._in_turn(telling))
        self._told.add(task)
        task.add_done_callback(self._told.discard)

    async def _in_turn(self, telling: Coroutine[Any, Any, None]) -> None:
        # each reads its job first: without the lock the later may be told earlier
        async with self._telling:
            await telling

    async def _tell_stalled(self, number: int) -> None:
        for worker in [self, *workers]:
            if worker.closed:
                continue
            op = reading.read_number(worker.link.queue, number)
            found = await self.link.read(op)
            if found is not None:
                worker.emit("stalled", Job.read(worker, found).id)
                return

    async def _tell_stalled_out(self, error: JobFailed) -> None:
        for worker in [self, *workers]:
            op = reading.read_number(worker.link.queue, error.job_id)
            found = None if worker.closed else await self.link.read(op)
            if found is not None:
                worker.emit("failed", Job.read(worker, found), error)
                return

    async def _go_on(self, job: Job) -> None:
        """Let the schedule go on that a job is the pending one of."""
        if job.repeatJobKey is not None and job.number is not None:
            queue_id = await self.link.read(queues.queue_id(self.link.queue))
            await self._advance([Begun(queue_id, job.repeatJobKey, job.number)])

    async def _advance(self, jobs: Iterable[Begun]) -> None:
        """Let schedules go on whose jobs these are."""
        begun, tries = set(jobs), 0
        while begun and tries < TRIES:
            tries += 1
            try:
                begun, _, problems = await self.link.run(advance(begun))
            except Exception as error:  # noqa: BLE001  maintenance goes on with it
                self.emit("error", error)
                return
            for problem in problems:
                self.emit("error", ConfigError(problem))
            if begun:
                await asyncio.sleep(0.05)
