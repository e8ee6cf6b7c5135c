"""Operations on what a queue keeps; maintenance applies it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pgqueue.ops.core import Op, Statement
from pgqueue.ops.queues import queue_id
from pgqueue.retention import QueueRetention, Unchanged
from pgqueue.types import KeepJobs

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pgqueue.retention import Bounds

DEFAULTS: Final = (604_800.0, None, 2_592_000.0, None, 86_400.0, 1_000_000)
"""What the table gives to a queue on its first use."""


def get(queue: str) -> Op[QueueRetention]:
    """Return what a queue keeps."""
    rows = yield Statement("get_retention", {"queue": queue})
    values: Sequence[float | int | None] = rows[0] if rows else DEFAULTS
    ages, counts = values[::2], values[1::2]
    completed, failed, events = (
        KeepJobs(age=age, count=None if count is None else int(count))
        for age, count in zip(ages, counts, strict=True)
    )
    return QueueRetention(completed=completed, failed=failed, events=events)


def change(
    queue: str, completed: Bounds | Unchanged, failed: Bounds | Unchanged
) -> Op[None]:
    """Let the queue keep finished jobs by other bounds, or by those it has."""
    params: dict[str, object] = {"queue_id": (yield from queue_id(queue))}
    for state, bounds in (("completed", completed), ("failed", failed)):
        changed = not isinstance(bounds, Unchanged)
        age, count = (None, None) if isinstance(bounds, Unchanged) else bounds
        params |= {state: changed, f"{state}_age": age, f"{state}_count": count}
    yield Statement("set_retention", params)


def bound_events(queue: str, age: float | None, count: int | None) -> Op[None]:
    """Let the queue keep events for another time, or another number of them."""
    found = yield from queue_id(queue)
    params = {"queue_id": found, "age": age, "count": count}
    yield Statement("set_event_bounds", params)
