"""`JobScheduler`: the schedulers of a queue, apart from it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Protocol

from pgqueue.compat.bullmq.job import Owner
from pgqueue.compat.bullmq.scheduling import Scheduling, default_repeat_strategy
from pgqueue.compat.bullmq.unsupported import Explained
from pgqueue.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pgqueue.compat.bullmq.backend import Backend

__all__ = ["JobScheduler", "default_repeat_strategy"]

PARTS: Final = ("name", "id", "endDate", "tz", "pattern")
"""What the keys of BullMQ's old repeatable jobs say, between colons."""


def _transform_scheduler_data(
    key: str, fields: Mapping[str, Any], next_millis: int | None
) -> dict[str, Any] | None:
    """Return a scheduler as it is shown: by its fields, or by an old key alone."""
    if fields:
        return {"key": key, "name": fields.get("name"), "next": next_millis, **fields}
    if ":" not in key:
        return None
    parts = [part or None for part in key.split(":", len(PARTS) - 1)]
    parts += [None] * (len(PARTS) - len(parts))
    found: dict[str, Any] = dict(zip(PARTS, parts, strict=True))
    end = found["endDate"]
    found["endDate"] = int(end) if end and end.isdecimal() else None
    return {"key": key, "next": next_millis, **found}


class Having(Owner, Protocol):
    """What a scheduler belongs to: a queue or a worker."""

    @property
    def backend(self) -> Backend:
        """What reaches the database."""


class JobScheduler(Scheduling, Explained):
    """The schedulers of the queue of *queue*, which may be a worker too."""

    def __init__(self, queue: Having, repeat_strategy: object = None) -> None:
        if repeat_strategy not in (None, default_repeat_strategy):
            instead = "default_repeat_strategy, or None"
            raise ConfigError.bad("repeat_strategy", repeat_strategy, instead)
        self.queue = queue
        self.backend = queue.backend
        self.link = queue.link
        self.opts = queue.opts
        self.repeat_strategy = default_repeat_strategy

    async def getScheduler(self, job_scheduler_id: str) -> dict[str, Any] | None:
        """Return a scheduler, or None."""
        return await self.getJobScheduler(job_scheduler_id)

    async def getSchedulersCount(self) -> int:
        """Return how many there are."""
        return await self.getJobSchedulersCount()
