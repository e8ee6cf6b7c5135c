"""`Backend`: what a queue, a worker and its scheduler share to reach the database."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pgqueue.compat.bullmq import reading
from pgqueue.compat.bullmq.options import given_options
from pgqueue.compat.bullmq.unsupported import Explained

if TYPE_CHECKING:
    from pgqueue.compat.bullmq.link import Link


class Backend(Explained):
    """The little of BullMQ's backend that means something without its Redis."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self.qualifiedName = link.queue

    async def getJobData(self, job_id: str) -> dict[str, Any] | None:
        """Return what `Worker.nextJobFromJobData` takes of a stored job, or None."""
        found = await self._link.read(reading.read(self._link.queue, str(job_id)))
        if found is None:
            return None
        core = found.job
        return {"name": core.name, "data": core.data, "opts": given_options(core)}
