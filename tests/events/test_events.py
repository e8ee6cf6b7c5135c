"""What is written about a queue, who reads it, and from where."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from following import nothing_holds_back
from pgqueue import (
    AsyncQueueEvents,
    ConfigError,
    Event,
    Job,
    NewJob,
    Queue,
    QueueEvents,
    Worker,
)
from waiting import until, until_async
from working import drain

from .conftest import FOLLOWED

if TYPE_CHECKING:
    from claims import HandWorker
    from conftest import PrivateServer, Sql

    from .conftest import NewFollower


def read(follower: QueueEvents) -> list[Event]:
    """Return what there is, once no writer in another test's database holds it back."""
    nothing_holds_back(FOLLOWED[0])
    return list(follower.follow(timeout=0.05))


def names(events: list[Event]) -> list[str]:
    return [event.name for event in events]


def test_nothing_is_written_when_nobody_follows(
    queue: Queue, worker: HandWorker, sql: Sql
) -> None:
    queue.add("a")
    worker.finish(worker.claim())
    queue.pause()
    assert sql.value("SELECT count(*) FROM pgqueue.event") == 0


def test_a_job_is_added_waits_runs_and_completes(
    queue: Queue, worker: HandWorker, follower: QueueEvents
) -> None:
    job = queue.add("a")
    [claimed] = worker.claim()
    worker.report(claimed, {"done": 1})
    worker.finish([claimed], result={"ok": True})
    events = read(follower)
    told = [(event.name, event.job_id, event.data) for event in events]
    assert told == [
        ("added", job.id, {"name": "a"}),
        ("waiting", job.id, None),
        ("active", job.id, {"attempt": 1}),
        ("progress", job.id, {"progress": {"done": 1}}),
        ("completed", job.id, {"result": {"ok": True}}),
    ]
    assert {event.queue for event in events} == {"paint"}


def test_pausing_twice_is_told_once(queue: Queue, follower: QueueEvents) -> None:
    for act in (queue.pause, queue.pause, queue.resume, queue.resume):
        act()
    assert names(read(follower)) == ["paused", "resumed"]


def test_cleaning_and_obliterating_are_told(
    queue: Queue, follower: QueueEvents
) -> None:
    queue.add_bulk([NewJob("a")] * 2)
    queue.clean(0, state="waiting")
    queue.obliterate()
    events = read(follower)
    expected = ["added", "waiting"] * 2 + ["removed"] * 2
    assert names(events) == [*expected, "cleaned", "paused", "obliterated"]
    assert events[-3].data == {"state": "waiting", "count": 2}


@pytest.mark.parametrize("keep", [True, None])
async def test_a_job_that_ends_has_one_terminal_event_with_its_outcome(
    dsn: str, queue: Queue, follower: QueueEvents, keep: bool | None
) -> None:
    async def handler(job: Any) -> Any:
        if job.name == "bad":
            raise ValueError("no")
        return {"n": 1}

    policy = {"remove_on_complete": keep, "remove_on_fail": keep}
    good = queue.add("good", **policy)
    bad = queue.add("bad", attempts=2, **policy)
    await drain(Worker("paint", handler, dsn=dsn))
    events = read(follower)
    told = {one: [e for e in events if e.job_id == one] for one in (good.id, bad.id)}
    assert names(told[good.id]) == ["added", "waiting", "active", "completed"]
    assert told[good.id][-1].data == {"result": {"n": 1}}
    assert names(told[bad.id])[2:] == [
        *("active", "waiting", "active", "retries_exhausted", "failed")
    ]
    assert told[bad.id][-1].data == {"reason": "no", "attempt": 2}
    assert names(events)[-1] == "drained"


def test_a_consumer_goes_on_where_it_stopped(
    queue: Queue, new_follower: NewFollower
) -> None:
    first = new_follower()
    ids = [queue.add("a").id for _ in range(5)]
    taken = []
    for event in first.follow():
        taken.append(event)
        if len(taken) == 3:
            break
    # Another process would begin so.
    taken += read(new_follower())
    assert [event.job_id for event in taken] == [one for one in ids for _ in "ab"]
    assert not read(new_follower())


def test_two_consumers_read_the_same(queue: Queue, new_follower: NewFollower) -> None:
    one, two = new_follower("one"), new_follower("two")
    queue.add_bulk([NewJob("a")] * 700)
    assert len(read(one)) == 1400
    assert read(two) == list(new_follower("three", start="begin").follow(timeout=0))


def test_an_event_that_a_block_fails_on_comes_again(
    dsn: str, queue: Queue, follower: QueueEvents
) -> None:
    queue.add("a")

    def fail_at_waiting() -> None:
        with QueueEvents("paint", "one", dsn=dsn) as failing:
            for event in failing.follow():
                assert event.name != "waiting"

    with pytest.raises(AssertionError):
        fail_at_waiting()
    assert names(read(QueueEvents("paint", "one", dsn=dsn))) == ["waiting"]


def test_new_begins_after_the_subscription(
    queue: Queue, new_follower: NewFollower
) -> None:
    new_follower("one")
    queue.add("before")
    late = new_follower("two")
    job = queue.add("after")
    assert {event.job_id for event in read(late)} == {job.id}


def test_the_last_consumer_that_goes_ends_the_writing(
    queue: Queue, new_follower: NewFollower, sql: Sql
) -> None:
    one, two = new_follower("one"), new_follower("two")
    assert one.unsubscribe()
    assert sql.value("SELECT events FROM pgqueue.queue")
    assert two.unsubscribe()
    assert not two.unsubscribe()
    queue.add("a")
    assert sql.value("SELECT count(*) FROM pgqueue.event") == 0


def test_a_follower_whose_consumer_is_removed_ends(
    dsn: str, follower: QueueEvents
) -> None:
    following = threading.Thread(target=list, args=(follower.follow(),))
    following.start()
    QueueEvents("paint", "one", dsn=dsn).unsubscribe()
    following.join(10)
    assert not following.is_alive()


def test_what_commits_late_is_not_skipped(
    dsn: str, queue: Queue, follower: QueueEvents
) -> None:
    with psycopg.connect(dsn) as slow:
        late = queue.add("late", connection=slow)
        early = queue.add("early")
        # Nothing is passed on that something may still come before.
        assert read(follower) == []
        slow.commit()
    assert {event.job_id for event in read(follower)} == {late.id, early.id}


def test_what_depends_on_something_comes_after_it(
    dsn: str, queue: Queue, worker: HandWorker, follower: QueueEvents
) -> None:
    """A transaction that began first claims what was added meanwhile."""
    job = None
    with worker.connection.transaction():
        worker.connection.execute("SELECT pg_current_xact_id()")
        job = queue.add("a")
        [claimed] = worker.claim()
        worker.finish([claimed])
    assert names(read(follower)) == ["added", "waiting", "active", "completed"]
    assert claimed.id == job.id


def test_subscribing_waits_for_who_looked_before(
    dsn: str, queue: Queue, sql: Sql
) -> None:
    events = QueueEvents("paint", "one", dsn=dsn)
    queue.add("so that there is a queue")
    with psycopg.connect(dsn) as early:
        queue.add("unnoticed", connection=early)
        subscribing = threading.Thread(target=events.subscribe)
        subscribing.start()
        until(lambda: sql.all("SELECT FROM pgqueue.subscriber"))
        job = queue.add("noticed", connection=early)
        assert subscribing.is_alive()
        early.commit()
        subscribing.join(10)
    assert {event.job_id for event in read(events)} == {job.id}
    events.close()


def test_a_consumer_that_fell_behind_is_told_once(
    queue: Queue, follower: QueueEvents, new_follower: NewFollower, sql: Sql
) -> None:
    queue.add_bulk([NewJob("a")] * 20)
    sql.run("UPDATE pgqueue.queue SET event_count = 10")
    trim = _statement("trim_events")
    params = {"queue_id": 1, "by_count": True, "limit": 1000}
    assert sql.connection.execute(trim, params).fetchone()[0] == 30
    events = read(follower)
    assert names(events)[0] == "lost"
    assert len(events) == 11
    assert read(new_follower()) == []


def test_events_are_bounded_by_age_and_gone_without_followers(
    queue: Queue, follower: QueueEvents, sql: Sql
) -> None:
    params = {"queue_id": 1, "by_count": False, "limit": 1000}
    trim = _statement("trim_events")
    queue.add("old")
    assert sql.connection.execute(trim, params).fetchone()[0] == 0
    sql.run("UPDATE pgqueue.event SET at = at - interval '2 days'")
    queue.add("new")
    assert sql.connection.execute(trim, params).fetchone()[0] == 2
    follower.unsubscribe()
    assert sql.connection.execute(trim, params).fetchone()[0] == 2


def test_drained_is_told_once_when_the_last_two_finish_at_the_same_time(
    dsn: str, queue: Queue, follower: QueueEvents
) -> None:
    """BullMQ tells nobody then: neither transaction sees the other's finish."""
    barrier = threading.Barrier(2)

    async def handler(job: Any) -> None:
        await asyncio.get_running_loop().run_in_executor(None, barrier.wait, 10)

    for _ in range(3):
        queue.add_bulk([NewJob("a")] * 2)

        async def both() -> None:
            workers = [Worker("paint", handler, concurrency=1, dsn=dsn) for _ in "ab"]
            await asyncio.gather(*(drain(worker) for worker in workers))

        asyncio.run(both())
        told = names(read(follower))
        assert told.count("drained") == 1
        assert told[-1] == "drained"


async def test_the_async_follower_reads_the_same(dsn: str, queue: Queue) -> None:
    async with AsyncQueueEvents("paint", "one", dsn=dsn) as events:
        await events.subscribe()
        job = queue.add("a")
        nothing_holds_back(dsn)
        seen = [event async for event in events.follow(timeout=0.05)]
        assert [(event.name, event.job_id) for event in seen] == [
            ("added", job.id),
            ("waiting", job.id),
        ]
        queue.add("b")
        async for event in events.follow():
            assert event.name == "added"
            break
        nothing_holds_back(dsn)
        assert [e.name async for e in events.follow(timeout=0.05)] == ["waiting"]
        assert await events.unsubscribe()


def test_a_follower_outlives_a_restart_of_the_server(
    private_server: PrivateServer,
) -> None:
    dsn = private_server.dsn
    seen: list[str] = []
    events = QueueEvents("paint", "one", dsn=dsn)
    events.subscribe()

    def follow() -> None:
        for event in events.follow():
            seen.append(event.name)
            if event.name == "delayed":
                return

    following = threading.Thread(target=follow)
    following.start()
    with Queue("paint", dsn=dsn) as queue:
        queue.add("a")
        until(lambda: seen == ["added", "waiting"])
        private_server.restart()
        queue.add("b", delay=60)
    following.join(20)
    assert seen == ["added", "waiting", "added", "delayed"]
    events.close()


@pytest.mark.parametrize(
    "wrong", [{"consumer": ""}, {"consumer": "result:x"}, {"start": "end"}]
)
def test_wrong_arguments_are_refused_before_any_io(wrong: dict[str, Any]) -> None:
    for kind in (QueueEvents, AsyncQueueEvents):
        with pytest.raises(ConfigError):
            kind("paint", **wrong)


def _statement(name: str) -> bytes:
    from pgqueue import sql as statements  # noqa: PLC0415

    return statements.load(name)


async def test_a_cancelled_job_has_not_used_up_its_attempts(
    dsn: str, queue: Queue, follower: QueueEvents
) -> None:
    started = asyncio.Event()

    async def handler(_job: Any) -> None:
        started.set()
        await asyncio.Event().wait()

    for policy in (None, True):
        started.clear()
        job = queue.add("paint", remove_on_fail=policy)
        async with Worker("paint", handler, dsn=dsn):
            await started.wait()
            queue.cancel(job.id)
            events: list[Event] = []

            def ended(job: Job = job, events: list[Event] = events) -> bool:
                events += [one for one in read(follower) if one.job_id == job.id]
                return "failed" in names(events)

            await until_async(ended)
        assert "retries_exhausted" not in names(events)
