"""A limit that a handler meets: it holds the group of its job, and no other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from invariants import assert_consistent
from pgqueue import NewJob, Queue, RateLimited, Worker
from pgqueue.db.run import run
from pgqueue.ops.groups import trim_rates
from waiting import until_async
from working import KINDS, drain, handler_of

if TYPE_CHECKING:
    from conftest import Sql

each_kind = pytest.mark.parametrize("kind", KINDS)

OVER = """
    WITH over AS (UPDATE pgqueue.group_limit SET limited_until = now())
    UPDATE pgqueue.line SET until = now() WHERE until IS NOT NULL
"""
HELD = 'SELECT "group", limited_until > now() FROM pgqueue.group_limit ORDER BY 1'


def add(queue: Queue, group: str | None, count: int) -> None:
    queue.add_bulk([NewJob("n", group=group)] * count)


def meeting(refusals: dict[str | None, list[float]], done: list[Any]) -> Any:
    """Return the body of a handler that is refused, a group at a time."""

    def body(job: Any) -> None:
        if mine := refusals.get(job.group):
            raise RateLimited(mine.pop(0))
        done.append(job.group)

    return body


@each_kind
async def test_a_limit_met_by_a_job_of_a_group_holds_that_group_only(
    dsn: str, queue: Queue, sql: Sql, kind: str
) -> None:
    for group in ("a", "b", None):
        add(queue, group, 3)
    done: list[Any] = []
    handler = handler_of(kind, meeting({"a": [3600]}, done))
    async with Worker("work", handler, dsn=dsn, concurrency=1):
        await until_async(lambda: queue.counts().completed == 6, 60)
        add(queue, "a", 1)
        add(queue, "c", 1)
        await until_async(lambda: queue.counts().completed == 7, 60)
    assert done.count("a") == 0
    assert queue.limits().limited_until is None
    [held] = queue.groups(state="limited")
    assert (held.name, held.waiting) == ("a", 4)
    assert_consistent(sql)
    sql.run(OVER)
    await drain(Worker("work", handler, dsn=dsn))
    assert done.count("a") == 4
    assert {job.attempt for job in queue.jobs("completed")} == {1}


async def test_a_group_that_is_full_and_held_goes_on_when_its_time_is_over(
    dsn: str, queue: Queue
) -> None:
    """Nothing rings then: whoever sleeps knows when to look."""
    queue.set_group_concurrency("a", 1)
    add(queue, "a", 4)
    done: list[Any] = []
    body = meeting({"a": [0.3, 0.3]}, done)
    async with Worker("work", handler_of("async def", body), dsn=dsn, concurrency=3):
        await until_async(lambda: queue.counts().completed == 4, 30)
    assert done == ["a"] * 4


async def test_a_job_of_no_group_still_holds_the_whole_queue(
    dsn: str, queue: Queue
) -> None:
    add(queue, None, 1)
    add(queue, "a", 1)
    done: list[Any] = []
    body = meeting({None: [3600]}, done)
    async with Worker("work", handler_of("async def", body), dsn=dsn, concurrency=1):
        await until_async(lambda: queue.limits().limited_until is not None, 30)
    assert done in ([], ["a"])


async def test_a_hold_outlives_changes_of_the_limits_and_is_forgotten_when_over(
    dsn: str, queue: Queue, sql: Sql
) -> None:
    add(queue, "a", 2)
    add(queue, "b", 1)
    queue.set_group_concurrency("b", 5)
    body = meeting({"a": [3600, 1], "b": [3600]}, [])
    async with Worker("work", handler_of("async def", body), dsn=dsn, concurrency=1):
        await until_async(lambda: len(sql.all(HELD)) == 2 and sql.all(HELD)[1][1], 30)
    queue.set_group_concurrency("a", 5)
    queue.set_group_concurrency("a", None)
    assert sql.all(HELD) == [("a", True), ("b", True)]
    queue_id = sql.value("SELECT id FROM pgqueue.queue WHERE name = 'work'")
    run(sql.connection, trim_rates(queue_id), "pgqueue")
    assert sql.all(HELD) == [("a", True), ("b", True)]
    sql.run(OVER)
    run(sql.connection, trim_rates(queue_id), "pgqueue")
    assert sql.all(HELD) == [("b", None)]
