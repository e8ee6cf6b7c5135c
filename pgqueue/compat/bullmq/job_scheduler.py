"""`JobScheduler`: the schedulers of a queue, apart from it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pgqueue.compat.bullmq.scheduling import Scheduling, default_repeat_strategy
from pgqueue.compat.bullmq.unsupported import Explained
from pgqueue.errors import ConfigError

if TYPE_CHECKING:
    from pgqueue.compat.bullmq.job import Owner

__all__ = ["JobScheduler", "default_repeat_strategy"]


class JobScheduler(Scheduling, Explained):
    """The schedulers of the queue of *queue*, which may be a worker too."""

    def __init__(self, queue: Owner, repeat_strategy: object = None) -> None:
        if repeat_strategy not in (None, default_repeat_strategy):
            instead = "default_repeat_strategy, or None"
            raise ConfigError.bad("repeat_strategy", repeat_strategy, instead)
        self.queue = queue
        self.link = queue.link
        self.opts = queue.opts
        self.repeat_strategy = default_repeat_strategy

    async def getScheduler(self, job_scheduler_id: str) -> dict[str, Any] | None:
        """Return a scheduler, or None."""
        return await self.getJobScheduler(job_scheduler_id)

    async def getSchedulersCount(self) -> int:
        """Return how many there are."""
        return await self.getJobSchedulersCount()
