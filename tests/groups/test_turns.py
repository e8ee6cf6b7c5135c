"""Groups take turns, whoever has more jobs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from pgqueue import NewJob, Queue, Worker
from pgqueue.worker.session import Session
from working import drain

if TYPE_CHECKING:
    from conftest import Sql


class Ran:
    """A handler that notes what it ran."""

    def __init__(self) -> None:
        self.seen: list[Any] = []

    async def __call__(self, job: Any) -> None:
        self.seen.append((job.group, job.data))

    @property
    def groups(self) -> str:
        return " ".join(group or "-" for group, _ in self.seen)


async def run(dsn: str, concurrency: int = 1) -> Ran:
    ran = Ran()
    await drain(Worker("work", ran, dsn=dsn, concurrency=concurrency))
    return ran


async def test_groups_take_turns(dsn: str, queue: Queue) -> None:
    queue.add_bulk([NewJob("n", n, group="a") for n in range(4)])
    queue.add_bulk([NewJob("n", n, group="b") for n in range(2)])
    queue.add("n", 0, group="c")
    ran = await run(dsn)
    assert ran.groups == "a b c a b a a"
    assert [data for group, data in ran.seen if group == "a"] == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("concurrency", "first"), [(6, "aabbcc"), (5, "aabbc"), (4, "aabc"), (2, "ab")]
)
async def test_several_jobs_that_are_claimed_at_once_are_of_several_groups(
    dsn: str, queue: Queue, concurrency: int, first: str
) -> None:
    """Who is first in the line gets no second job as long as another got none."""
    queue.add_bulk([NewJob("n", n, group=g) for g in "abc" for n in range(4)])
    ran = await run(dsn, concurrency=concurrency)
    assert sorted(ran.groups.split()[:concurrency]) == [*first]


async def test_jobs_of_no_group_go_first(dsn: str, queue: Queue) -> None:
    queue.add("n", group="a")
    queue.add("n", priority=7)
    queue.add("n")
    assert (await run(dsn)).groups == "- - a"


async def test_priority_and_lifo_order_the_jobs_of_a_group_only(
    dsn: str, queue: Queue
) -> None:
    queue.add("n", "last", group="a", priority=2_097_151)
    queue.add("n", "third", group="a", priority=1)
    queue.add("n", "second", group="a")
    queue.add("n", "first", group="a", lifo=True)
    queue.add("n", "other", group="b", priority=9)
    ran = await run(dsn)
    assert ran.groups == "a b a a a"
    mine = [data for group, data in ran.seen if group == "a"]
    assert mine == ["first", "second", "third", "last"]


async def test_many_groups_with_a_job_each_are_all_served(
    dsn: str, queue: Queue, sql: Sql
) -> None:
    queue.add_bulk([NewJob("n", n, group=f"g{n}") for n in range(3000)])
    ran = await run(dsn, concurrency=100)
    assert len(ran.seen) == len(set(ran.seen)) == 3000
    assert sql.value("SELECT count(*) FROM pgqueue.line") == 0
    assert sql.value("SELECT count(*) FROM pgqueue.arrival") == 0


async def test_a_queue_without_groups_is_claimed_from_as_before(
    dsn: str, queue: Queue, sql: Sql, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[str] = []
    exchange = Session.exchange

    async def noted(session: Session, statements: Any) -> Any:
        sent.extend(one.name for one in statements)
        return await exchange(session, statements)

    monkeypatch.setattr(Session, "exchange", noted)
    queue.add_bulk([NewJob("n", {"group": "no"})] * 5)
    ran = await run(dsn)
    assert ran.groups == "- - - - -"
    assert "claim_jobs" in sent
    assert not [
        one for one in sent if "group" in one or one in ("form_line", "lock_limits")
    ]
    assert not sql.value("SELECT grouped FROM pgqueue.queue WHERE name = 'work'")
