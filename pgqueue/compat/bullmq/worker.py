"""`Worker`: runs the jobs of a queue with an async processor."""

from __future__ import annotations

import asyncio
import secrets
from contextlib import suppress
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

from pgqueue.compat.bullmq import reading
from pgqueue.compat.bullmq.backend import Backend
from pgqueue.compat.bullmq.claims import Holder
from pgqueue.compat.bullmq.emitter import EventEmitter
from pgqueue.compat.bullmq.job import Job
from pgqueue.compat.bullmq.job_scheduler import JobScheduler
from pgqueue.compat.bullmq.known import check_options
from pgqueue.compat.bullmq.link import Bell, Link
from pgqueue.compat.bullmq.lock_manager import LockManager
from pgqueue.compat.bullmq.options import keep_rule
from pgqueue.compat.bullmq.running import Running, arity, getCompleted
from pgqueue.compat.bullmq.units import check_millis, check_whole
from pgqueue.compat.bullmq.unsupported import SETTINGS, WORKER_OPTIONS, Explained
from pgqueue.compat.bullmq.upkeep import Upkeep, workers
from pgqueue.errors import ConfigError
from pgqueue.ops.schedules import Begun
from pgqueue.stored import MAX_COUNT
from pgqueue.worker.emitter import Emitter

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from pgqueue.compat.bullmq.claims import Claim

__all__ = ["Worker", "getCompleted"]

DEFAULTS: Final = {
    "concurrency": 1,
    "lockDuration": 30000,
    "stalledInterval": 30000,
    "maxStalledCount": 1,
    "drainDelay": 5,
}
FIRST_NAP: Final = 0.01
NAP: Final = 0.1
LONG_NAP: Final = 0.5
TIRED: Final = 100
"""After so many short naps without a job a worker takes long ones."""

FAILURE: Final = 0.5


class Worker(EventEmitter, Running, Upkeep, Explained):
    """Runs jobs; with a processor it starts by itself in the running loop.

    Args:
        name: of the queue.
        processor: `async def (job, token)` or `(job, token, signal)`; None: claim by
            `getNextJob`.
        opts: those of BullMQ's, in milliseconds where BullMQ's are.

    Raises:
        ConfigError: an option is not supported, or out of its range.
    """

    def __init__(
        self,
        name: str,
        processor: Callable[..., Awaitable[Any]] | None = None,
        opts: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.opts: dict[str, Any] = {**DEFAULTS, **(opts or {})}
        check_worker(processor, self.opts)
        self.opts.setdefault("lockRenewTime", self.opts["lockDuration"] // 2)
        self.name = name
        self.prefix = self.opts.get("prefix", "bull")
        self.workerName: str | None = self.opts.get("name")
        self.processor = processor
        self.id = secrets.token_hex(16)
        self.link = Link(name, self.opts)
        self.qualifiedName = self.link.queue
        self.keeps = (
            keep_rule("removeOnComplete", self.opts.get("removeOnComplete")),
            keep_rule("removeOnFail", self.opts.get("removeOnFail")),
        )
        self.running_jobs: dict[str, Job] = {}
        self.running = self.closing = self.closed = self.paused = False
        self._core = Emitter()
        self._core.on("stalled", self._on_stalled)
        self._core.on("failed", self._on_stalled_out)
        self._core.on("error", lambda error: self.emit("error", error))
        lease = max(0.1, self.opts["lockDuration"] / 1000)
        self.holder = Holder(
            self.link,
            self._core,
            lease=lease,
            name=self.opts.get("name"),
            keeps=self.keeps,
        )
        self.holder.owner = self
        self.lockManager = LockManager(
            self,
            self.opts["lockRenewTime"],
            self.opts["lockDuration"],
            self.id,
            self.opts.get("name"),
        )
        self._tasks: set[asyncio.Task[None]] = set()
        self._told: set[asyncio.Task[None]] = set()
        self._telling = asyncio.Lock()
        self._claimed: dict[str, Job] = {}
        self._runs: dict[asyncio.Task[None], Job] = {}
        self._stopping: set[int] = set()
        self._bell: Bell | None = None
        self._maintenance: asyncio.Task[None] | None = None
        self._autorun: asyncio.Task[None] | None = None
        self._stopped = asyncio.Event()
        self._naps = 0
        self._empty = False
        self._arity = arity(processor)
        self._job_scheduler: JobScheduler | None = None
        workers.add(self)
        if processor is not None and self.opts.get("autorun", True):
            loop = asyncio.get_running_loop()
            self._autorun = loop.create_task(self._run_by_itself())

    @cached_property
    def backend(self) -> Backend:
        """What reaches the database."""
        return Backend(self.link)

    @property
    def jobScheduler(self) -> JobScheduler:
        """The schedulers of the queue."""
        if self._job_scheduler is None:
            self._job_scheduler = JobScheduler(self)
        return self._job_scheduler

    async def _run_by_itself(self) -> None:
        try:
            await self.run()
        except Exception as error:  # noqa: BLE001  nobody awaits this
            self.emit("error", error)

    async def run(self) -> None:
        """Work until the worker is closed.

        Raises:
            ConfigError: it has no processor, or works already.
        """
        if self.processor is None:
            raise ConfigError("this worker has no processor to run")
        if self.running:
            raise ConfigError("Worker is already running")
        self.running = True
        self._stopped.clear()
        self._bell = Bell(self.link.queue)
        token = 0
        try:
            while not self.closing:
                free = self.opts["concurrency"] - len(self._tasks)
                if free <= 0 or self.paused:
                    await self._rest(claimed=True)
                    continue
                token += 1
                jobs = await self._claim_patiently(free, f"{self.id}:{token}")
                for job in jobs:
                    if not self.closed:
                        self._start(job)
                if not jobs:
                    await self._rest(claimed=False)
                else:
                    self._naps = 0
            await self._finish_running()
        finally:
            self.running = False
            self._stopped.set()

    async def _claim_patiently(self, most: int, token: str) -> list[Job]:
        try:
            return await self._claim(most, token)
        except Exception as error:  # noqa: BLE001  the next one tries again
            self.emit("error", error)
            await asyncio.sleep(FAILURE)
            return []

    async def _claim(self, most: int, token: str) -> list[Job]:
        self._look_after()
        claims = await self.holder.claim(most, token)
        await self._advance(
            Begun(one.core.queue_id, one.core.options.schedule, one.core.id)
            for one in claims
            if one.core.options.schedule is not None
        )
        if not claims:
            return []
        op = reading.claimed([one.core for one in claims])
        try:
            found = await self.link.read(op)
        except BaseException:
            for claim in claims:
                self.holder.give_up(claim)
            raise
        jobs = []
        for claim in claims:
            job = self._job_of(claim, found[claim.core.id])
            self._claimed[str(job.id)] = job
            jobs.append(job)
            self.emit("active", job, "waiting")
        return jobs

    def _job_of(self, claim: Claim, found: reading.Read) -> Job:
        """Return the job of a claim."""
        job = Job.read(self, found)
        job.attemptsMade = claim.core.attempt - 1
        job.attemptsStarted = claim.core.attempt + claim.core.stalled
        job.processedOn = int(claim.core.claimed_epoch * 1000 + 0.0001)
        job.token = claim.token
        job.claim = claim
        return job

    async def getNextJob(
        self, token: str, opts: Mapping[str, Any] | None = None
    ) -> Job | None:
        """Claim a job; None if there is none.

        Asked again after there was none, it waits up to `drainDelay` for one.
        """
        self.lockManager.start()
        patience = self.opts["drainDelay"] if self._empty else 0.0
        if not (opts or {}).get("block", True):
            patience = 0.0
        bell = Bell(self.link.queue)
        deadline = asyncio.get_running_loop().time() + patience
        while not self.closing:
            jobs = await self._claim(1, token)
            self._empty = not jobs
            left = deadline - asyncio.get_running_loop().time()
            if jobs:
                return jobs[0]
            if left <= 0:
                break
            await bell.wait(min(left, self._nap()))
        return None

    async def nextJobFromJobData(
        self,
        job_data: Any = None,
        job_id: str | None = None,
        limit_until: int = 0,
        delay_until: int = 0,
        token: str | None = None,
    ) -> Job | None:
        """Return the job that `fetchNext` claimed, or another; its scheduler goes on."""
        if not job_data or job_id is None:
            return None
        job = self._claimed.get(str(job_id))
        if job is None and (job := await Job.fromId(self, str(job_id))) is not None:
            job.token = token
            await self._go_on(job)
        return job

    def _nap(self) -> float:
        """Return how long to sleep without being rung."""
        self._naps += 1
        nap = min(NAP, FIRST_NAP * self._naps) if self._naps < TIRED else LONG_NAP
        due = self.holder.next_look()
        return min(nap, max(0.001, due))

    async def _rest(self, *, claimed: bool) -> None:
        assert self._bell is not None  # noqa: S101
        await self._bell.wait(NAP if claimed else self._nap())

    async def pause(self, do_not_wait_active: bool = False) -> None:
        """Take no more jobs; return when what runs has ended, or at once if asked.

        Who is cancelled meanwhile waits for the end as well.
        """
        self.paused = True
        others = self._tasks - {asyncio.current_task()}
        await self._carry_out(self._pause(set() if do_not_wait_active else others))

    async def _pause(self, running: set[asyncio.Task[None]]) -> None:
        if running:
            await asyncio.wait(running)
        self.emit("paused")

    def resume(self) -> None:
        """Take jobs again."""
        if not self.paused:
            return
        self.paused = False
        if self._bell is not None:
            self._bell.ring()
        self.emit("resumed")

    def isRunning(self) -> bool:
        """Return whether it works."""
        return self.running

    def isPaused(self) -> bool:
        """Return whether it was paused."""
        return self.paused

    def cancelJob(self, job_id: str, reason: str | None = None) -> bool:
        """Abort the signal of a job that runs here; False if it has none."""
        return self.lockManager.cancel_job(job_id, reason)

    def cancelAllJobs(self, reason: str | None = None) -> None:
        """Abort the signals of all jobs that run here."""
        self.lockManager.cancel_all_jobs(reason)

    async def _finish_running(self) -> None:
        while self._tasks and not self.closed:
            await asyncio.wait(set(self._tasks))

    async def close(self, force: bool = False) -> None:
        """Take no more jobs, wait for what runs, and let go of the connections.

        Who is cancelled meanwhile waits for the end as well; `force` in another task
        hastens it.

        Args:
            force: cut off what runs, and leave its jobs active: once their locks have
                ended they are found stalled, and run again.
        """
        if self.closed:
            return
        self.closing = True
        if force:
            self.closed = True
            self.lockManager.cancel_all_jobs()
            for task in set(self._tasks):
                task.cancel()
        if self._bell is not None:
            self._bell.ring()
        await self._carry_out(self._close(force))

    async def _close(self, force: bool) -> None:
        if self._tasks:
            await asyncio.wait(set(self._tasks), timeout=1.0 if force else None)
        if self.running:
            await self._stopped.wait()
        if self._autorun is not None:
            with suppress(asyncio.CancelledError):
                await self._autorun
        if self._maintenance is not None:
            self._maintenance.cancel()
            await asyncio.wait([self._maintenance])
        await self.lockManager.close()
        if self._told:
            await asyncio.wait(set(self._told), timeout=1.0)
        self.closed = True
        await self.holder.close()
        workers.discard(self)
        self.emit("closed")


def check_worker(processor: object, opts: Mapping[str, Any]) -> None:
    """Raise for what a worker cannot be made with.

    Raises:
        ConfigError: an option is not supported or out of its range, or the processor
            is none.
    """
    check_options("worker", opts, WORKER_OPTIONS)
    if processor is not None and not callable(processor):
        raise ConfigError.bad("processor", processor, "an async function, or None")
    check_whole("concurrency", opts["concurrency"], 1, 10_000)
    check_whole("maxStalledCount", opts["maxStalledCount"], 0, MAX_COUNT)
    for name in ("lockDuration", "lockRenewTime", "stalledInterval"):
        if name in opts:
            check_millis(name, opts[name], least=1)
    drain = opts["drainDelay"]
    if isinstance(drain, bool) or not isinstance(drain, (int, float)) or drain < 0:
        raise ConfigError.bad("drainDelay", drain, "seconds, 0 or more")
    settings = opts.get("settings") or {}
    if not isinstance(settings, dict):
        raise ConfigError.bad("settings", settings, 'a dict with "backoffStrategy"')
    check_options("settings", settings, SETTINGS)
    strategy = settings.get("backoffStrategy")
    if strategy is not None and not callable(strategy):
        raise ConfigError.bad("backoffStrategy", strategy, "a function")
