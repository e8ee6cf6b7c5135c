"""A change of many jobs is many short transactions, and may be cut off anywhere."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from claims import HandWorker
from invariants import assert_consistent
from pgqueue import AsyncQueue, DatabaseUnavailable, NewJob
from proxy import Proxy

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from conftest import Sql

JOBS = "SELECT count(*) FROM pgqueue.job"
CALLS: dict[str, Callable[[AsyncQueue], Awaitable[Any]]] = {
    "drain": lambda queue: queue.drain(),
    "clean": lambda queue: queue.clean(0, state="waiting"),
    "obliterate": lambda queue: queue.obliterate(),
}


@pytest.mark.parametrize("call", CALLS)
async def test_a_removal_that_is_killed_leaves_whole_jobs_and_can_go_on(
    dsn: str, sql: Sql, call: str
) -> None:
    async with Proxy(dsn) as proxy, AsyncQueue("paint", dsn=proxy.dsn) as queue:
        await queue.add_bulk([NewJob("n")] * 2500)
        # The connection breaks with the answer to the first statement that removed.
        proxy.eat = lambda *_: sql.value(JOBS) < 2500
        with pytest.raises(DatabaseUnavailable, match="may or may not have been"):
            await CALLS[call](queue)
        assert proxy.eaten == 1
        assert sql.value(JOBS) == 1500, "what was removed before stays removed"
        assert_consistent(sql)
        proxy.eat = lambda *_: False
        await CALLS[call](queue)
        assert sql.value(JOBS) == 0
        assert_consistent(sql)


@pytest.mark.parametrize("call", ["retry_all", "promote_all"])
async def test_a_move_of_many_that_is_killed_leaves_whole_jobs_and_can_go_on(
    dsn: str, sql: Sql, call: str
) -> None:
    waiting = "SELECT count(*) FROM pgqueue.ready"
    delay = 3600 if call == "promote_all" else None
    async with Proxy(dsn) as proxy, AsyncQueue("paint", dsn=proxy.dsn) as queue:
        await queue.add_bulk([NewJob("n", delay=delay)] * 2500)
        worker = HandWorker(dsn)
        worker.fail(worker.claim(2500))
        worker.close()
        proxy.eat = lambda *_: sql.value(waiting) > 0
        with pytest.raises(DatabaseUnavailable, match="may or may not have been"):
            await getattr(queue, call)()
        assert sql.value(waiting) == 1000, "what was moved before stays moved"
        assert_consistent(sql)
        proxy.eat = lambda *_: False
        assert await getattr(queue, call)() == 1500
        assert_consistent(sql)
