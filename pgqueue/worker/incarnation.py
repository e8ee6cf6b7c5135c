"""One life of a worker under one random id: register, work, and sign off.

A worker whose leases ended begins another life under another id, so nothing that it
did in this one can reach jobs that others hold by now.
"""

from __future__ import annotations

import asyncio
import os
import socket
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Final

from pgqueue import telemetry
from pgqueue.db.listener import Listener
from pgqueue.ops import leases
from pgqueue.ops.events import list_followed
from pgqueue.worker.choice import Choice
from pgqueue.worker.claimer import Claimer
from pgqueue.worker.committer import Committer, Terms
from pgqueue.worker.dispatch import Dispatch
from pgqueue.worker.finisher import Finisher
from pgqueue.worker.gathering import Gathering
from pgqueue.worker.handlers import Refusals
from pgqueue.worker.heartbeat import Heartbeat
from pgqueue.worker.intake import Intake
from pgqueue.worker.isolating import IsolatingExecutor
from pgqueue.worker.maintenance import INTERVAL, Maintenance
from pgqueue.worker.reporter import AsyncReporter
from pgqueue.worker.session import Session
from pgqueue.worker.settling import Settling
from pgqueue.worker.telling import tell

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from pgqueue.ops.core import Op
    from pgqueue.worker.active_job import ActiveJob
    from pgqueue.worker.outcome import Outcome
    from pgqueue.worker.worker import Worker

LOOK_FOR_DRAINED: Final = 0.05

LAST_WORDS: Final = 5.0
"""How long the last outcomes may take to be written once a worker stops (seconds)."""


class Incarnation:
    """One life of a worker."""

    def __init__(self, worker: Worker, worker_id: int) -> None:
        self._worker = worker
        self._id = worker_id
        self._emitter = worker.emitter
        self._pauses = worker.pauses
        self._loop = asyncio.get_running_loop()
        self._outage = worker.emitter.outage
        self._session = Session(worker.settings, self._outage)
        keep = (worker.remove_on_complete, worker.remove_on_fail)
        self._terms = Terms(worker.settings, worker_id, keep, worker.alias)
        self._finisher = Finisher(worker.emitter, *keep)
        self._settling = Settling(worker, self._finisher)
        committed = self._settling.committed
        self._reporter = AsyncReporter(
            worker.settings,
            worker_id,
            worker.emitter,
            Committer(self._terms, self._finisher, committed),
        )
        choice = Choice(worker, self._terms, self._settling, self._reporter)
        self._batches = choice.batches(self._call_claimer) if worker.batch else None
        self._executor = choice.executor(self._batches)
        self._refusals = Refusals(worker.handlers, worker.emitter)
        self._resized: Callable[[], None] = lambda: None
        self._fenced = asyncio.Event()
        self._stilled = asyncio.Event()
        self._heartbeat = Heartbeat(
            worker.settings,
            worker_id,
            worker.lease,
            fenced=lambda: self._from_thread(self._fenced),
            ended=lambda: self._from_thread(self._stilled),
            cancelled=self._cancel_from_thread,
            outage=self._outage,
        )

    async def live(
        self, stop: asyncio.Event, now: asyncio.Event, *, drain: bool
    ) -> bool:
        """Work until *stop*; return whether the leases ended before."""
        try:
            queues = await self._register(stop)
        except BaseException:
            await self._session.close()
            raise
        if queues is None:
            await self._session.close()
            return False
        self._outage.over()
        listener = Listener(
            self._worker.settings,
            self._on_ring,
            self._on_listening,
            cancelled=lambda job_id: self._cancel([job_id]),
            paused=self._pauses.rung,
            lost=partial(self._outage.lost, "listener"),
        )
        self._listener: Listener | None = (
            listener if self._worker.settings.listen else None
        )
        self._claimer = self._make_claimer(queues)
        self._settling.claimer = self._claimer
        self._resized = self._claimer.ended
        self._claimer.emptied.follow(await self._find_followed(queues))
        interval = min(INTERVAL, self._worker.lease / 3)
        self._pauses.begin(queues, interval)
        await self._session.run(self._pauses.look())
        maintenance = Maintenance(
            self._worker.settings,
            self._emitter,
            queues,
            self._worker.max_stalled,
            interval=interval,
            followed=self._claimer.emptied.follow,
            meter=self._finisher.meter,
            worker_id=self._id,
        )
        self._heartbeat.start()
        claiming = self._loop.create_task(self._claimer.run(), name="claimer")
        helpers = [
            self._loop.create_task(one.run(), name=type(one).__name__.lower())
            for one in (maintenance, self._pauses)
        ]
        if self._listener is not None:
            helpers.append(self._loop.create_task(listener.run(), name="listener"))
        try:
            await self._until_over(claiming, stop, drain=drain)
            if not self._fenced.is_set():
                await self._finish(claiming, now)
        finally:
            for task in (claiming, *helpers):
                task.cancel()
            await asyncio.gather(claiming, *helpers, return_exceptions=True)
            # Later the heartbeat finds its row gone, which says nothing.
            fenced = self._fenced.is_set()
            await self._end(maintenance, fenced=fenced)
        return fenced

    def resize(self, concurrency: int) -> None:
        """Follow the worker's concurrency; may be called in any thread."""
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._resize, concurrency)

    def _resize(self, concurrency: int) -> None:
        self._executor.resize(concurrency)
        self._resized()

    # Beginning.

    def _make_dispatch(self) -> Dispatch:
        worker = self._worker
        if self._batches is not None and worker.batch is not None:
            return Gathering(
                self._executor,
                self._batches,
                self._finisher,
                self._emitter,
                lambda: worker.concurrency,
                batch=worker.batch,
                due=self._call_claimer,
            )
        return Dispatch(
            self._executor,
            self._finisher,
            self._emitter,
            lambda: worker.concurrency,
            self._loop.time(),
            refuse=None if worker.handlers.default else self._refuse,
        )

    def _make_claimer(self, queues: dict[str, int]) -> Claimer:
        return Claimer(
            session=self._session,
            intakes=[Intake(name, queue_id) for name, queue_id in queues.items()],
            dispatch=self._make_dispatch(),
            finisher=self._finisher,
            emitter=self._emitter,
            worker_id=self._id,
            listening=lambda: self._listener is not None and self._listener.ready,
        )

    async def _register(self, stop: asyncio.Event) -> dict[str, int] | None:
        """Announce this life; None if the worker was stopped before that worked."""
        stopped = self._loop.create_task(stop.wait())
        registered = self._loop.create_task(self._session.run(self._beginning()))
        await asyncio.wait((stopped, registered), return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()
        if not registered.done():
            registered.cancel()
            await asyncio.gather(registered, return_exceptions=True)
            return None
        return registered.result()

    def _beginning(self) -> Op[dict[str, int]]:
        """Announce this life, and return the ids of its queues."""
        worker = self._worker
        yield from leases.announce(
            self._id,
            lease=worker.lease,
            pid=os.getpid(),
            concurrency=worker.concurrency,
            host=socket.gethostname(),
            name=worker.name,
            queues=worker.queues,
        )
        # Now what is beside it may go on: it may be that which holds the transaction
        # that makes one of the queues, for which the next statement waits.
        worker.begun()
        return (yield from leases.find_queues(worker.queues))

    async def _find_followed(self, queues: dict[str, int]) -> set[int]:
        found = await self._session.run(list_followed(list(queues.values())))
        return {queue_id for queue_id, now in found.items() if now}

    # Working.

    def _refuse(self, job: ActiveJob) -> Outcome | None:
        return self._refusals.refuse(job, self._loop.time())

    def _call_claimer(self) -> None:
        self._claimer.ended()

    def _on_ring(self, queue_id: int) -> None:
        self._claimer.rung(queue_id)

    def _cancel(self, job_ids: list[int]) -> None:
        self._claimer.cancel(job_ids)

    def _cancel_from_thread(self, job_ids: list[int]) -> None:
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._cancel, job_ids)

    def _on_listening(self) -> None:
        if self._listener is not None and self._listener.ready:
            self._outage.works("listener")
        self._claimer.listens()

    def _from_thread(self, event: asyncio.Event) -> None:
        # The loop may be closed: a heartbeat that cannot connect ends late.
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(event.set)

    async def _until_over(
        self, claiming: asyncio.Task[None], stop: asyncio.Event, *, drain: bool
    ) -> None:
        """Return when told to stop, when fenced, or when drained if asked for."""
        async with self._watching(claiming, stop) as watch:
            doubted = False
            while await watch(LOOK_FOR_DRAINED if drain else None):
                if not (drain and self._claimer.drained):
                    doubted = False
                elif doubted and self._claimer.certain:
                    return
                elif not doubted:
                    # No handler runs from here on, so what one added is seen now.
                    self._claimer.doubt()
                    doubted = True
        if claiming.done():
            claiming.result()

    @asynccontextmanager
    async def _watching(
        self, claiming: asyncio.Task[None], event: asyncio.Event
    ) -> AsyncIterator[Callable[[float | None], Awaitable[bool]]]:
        """Give what waits for an event, the claimer's end or the end of the leases.

        It returns whether neither came within the time it was given.
        """
        waiters = [self._loop.create_task(one.wait()) for one in (event, self._fenced)]
        tasks = (claiming, *waiters)

        async def watch(timeout: float | None) -> bool:  # noqa: ASYNC109
            left = self._heartbeat.time_left()
            if left > 0:
                await asyncio.wait(
                    tasks,
                    timeout=left if timeout is None else min(left, max(0.0, timeout)),
                    return_when=asyncio.FIRST_COMPLETED,
                )
            if self._heartbeat.time_left() <= 0:
                self._fenced.set()
            return not (self._fenced.is_set() or any(task.done() for task in tasks))

        try:
            yield watch
        finally:
            for waiter in waiters:
                waiter.cancel()

    # Ending.

    async def _finish(self, claiming: asyncio.Task[None], now: asyncio.Event) -> None:
        """Let what runs finish for a while, cut the rest off, write all outcomes."""
        self._worker.closing()
        self._claimer.stop()
        if isinstance(self._executor, IsolatingExecutor):
            self._executor.stop()
        deadline = self._loop.time() + self._worker.shutdown_timeout
        async with self._watching(claiming, now) as watch:
            while await watch(left := deadline - self._loop.time()) and left > 0:
                pass
        if self._fenced.is_set():
            return
        running = list(self._executor.running())
        for job in running:
            tell("job.interrupted", job)
            self._executor.abandon(job)
        self._settling.cut_off(running)
        self._claimer.ended()
        await asyncio.wait((claiming,), timeout=LAST_WORDS)

    async def _end(self, maintenance: Maintenance, *, fenced: bool) -> None:
        if fenced:
            telemetry.emit("worker.fenced", name=self._worker.name)
            # Jobs that wait for their batch to fill are no longer this worker's.
            self._claimer.stop()
            running = list(self._executor.running())
            for job in running:
                self._executor.abandon(job)
            self._settling.lost([*running, *self._finisher.abandon()])
        self._executor.close()
        # Every outcome is written by now, or never will be.
        self._heartbeat.stop()
        if not fenced:
            await self._bounded(self._session.run(leases.sign_off(self._id)))
        await self._bounded(maintenance.last())
        for one in (self._reporter, maintenance, self._pauses, self._session):
            await self._bounded(one.close())
        await self._bounded(self._stilled.wait(), 1.0)

    async def _bounded(self, last: Awaitable[object], limit: float = 2.0) -> None:
        try:
            async with asyncio.timeout(limit):
                await last
        except Exception as error:  # noqa: BLE001  the server may be gone
            self._outage.lost("stop", error)
