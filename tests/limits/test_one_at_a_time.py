"""Two workers never count the same free slot: one claims after the other has committed."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from claims import HandWorker
from pgqueue import NewJob, Queue, Worker
from waiting import until_async
from working import Facts, at_rest

if TYPE_CHECKING:
    from collections.abc import Callable

    from conftest import Sql

WAITS_FOR_A_LOCK = """
    SELECT count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND wait_event_type = 'Lock'
"""
LIMITS: dict[str, tuple[str | None, Callable[[Queue], None]]] = {
    "concurrency": (None, lambda queue: queue.set_concurrency(1)),
    "rate": (None, lambda queue: queue.set_rate_limit(1, 3600)),
    "concurrency of a group": ("a", lambda queue: queue.set_group_concurrency("a", 1)),
    "rate of a group": ("a", lambda queue: queue.set_group_rate_limit("a", 1, 3600)),
}


@pytest.mark.parametrize("limit", LIMITS)
async def test_a_claim_waits_for_that_of_another_worker_and_then_counts_it(
    dsn: str, queue: Queue, sql: Sql, facts: Facts, limit: str
) -> None:
    """With processes that merely run side by side, the moment in between is rarely met."""
    group, set_limit = LIMITS[limit]
    set_limit(queue)
    queue.add_bulk([NewJob("work", group=group)] * 3)
    ran: list[int] = []

    async def handler(job: Any) -> None:
        ran.append(job.id)

    with closing(HandWorker(dsn, "work")) as other:
        other.connection.execute("BEGIN")
        assert len(other.claim_grouped() if group else other.claim_limited()) == 1
        async with Worker("work", handler, dsn=dsn, concurrency=2):
            await until_async(lambda: sql.value(WAITS_FOR_A_LOCK))
            facts.clear()
            other.connection.execute("COMMIT")
            await at_rest(facts)
            assert (ran, queue.counts().active) == ([], 1)
