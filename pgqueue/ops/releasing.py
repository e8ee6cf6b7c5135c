"""Operations that let parents go on once their children have settled."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final, NamedTuple

from pgqueue.ops.core import Op, Row, Statement

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

LOOK: Final = 2000


class Parent(NamedTuple):
    """A job that waits for others, or may come to."""

    queue_id: int
    job_id: int


FIRST: Final = Parent(0, 0)
"""Before all parents."""


def release(parents: Iterable[Parent]) -> Op[list[Parent]]:
    """Let parents go on whose children have settled; return those that did.

    Must run in a transaction after the one that settled the children: of two children
    that settle at the same time each may miss the other, but the last to look does not.
    A parent that fails settles its own parent in turn.
    """
    waiting = deque(set(parents))
    released: list[Parent] = []
    while waiting:
        batch = [waiting.popleft() for _ in range(min(len(waiting), 1000))]
        params = {
            "queue_ids": [parent.queue_id for parent in batch],
            "job_ids": [parent.job_id for parent in batch],
        }
        rows = yield Statement("release_parents", params)
        for own_queue, own_id, parent_queue, parent_id in rows:
            released.append(Parent(own_queue, own_id))
            if parent_id is not None:
                waiting.append(Parent(parent_queue, parent_id))
    return released


def release_forgotten(after: Parent, limit: int = LOOK) -> Op[Parent]:
    """Release parents that a worker left behind when it died at the wrong moment.

    Looks at a page of those that wait, so that very many of them cost no more.

    Returns:
        Where the next call is to go on; `FIRST` after the last of them.
    """
    params = {"queue_id": after.queue_id, "job_id": after.job_id, "limit": limit}
    rows = yield Statement("find_released", params)
    yield from release([Parent(row[0], row[1]) for row in rows if row[2]])
    return FIRST if len(rows) < limit else Parent(*rows[-1][:2])


def overlooked(rows: Sequence[Row]) -> list[Parent]:
    """Return the parents that a removal left waiting, from the rows it returned.

    Its first row ends with their queues and ids in turn. Each is to be looked at once
    more after the commit: of two last children that are removed at the same moment each
    overlooks the other.
    """
    flat: list[int] = (rows[0][-1] if rows else None) or []
    return [Parent(*pair) for pair in zip(flat[::2], flat[1::2], strict=True)]
