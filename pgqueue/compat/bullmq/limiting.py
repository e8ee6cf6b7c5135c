"""The limits of a queue, over all its workers."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from pgqueue.compat.bullmq import reading
from pgqueue.compat.bullmq.units import check_millis
from pgqueue.ops import limits
from pgqueue.options import check_int

if TYPE_CHECKING:
    from pgqueue.compat.bullmq.link import Link
    from pgqueue.ops.core import Op
    from pgqueue.types import Limits

MOST = 2**31 - 1


class Limiting:
    """The limits of `Queue`."""

    link: Link

    async def _limits(self) -> Limits:
        return await self.link.read(limits.get(self.link.queue))

    async def setGlobalConcurrency(self, concurrency: int) -> None:
        """Let so many jobs be active at once."""
        most = check_int("concurrency", concurrency, 1, MOST)
        await self.link.run(limits.set_concurrency(self.link.queue, most))

    async def getGlobalConcurrency(self) -> int | None:
        """Return how many may be; None: any number."""
        return (await self._limits()).concurrency

    async def removeGlobalConcurrency(self) -> int:
        """Take that limit off; 1 if there was one."""
        there = (await self._limits()).concurrency is not None
        await self.link.run(limits.set_concurrency(self.link.queue, None))
        return int(there)

    async def setGlobalRateLimit(self, max_jobs: int, duration_ms: int) -> None:
        """Let so many jobs start in any *duration_ms* milliseconds."""
        most = check_int("max_jobs", max_jobs, 1, MOST)
        seconds = check_millis("duration_ms", duration_ms, least=1) / 1000
        await self.link.run(limits.set_rate_limit(self.link.queue, most, seconds))

    async def getGlobalRateLimit(self) -> dict[str, int] | None:
        """Return that limit; None if there is none."""
        found = await self._limits()
        if found.max is None or found.per is None:
            return None
        return {"max": found.max, "duration": round(found.per * 1000)}

    async def removeGlobalRateLimit(self) -> int:
        """Take that limit off; 2 if there was one, else 0."""
        there = (await self._limits()).max is not None
        await self.link.run(limits.set_rate_limit(self.link.queue, None, None))
        return 2 * there

    async def rateLimit(self, expire_time_ms: int) -> None:
        """Let no job start for so many milliseconds."""
        seconds = check_millis("expire_time_ms", expire_time_ms) / 1000
        await self.link.run(limits.hold(self.link.queue, seconds))

    async def getRateLimitTtl(self) -> int:
        """Return for how many milliseconds none may; -2: they may."""
        return await self.link.read(time_left(self.link.queue))

    async def removeRateLimitKey(self) -> int:
        """Let jobs start again; 1 if none might."""
        there = await self.getRateLimitTtl() > 0
        await self.link.run(limits.hold(self.link.queue, 0.0))
        return int(there)


def time_left(queue: str) -> Op[int]:
    """Return for how many milliseconds no job may start, or -2."""
    found = yield from limits.get(queue)
    now = yield from reading.moment()
    if found.limited_until is None or found.limited_until <= now:
        return -2
    return math.ceil((found.limited_until - now).total_seconds() * 1000)
