"""`Queue`: BullMQ's queue over pgqueue."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

from pgqueue import options as core_options
from pgqueue.compat.bullmq import reading
from pgqueue.compat.bullmq.backend import Backend
from pgqueue.compat.bullmq.deduplicating import Deduplicating
from pgqueue.compat.bullmq.getters import Getters
from pgqueue.compat.bullmq.job import Job
from pgqueue.compat.bullmq.job_scheduler import JobScheduler
from pgqueue.compat.bullmq.known import check_options
from pgqueue.compat.bullmq.limiting import Limiting
from pgqueue.compat.bullmq.link import Link
from pgqueue.compat.bullmq.options import new_job
from pgqueue.compat.bullmq.scheduling import Scheduling
from pgqueue.compat.bullmq.units import check_millis
from pgqueue.compat.bullmq.unsupported import JOB_OPTIONS, QUEUE_OPTIONS, Explained
from pgqueue.ops import bulk, control, jobs, queues
from pgqueue.shells.checks import check_clean

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pgqueue.types import NewJob


class Queue(Getters, Limiting, Scheduling, Deduplicating, Explained):
    """A queue, on the running loop.

    Args:
        name: may be empty, and is without one.
        opts: `prefix`, `connection` (a PostgreSQL DSN), `defaultJobOptions`.

    Raises:
        ConfigError: an option is not supported.
        UnsupportedConnection: `connection` is no DSN.
    """

    def __init__(self, name: str = "", opts: Mapping[str, Any] | None = None) -> None:
        self.name = name
        self.opts: dict[str, Any] = dict(opts or {})
        check_options("queue", self.opts, QUEUE_OPTIONS)
        self.prefix = self.opts.get("prefix", "bull")
        self.link = Link(name, self.opts)
        self.qualifiedName = self.link.queue
        defaults = self.opts.get("defaultJobOptions")
        self.jobsOpts = dict(check_options("job", defaults, JOB_OPTIONS))

    def __repr__(self) -> str:
        return f"Queue({self.name!r})"

    @cached_property
    def backend(self) -> Backend:
        """What reaches the database."""
        return Backend(self.link)

    @cached_property
    def jobScheduler(self) -> JobScheduler:
        """The schedulers of the queue."""
        return JobScheduler(self)

    async def _new(self, name: str, data: Any, opts: Mapping[str, Any]) -> NewJob:
        parent = opts.get("parent")
        place = None
        if parent is not None:
            place = await self.link.read(reading.parent_place(parent))
        return new_job(name, data, opts, place)

    async def add(
        self, name: str, data: Any, opts: Mapping[str, Any] | None = None
    ) -> Job:
        """Add a job.

        Raises:
            ConfigError: an option is not supported, or out of its range.
            PayloadError: the data is not JSON.
            TypeError: there is no such parent.
        """
        merged = {**self.jobsOpts, **(opts or {})}
        new = await self._new(name, data, merged)
        element = core_options.encode_job(new)
        core = await self.link.run(jobs.add(self.link.queue, new, element))
        return self._added(core, data, merged)

    def _added(self, core: Any, data: Any, opts: Mapping[str, Any]) -> Job:
        job = Job.added(self, core, opts)
        job.data = data
        return job

    async def addBulk(self, jobs: Sequence[Mapping[str, Any]]) -> list[Job]:
        """Add jobs, all or nothing, in the given order."""
        for one in jobs:
            check_options("addBulk", one)
        merged = [{**self.jobsOpts, **(one.get("opts") or {})} for one in jobs]
        new = [
            await self._new(one.get("name", ""), one.get("data"), opts)
            for one, opts in zip(jobs, merged, strict=True)
        ]
        op = bulk.bulk(
            self.link.queue,
            new,
            self.link.size_limit,
            atomic=True,
            count_only=False,
            borrowed=False,
        )
        added: Any = await self.link.run(op)
        return [
            self._added(core, one.get("data"), opts)
            for core, one, opts in zip(added, jobs, merged, strict=True)
        ]

    async def pause(self) -> None:
        """Stop claims of the queue, for every worker."""
        await self.link.run(queues.pause(self.link.queue))

    async def resume(self) -> None:
        """Allow claims again."""
        await self.link.run(queues.resume(self.link.queue))

    async def isPaused(self) -> bool:
        """Return whether the queue is paused."""
        return await self.link.read(queues.is_paused(self.link.queue))

    async def drain(self, delayed: bool = False) -> None:
        """Remove the jobs that wait, and the delayed ones if asked."""
        await self.link.run(queues.drain(self.link.queue, delayed=delayed))

    async def obliterate(self, force: bool = False) -> None:
        """Pause the queue and remove all that is in it.

        Raises:
            QueueNotEmpty: jobs are active; nothing was removed.
        """
        await self.link.run(queues.obliterate(self.link.queue, force=bool(force)))

    async def clean(self, grace: int, limit: int, type: str) -> list[str]:  # noqa: A002
        """Remove jobs of one type that are older than *grace* ms; return their ids."""
        state = "waiting" if type == "wait" else type
        after = check_millis("grace", grace) / 1000
        seconds, most, state = check_clean(after, limit, state)
        return await self.link.run(reading.clean(self.link.queue, seconds, most, state))

    async def retryJobs(self, opts: Mapping[str, Any] | None = None) -> None:
        """Put all failed (or completed) jobs back to waiting."""
        asked = check_options("retryJobs", opts)
        await self.link.run(
            reading.retry_jobs(
                self.link.queue, asked.get("state") or "failed", asked.get("timestamp")
            )
        )

    async def promoteJobs(self, opts: Mapping[str, Any] | None = None) -> None:
        """Let all delayed jobs run now."""
        check_options("promoteJobs", opts)
        await self.link.run(control.promote_all(self.link.queue))

    async def remove(self, job_id: str, opts: Mapping[str, Any] | None = None) -> int:
        """Remove a job that is not active; 1 if there was one, else 0."""
        asked = check_options("remove", opts)
        children = bool(asked.get("removeChildren", True))
        op = reading.remove(self.link.queue, str(job_id), children=children)
        return int(await self.link.run(op))

    async def close(self) -> None:
        """Let go of the connections."""
        await self.link.close()
