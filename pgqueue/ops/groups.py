"""Operations on the groups of a queue; workers find out what changed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pgqueue.observed import Group, GroupCounts
from pgqueue.ops.core import Op, Statement
from pgqueue.ops.queues import queue_id

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pgqueue.ops.core import Row

PAGE: Final = 1000
BATCH: Final = 1000


def change(queue: str, group: str | None, **asked: object) -> Op[bool]:
    """Set limits of a group, or of all that have none; return whether it changed."""
    found = yield from queue_id(queue)
    params = {
        "queue_id": found,
        "concurrency": asked.get("concurrency"),
        "max": asked.get("max"),
        "per": asked.get("per"),
        "set_concurrency": "concurrency" in asked,
        "set_rate": "max" in asked,
    }
    if group is None:
        yield Statement("limit_groups", params)
        return True
    params |= {"group": group, "paused": asked.get("paused")}
    rows = yield Statement("limit_group", params)
    if not asked.get("paused") and asked.get("concurrency", asked.get("max")) is None:
        yield Statement("drop_limit", {"queue_id": found, "group": group})
    return bool(rows)


def read(rows: list[Row]) -> Iterator[Group]:
    """Return the groups that rows of `list_groups` describe."""
    for name, waiting, active, paused, concurrency, most, per, state in rows:
        yield Group(
            name=name,
            state=state,
            waiting=waiting,
            active=active,
            paused=paused,
            concurrency=concurrency,
            max=most,
            per=per,
        )


def list_page(queue: str, state: str | None, limit: int, after: str) -> Op[list[Group]]:
    """Return up to *limit* groups behind a name, in one state if asked."""
    found: list[Group] = []
    while True:
        # Without a state the first page is all.
        size = limit if state is None else max(limit, PAGE)
        params = {"queue": queue, "after": after, "only": None, "limit": size}
        rows = yield Statement("list_groups", params)
        found += [one for one in read(rows) if state in (None, one.state)]
        if len(rows) < size or len(found) >= limit:
            return found[:limit]
        after = rows[-1][0]


def get(queue: str, group: str) -> Op[Group]:
    """Return one group as it stands; it is idle if it was never heard of."""
    params = {"queue": queue, "after": "", "only": group, "limit": 1}
    rows = yield Statement("list_groups", params)
    idle = Group(name=group, state="idle", waiting=0, active=0, paused=False)
    return next(read(rows), idle)


def counts(queue: str) -> Op[GroupCounts]:
    """Return how many groups are in each state."""
    numbers: dict[str, int] = {}
    after = ""
    while True:
        params = {"queue": queue, "after": after, "only": None, "limit": PAGE}
        rows = yield Statement("list_groups", params)
        for one in read(rows):
            numbers[one.state] = numbers.get(one.state, 0) + 1
        if len(rows) < PAGE:
            return GroupCounts(**numbers)
        after = rows[-1][0]


def trim_rates(queue_id: int) -> Op[None]:
    """Forget the starts that are older than their windows, and holds that are over."""
    for statement in ("trim_group_rates", "trim_group_holds"):
        count = BATCH
        while count == BATCH:
            params = {"queue_id": queue_id, "limit": BATCH}
            rows = yield Statement(statement, params)
            count = rows[0][0]
