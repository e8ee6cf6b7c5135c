"""Who holds a deduplication id of a queue, and how to free it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pgqueue.compat.bullmq.reading import names
from pgqueue.ops.core import Op, Statement, atomic
from pgqueue.options import check_name

if TYPE_CHECKING:
    from pgqueue.compat.bullmq.link import Link


class Deduplicating:
    """The deduplication ids of `Queue`."""

    link: Link

    async def getDeduplicationJobId(self, id: str) -> str | None:  # noqa: A002
        """Return the id of the job that holds a deduplication id now, if one does."""
        return await self.link.read(holder(self.link.queue, check_id(id)))

    async def getDebounceJobId(self, id: str) -> str | None:  # noqa: A002
        """Return the same; it is the older name."""
        return await self.getDeduplicationJobId(id)

    async def removeDeduplicationKey(self, id: str) -> int:  # noqa: A002
        """Free a deduplication id, whose job stays; 1 if a job held it, else 0.

        What was kept back until the end of that job is added now, and holds the id.
        """
        was_held = await self.link.run(free(self.link.queue, check_id(id)))
        return int(was_held)


def check_id(value: object) -> str:
    """Return a deduplication id."""
    return check_name(value, "deduplication id")


def holder(queue: str, dedup_id: str) -> Op[str | None]:
    """Return the id of the job that holds a deduplication id."""
    params = {"queue": queue, "dedup_id": dedup_id}
    rows = yield Statement("find_dedup", params)
    if not rows:
        return None
    number: int = rows[0][0]
    called = yield from names(queue, [number])
    return called.get(number, str(number))


@atomic
def free(queue: str, dedup_id: str) -> Op[bool]:
    """Free a deduplication id; return whether a job held it."""
    params = {"queue": queue, "dedup_id": dedup_id}
    rows = yield Statement("free_dedup", params)
    if not rows:
        return False
    was_held, kept_back = rows[0]
    if kept_back is not None:
        yield Statement("add_jobs", {"queue": queue, "jobs": f"[{kept_back}]"})
    return bool(was_held)
