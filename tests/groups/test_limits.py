"""What a group may do holds up no other group, and wakes who waits for it."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from pgqueue import ConfigError, Group, NewJob, Queue, Worker
from pgqueue.worker.session import Session
from waiting import until, until_async
from working import Facts, at_rest, drain, work_for

if TYPE_CHECKING:
    from collections.abc import Sequence

    from conftest import Sql
    from pgqueue.ops.core import Row, Statement

WAITS_FOR_A_LOCK = """
    SELECT count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND wait_event_type = 'Lock'
"""


class Busy:
    """A handler that holds its jobs until told; it knows the most that ran at once."""

    def __init__(self) -> None:
        self.release = asyncio.Event()
        self.running: dict[str, int] = {}
        self.most: dict[str, int] = {}
        self.done: list[str] = []

    async def __call__(self, job: Any) -> None:
        group = job.group or "-"
        self.running[group] = self.running.get(group, 0) + 1
        self.most[group] = max(self.most.get(group, 0), self.running[group])
        await self.release.wait()
        self.running[group] -= 1
        self.done.append(group)


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The statements that workers send where they claim."""
    names: list[str] = []
    exchange = Session.exchange

    async def counted(
        session: Session, statements: Sequence[Statement]
    ) -> list[list[Row]]:
        names.extend(one.name for one in statements)
        return await exchange(session, statements)

    monkeypatch.setattr(Session, "exchange", counted)
    return names


def add(queue: Queue, group: str, count: int) -> None:
    queue.add_bulk([NewJob("n", group=group)] * count)


async def test_a_group_runs_no_more_at_once_than_it_may(dsn: str, queue: Queue) -> None:
    queue.set_group_concurrency("a", 2)
    add(queue, "a", 8)
    add(queue, "b", 8)
    busy = Busy()
    async with Worker("work", busy, dsn=dsn, concurrency=10):
        await until_async(lambda: busy.running == {"a": 2, "b": 8})
        busy.release.set()
        await until_async(lambda: queue.counts().completed == 16)
    assert busy.most["a"] == 2


async def test_a_limit_for_all_groups_holds_for_each_without_its_own(
    dsn: str, queue: Queue
) -> None:
    queue.set_group_concurrency(None, 1)
    queue.set_group_concurrency("b", 3)
    for group in "abc":
        add(queue, group, 5)
    busy = Busy()
    async with Worker("work", busy, dsn=dsn, concurrency=15):
        await until_async(lambda: busy.running == {"a": 1, "b": 3, "c": 1})
        # Taken back while they run, it holds them up no more.
        queue.set_group_concurrency(None, None)
        await until_async(lambda: busy.running == {"a": 5, "b": 3, "c": 5})
        busy.release.set()
        await until_async(lambda: queue.counts().completed == 15)


async def test_a_rate_holds_in_its_group_only(dsn: str, queue: Queue) -> None:
    queue.set_group_rate_limit("a", 2, 1)
    add(queue, "a", 5)
    add(queue, "b", 5)
    loop = asyncio.get_running_loop()
    starts: list[tuple[str, float]] = []

    async def handler(job: Any) -> None:
        starts.append((job.group, loop.time()))

    await drain(Worker("work", handler, dsn=dsn, concurrency=5))
    mine = [at for group, at in starts if group == "a"]
    assert len(mine) == len(starts) - 5 == 5
    assert all(later - at >= 1 for at, later in zip(mine, mine[2:], strict=False))
    others = [at for group, at in starts if group == "b"]
    assert max(others) < mine[2]


async def test_a_paused_group_starts_nothing_and_the_others_go_on(
    dsn: str, queue: Queue, facts: Facts
) -> None:
    assert queue.pause_group("a")
    assert not queue.pause_group("a")
    add(queue, "a", 3)
    add(queue, "b", 3)
    busy = Busy()
    busy.release.set()
    async with Worker("work", busy, dsn=dsn):
        await at_rest(facts)
        assert busy.done == ["b"] * 3
        assert queue.resume_group("a")
        assert not queue.resume_group("a")
        await until_async(lambda: queue.counts().completed == 6)


def test_to_resume_what_was_never_paused_changes_nothing(queue: Queue) -> None:
    assert not queue.resume_group("nobody")
    assert queue.groups() == []


def test_a_group_that_may_do_what_any_other_may_leaves_no_row(
    queue: Queue, sql: Sql
) -> None:
    queue.pause_group("a")
    queue.set_group_concurrency("a", 2)
    queue.set_group_rate_limit("a", 2)
    queue.set_group_concurrency("b", None)
    for undo in (
        lambda: queue.set_group_rate_limit("a", None),
        lambda: queue.resume_group("a"),
        lambda: queue.set_group_concurrency("a", None),
    ):
        assert sql.all('SELECT "group" FROM pgqueue.group_limit') == [("a",)]
        undo()
    assert sql.all("SELECT FROM pgqueue.group_limit") == []
    assert not queue.resume_group("a")


def test_limits_of_a_queue_without_groups_leave_nothing_that_no_claim_takes_in(
    queue: Queue, sql: Sql
) -> None:
    queue.set_group_concurrency(None, 1)
    queue.pause_group("a")
    assert sql.all("SELECT FROM pgqueue.arrival") == []
    queue.add("n", group="b")
    queue.resume_group("a")
    assert len(sql.all("SELECT FROM pgqueue.arrival")) == 2


def test_the_first_job_of_a_group_comes_after_a_limit_that_is_being_set(
    dsn: str, queue: Queue, sql: Sql
) -> None:
    """Or a claim between the two might pass over the group, and nobody be told."""
    queue.pause_group("a")
    with psycopg.connect(dsn) as other, ThreadPoolExecutor() as threads:
        queue.resume_group("a", connection=other)
        adding = threads.submit(queue.add, "n", group="a")
        until(lambda: sql.value(WAITS_FOR_A_LOCK))
        assert not adding.done()
        other.commit()
        assert adding.result().group == "a"


async def test_an_idle_worker_facing_only_blocked_groups_sleeps(
    dsn: str, queue: Queue, sent: list[str], facts: Facts
) -> None:
    queue.set_group_concurrency("full", 1)
    queue.set_group_rate_limit("rated", 1, 300)
    queue.pause_group("paused")
    for group in ("full", "rated", "paused"):
        add(queue, group, 2)
    busy = Busy()
    async with Worker("work", busy, dsn=dsn, concurrency=1) as first:
        # One of each, in turn, by a worker that is full then.
        await until_async(lambda: sum(busy.running.values()) == 1)
        facts.clear()
        async with Worker("work", busy, dsn=dsn, concurrency=5):
            await until_async(lambda: sum(busy.running.values()) == 2)
            await at_rest(facts)
            await work_for(0.5)
            sent.clear()
            await work_for(3)
            assert len(sent) <= 2 * 2 * 3, sent
            assert not facts.count("worker.drained")
            # The end of its only job lets the full group go on at once.
            first.stop()
            busy.release.set()
            await until_async(lambda: busy.done.count("full") == 2)
    assert busy.most == {"full": 1, "rated": 1}
    assert queue.group_counts().limited == 1


async def test_more_that_a_group_may_is_heard_by_who_sleeps(
    dsn: str, queue: Queue, facts: Facts
) -> None:
    queue.set_group_rate_limit("a", 1, 3600)
    queue.set_group_concurrency("b", 1)
    add(queue, "a", 2)
    add(queue, "b", 2)
    busy = Busy()
    async with Worker("work", busy, dsn=dsn):
        await until_async(lambda: busy.running == {"a": 1, "b": 1})
        await at_rest(facts)
        queue.set_group_concurrency("b", 2)
        await until_async(lambda: busy.running == {"a": 1, "b": 2})
        queue.set_group_rate_limit("a", None)
        await until_async(lambda: busy.running == {"a": 2, "b": 2})
        busy.release.set()
        await until_async(lambda: queue.counts().completed == 4)


async def test_the_limits_of_the_queue_hold_beside_those_of_its_groups(
    dsn: str, queue: Queue
) -> None:
    queue.set_concurrency(3)
    queue.set_group_concurrency("a", 1)
    add(queue, "a", 4)
    add(queue, "b", 9)
    busy = Busy()
    async with Worker("work", busy, dsn=dsn, concurrency=10):
        await until_async(lambda: busy.running == {"a": 1, "b": 2})
        busy.release.set()
        await until_async(lambda: queue.counts().completed == 13)


async def test_a_removal_that_rolls_back_loses_no_group(
    dsn: str, queue: Queue, sql: Sql, facts: Facts
) -> None:
    job = queue.add("n", group="a")
    busy = Busy()
    busy.release.set()
    with psycopg.connect(dsn) as other:
        assert queue.remove(job.id, connection=other)
        async with Worker("work", busy, dsn=dsn):
            await until_async(
                lambda: sql.all("SELECT FROM pgqueue.line WHERE until IS NOT NULL")
            )
            assert busy.done == []
            other.rollback()
            await until_async(lambda: busy.done == ["a"])


async def test_a_group_is_shown_as_it_stands(dsn: str, queue: Queue) -> None:
    queue.set_group_concurrency(None, 2)
    queue.set_group_rate_limit("b", 1, 60)
    queue.pause_group("c")
    queue.pause_group("d")
    add(queue, "a", 5)
    add(queue, "b", 2)
    add(queue, "c", 1)
    busy = Busy()
    async with Worker("work", busy, dsn=dsn):
        await until_async(lambda: busy.running == {"a": 2, "b": 1})
        a = Group(
            name="a", state="full", waiting=3, active=2, paused=False, concurrency=2
        )
        b = Group(
            name="b",
            state="limited",
            waiting=1,
            active=1,
            paused=False,
            concurrency=2,
            max=1,
            per=60,
        )
        found = queue.groups()
        assert found[:2] == [a, b]
        assert [one.name for one in found] == ["a", "b", "c", "d"]
        assert [one.name for one in queue.groups("paused")] == ["c", "d"]
        assert queue.groups(limit=1) == [a]
        assert queue.groups(limit=1, after="a") == [b]
        counts = queue.group_counts()
        assert (counts.full, counts.limited, counts.paused) == (1, 1, 2)
        queue.set_group_rate_limit("b", None)
        busy.release.set()
        await until_async(lambda: queue.counts().completed == 7)
    assert queue.group_counts().waiting == 0


@pytest.mark.parametrize("bad", ["", "x" * 256, 7, "a\0b"])
def test_a_bad_group_is_refused_before_anything_is_sent(bad: Any) -> None:
    queue = Queue("work", dsn="host=nowhere.invalid")
    for call in (
        lambda: queue.add("n", group=bad),
        lambda: queue.pause_group(bad),
        lambda: queue.resume_group(bad),
        lambda: queue.set_group_concurrency(bad, 1),
        lambda: queue.set_group_rate_limit(bad, 1),
        lambda: queue.groups(after=bad),
    ):
        with pytest.raises(ConfigError, match=r"group|after"):
            call()
    for call in (
        lambda: queue.set_group_concurrency("a", 0),
        lambda: queue.set_group_rate_limit("a", 1, 0),
        lambda: queue.groups("sad"),  # type: ignore[arg-type]
        lambda: queue.groups(limit=0),
        lambda: queue.pause_group(None),  # type: ignore[arg-type]
    ):
        with pytest.raises(ConfigError):
            call()
