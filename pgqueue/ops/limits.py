"""Operations on the limits of a whole queue; workers find out what changed."""

from __future__ import annotations

from pgqueue.ops.core import Op, Statement
from pgqueue.ops.queues import queue_id
from pgqueue.types import Limits


def set_concurrency(queue: str, concurrency: int | None) -> Op[None]:
    """Let so many jobs be active at once, over all workers; None: any number."""
    found = yield from queue_id(queue)
    params = {"queue_id": found, "concurrency": concurrency}
    yield Statement("set_concurrency", params)


def set_rate_limit(queue: str, max_starts: int | None, per: float | None) -> Op[None]:
    """Let so many jobs start in any window of *per* seconds; None: any number."""
    found = yield from queue_id(queue)
    params = {"queue_id": found, "max": max_starts, "per": per}
    yield Statement("set_rate_limit", params)


def hold(queue: str, delay: float) -> Op[None]:
    """Let no job start for so many seconds from now; 0 ends that."""
    found = yield from queue_id(queue)
    yield Statement("limit_queue", {"queue_id": found, "delay": delay})


def get(queue: str) -> Op[Limits]:
    """Return the limits of a queue; one that was never used has none."""
    rows = yield Statement("get_limits", {"queue": queue})
    if not rows:
        return Limits()
    concurrency, max_starts, per, until = rows[0]
    return Limits(concurrency=concurrency, max=max_starts, per=per, limited_until=until)
