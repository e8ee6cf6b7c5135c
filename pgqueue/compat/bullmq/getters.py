"""What a queue tells about its jobs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pgqueue.compat.bullmq import reading
from pgqueue.compat.bullmq.job import Job
from pgqueue.errors import ConfigError
from pgqueue.ops import getters, queues

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from pgqueue.compat.bullmq.link import Link


def unrepeated(kinds: list[str]) -> list[str]:
    """Return the types without those that say "waiting" in another word."""
    same = [kind for kind in ("waiting", "wait", "paused") if kind in kinds]
    return [kind for kind in kinds if kind not in same[1:]]


class Getters:
    """The getters of `Queue`."""

    link: Link
    opts: dict[str, Any]
    isPaused: Callable[[], Awaitable[bool]]

    def sanitizeJobTypes(self, types: Sequence[str]) -> list[str]:
        """Return the types without duplicates; all of them for none."""
        return list(dict.fromkeys(types)) or list(reading.ALL_TYPES)

    async def getJobs(
        self,
        types: Sequence[str] | str = (),
        start: int = 0,
        end: int = -1,
        asc: bool = False,
    ) -> list[Job]:
        """Return a stretch of the jobs of each type, newest first, or as they run."""
        asked = [types] if isinstance(types, str) else types
        kinds = unrepeated(self.sanitizeJobTypes(asked))
        if "paused" in kinds and not await self.isPaused():
            kinds.remove("paused")
        found = []
        for kind in kinds:
            if kind not in reading.STATES:
                raise ConfigError.bad("types", kind, ", ".join(reading.STATES))
            op = reading.list_type(self.link.queue, kind, start, end, asc=asc)
            found += [Job.read(self, one) for one in await self.link.read(op)]
        return found

    async def getWaiting(self, start: int = 0, end: int = -1) -> list[Job]:
        """Return waiting jobs, the oldest first."""
        return await self.getJobs(["waiting"], start, end, asc=True)

    async def getPrioritized(self, start: int = 0, end: int = -1) -> list[Job]:
        """Return prioritized jobs, priority 1 first."""
        return await self.getJobs(["prioritized"], start, end, asc=True)

    async def getDelayed(self, start: int = 0, end: int = -1) -> list[Job]:
        """Return delayed jobs, the next due first."""
        return await self.getJobs(["delayed"], start, end, asc=True)

    async def getActive(self, start: int = 0, end: int = -1) -> list[Job]:
        """Return active jobs."""
        return await self.getJobs(["active"], start, end, asc=True)

    async def getWaitingChildren(self, start: int = 0, end: int = -1) -> list[Job]:
        """Return jobs that wait for children."""
        return await self.getJobs(["waiting-children"], start, end, asc=True)

    async def getCompleted(self, start: int = 0, end: int = -1) -> list[Job]:
        """Return completed jobs, newest first."""
        return await self.getJobs(["completed"], start, end, asc=False)

    async def getFailed(self, start: int = 0, end: int = -1) -> list[Job]:
        """Return failed jobs, newest first."""
        return await self.getJobs(["failed"], start, end, asc=False)

    async def getJob(self, jobId: str) -> Job | None:
        """Return a job by its id."""
        return await Job.fromId(self, jobId)

    async def getJobState(self, job_id: str) -> str:
        """Return the state of a job, or `unknown`."""
        op = reading.read(self.link.queue, str(job_id))
        found = await self.link.read(op)
        return "unknown" if found is None else reading.state_name(found.job)

    async def getJobCounts(self, *types: str) -> dict[str, int]:
        """Return how many jobs there are of each type; those of a pause are waiting."""
        counts = await self.link.read(queues.counts(self.link.queue))
        found = {}
        for kind in self.sanitizeJobTypes(types):
            if kind not in reading.STATES:
                raise ConfigError.bad("types", kind, ", ".join(reading.STATES))
            found[kind] = getattr(counts, reading.STATES[kind])
        if found.get("paused") and not await self.isPaused():
            found["paused"] = 0
        return found

    async def getJobCountByTypes(self, *types: str) -> int:
        """Return how many jobs there are of these types."""
        counts = await self.getJobCounts(*types)
        return sum(counts[kind] for kind in unrepeated(list(counts)))

    async def getWaitingCount(self) -> int:
        """Return how many jobs wait without priority."""
        return await self.getJobCountByTypes("waiting")

    async def getDelayedCount(self) -> int:
        """Return how many jobs are delayed."""
        return await self.getJobCountByTypes("delayed")

    async def getActiveCount(self) -> int:
        """Return how many jobs run."""
        return await self.getJobCountByTypes("active")

    async def getPrioritizedCount(self) -> int:
        """Return how many jobs wait with a priority."""
        return await self.getJobCountByTypes("prioritized")

    async def getWaitingChildrenCount(self) -> int:
        """Return how many jobs wait for children."""
        return await self.getJobCountByTypes("waiting-children")

    async def getFailedCount(self) -> int:
        """Return how many jobs have failed."""
        return await self.getJobCountByTypes("failed")

    async def getCompletedCount(self) -> int:
        """Return how many jobs have completed."""
        return await self.getJobCountByTypes("completed")

    async def count(self) -> int:
        """Return how many jobs are still to run."""
        return await self.getJobCountByTypes(
            "waiting", "prioritized", "delayed", "waiting-children"
        )

    async def getCountsPerPriority(self, priorities: Sequence[int]) -> dict[str, int]:
        """Return how many jobs wait under each priority; 0 are those without."""
        asked = [int(one) for one in priorities]
        op = getters.counts_per_priority(self.link.queue, asked)
        found = await self.link.read(op)
        return {str(priority): count for priority, count in found.items()}

    async def getJobLogs(
        self, job_id: str, start: int = 0, end: int = -1, asc: bool = True
    ) -> dict[str, Any]:
        """Return lines of a job's log, and how many there are."""
        op = reading.logs(self.link.queue, str(job_id), start, end, asc=asc)
        return await self.link.read(op)
