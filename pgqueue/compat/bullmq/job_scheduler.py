"""`JobScheduler`: the schedulers of a queue, apart from it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pgqueue.compat.bullmq.scheduling import Scheduling, default_repeat_strategy

if TYPE_CHECKING:
    from pgqueue.compat.bullmq.job import Owner

__all__ = ["JobScheduler", "default_repeat_strategy"]


class JobScheduler(Scheduling):
    """The schedulers of the queue of *queue*, which may be a worker too."""

    def __init__(self, queue: Owner, opts: dict[str, Any] | None = None) -> None:
        self.link = queue.link
        self.opts = opts or queue.opts
        self.repeat_strategy = default_repeat_strategy

    async def getScheduler(self, id: str) -> dict[str, Any] | None:  # noqa: A002
        """Return a scheduler, or None."""
        return await self.getJobScheduler(id)

    async def getSchedulersCount(self) -> int:
        """Return how many there are."""
        return await self.getJobSchedulersCount()
