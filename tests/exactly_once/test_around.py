"""What surrounds a completion: flows, retention, events, metrics, limits, isolation."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from effects import write
from isolated_handlers import writes_in_a_transaction, writes_in_a_transaction_async
from patience import drain, until_async
from pgqueue import (
    Batch,
    Dedup,
    FlowNode,
    FlowProducer,
    JobState,
    KeepJobs,
    NewJob,
    Queue,
    QueueEvents,
    Worker,
)
from pgqueue.worker.session import Session
from pgqueue.worker.trip import RoundTrip
from working import Heard

if TYPE_CHECKING:
    from conftest import Sql
    from effects import Effects

HEARD = ("completed", "failed", "error", "lease_lost", "stalled")


async def writes(job: Any) -> None:
    async with job.transaction() as connection:
        await connection.execute(write(job.id))
        job.complete(job.id)


async def test_a_parent_runs_once_its_children_completed_so(
    dsn: str, queue: Queue, effects: Effects
) -> None:
    pages = [FlowNode("page", queue="work") for _ in range(3)]
    tree = FlowProducer(dsn=dsn).add(FlowNode("report", queue="work", children=pages))
    values: list[Any] = []

    async def handler(job: Any) -> None:
        if job.name == "report":
            values.append(await job.children_values())
        await writes(job)

    await drain(Worker("work", handler, dsn=dsn))
    ids = [child.job.id for child in tree.children]
    assert values == [{one: one for one in ids}]
    assert effects.counts() == dict.fromkeys([*ids, tree.job.id], 1)


async def test_a_parent_is_looked_at_again_for_a_child_that_commits_during_the_look(
    dsn: str, queue: Queue, effects: Effects, monkeypatch: pytest.MonkeyPatch
) -> None:
    pages = [FlowNode("page", n, queue="work") for n in range(2)]
    FlowProducer(dsn=dsn).add(FlowNode("report", queue="work", children=pages))
    looked, ran, committed = asyncio.Event(), list[str](), set[int]()
    drive, hear = Session.drive, RoundTrip.committed

    async def looks(self: Session, op: Any) -> Any:
        found = await drive(self, op)
        if committed and not looked.is_set():
            looked.set()
            await until_async(lambda: len(committed) == 2)
        return found

    def hears(self: RoundTrip, job: Any, done: Any) -> None:
        hear(self, job, done)
        committed.add(job.id)

    async def handler(job: Any) -> None:
        if job.name == "page" and job.data == 1:
            await looked.wait()
        await writes(job)
        ran.append(job.name)

    monkeypatch.setattr(Session, "drive", looks)
    monkeypatch.setattr(RoundTrip, "committed", hears)
    await drain(Worker("work", handler, dsn=dsn))
    assert ran == ["page", "page", "report"]
    assert set(effects.counts().values()) == {1}


@pytest.mark.parametrize("by", ["job", "worker"])
async def test_a_job_that_is_not_kept_is_removed_in_the_same_transaction(
    dsn: str, queue: Queue, sql: Sql, effects: Effects, by: str
) -> None:
    async def handler(job: Any) -> None:
        async with job.transaction() as connection:
            await connection.execute(write(job.id))

    options: Any = {"remove_on_complete": True}
    job = queue.add("n", **(options if by == "job" else {}))
    worker = Worker("work", handler, dsn=dsn, **(options if by == "worker" else {}))
    heard = Heard(worker, *HEARD)
    await drain(worker)
    assert heard.names() == ["completed"]
    assert effects.counts() == {job.id: 1}
    assert sql.value("SELECT count(*) FROM pgqueue.job") == 0


async def test_the_jobs_own_retention_is_kept_to(
    dsn: str, queue: Queue, sql: Sql, effects: Effects
) -> None:
    queue.add("n", remove_on_complete=KeepJobs(age=60, count=7))
    await drain(Worker("work", writes, dsn=dsn))
    row = sql.one(
        "SELECT keep_count, extract(epoch FROM expires_at - finished_at) AS age"
        " FROM pgqueue.finished"
    )
    assert (row.keep_count, int(row.age)) == (7, 60)


async def test_followers_see_each_completion_once(
    dsn: str, queue: Queue, effects: Effects
) -> None:
    events = QueueEvents("work", consumer="test", dsn=dsn)
    events.subscribe()
    jobs = [queue.add("n") for _ in range(5)]
    await drain(Worker("work", writes, dsn=dsn))

    def read() -> list[Any]:
        return [event for event in events.follow(timeout=5) if event.name != "drained"]

    seen = await asyncio.to_thread(read)
    events.close()
    ended = [event for event in seen if event.name == "completed"]
    assert sorted(event.job_id for event in ended) == [job.id for job in jobs]
    assert {event.job_id: event.data["result"] for event in ended} == {
        job.id: job.id for job in jobs
    }


async def test_metrics_count_it_and_the_time_it_ran(
    dsn: str, queue: Queue, effects: Effects
) -> None:
    queue.add_bulk([NewJob("n") for _ in range(4)])
    await drain(Worker("work", writes, dsn=dsn))
    assert sum(one.completed for one in queue.metrics()) == 4


async def test_a_deduplication_id_is_free_again(
    dsn: str, queue: Queue, effects: Effects
) -> None:
    first = queue.add("n", dedup=Dedup("one"))
    assert queue.add("n", dedup=Dedup("one")).id == first.id
    await drain(Worker("work", writes, dsn=dsn))
    assert queue.add("n", dedup=Dedup("one")).id != first.id
    await drain(Worker("work", writes, dsn=dsn))


async def test_the_room_that_it_leaves_in_a_limited_queue_is_used(
    dsn: str, queue: Queue, effects: Effects
) -> None:
    queue.set_concurrency(1)
    jobs = queue.add_bulk([NewJob("n") for _ in range(10)])
    first = Worker("work", writes, dsn=dsn, name="a")
    second = Worker("work", writes, dsn=dsn, name="b")
    async with first, second:
        await until_async(
            lambda: queue.counts().completed == len(jobs),
        )
    assert effects.counts() == {job.id: 1 for job in jobs}


async def test_others_hear_of_the_room_while_the_handler_still_works(
    dsn: str, queue: Queue, effects: Effects, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[Any] = []
    exchange = Session.exchange

    async def counted(session: Session, statements: Any) -> Any:
        sent.extend(one for one in statements if one.name == "look_at_limits")
        return await exchange(session, statements)

    behind, heard = asyncio.Event(), asyncio.Event()

    async def handler(job: Any) -> None:
        await writes(job)
        sent.clear()
        behind.set()
        await heard.wait()

    monkeypatch.setattr(Session, "exchange", counted)
    queue.set_concurrency(1)
    queue.add("n")
    async with Worker("work", handler, concurrency=1, dsn=dsn):
        await until_async(behind.is_set)
        await until_async(lambda: any(rings(one) for one in sent))
        heard.set()


async def test_room_that_is_made_during_a_round_trip_is_told_in_the_next(
    dsn: str, queue: Queue, effects: Effects, monkeypatch: pytest.MonkeyPatch
) -> None:
    exchange, hear = Session.exchange, RoundTrip.committed
    writing, committed, rung = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def held(session: Session, statements: Any) -> Any:
        if committed.is_set() and any(rings(one) for one in statements):
            rung.set()
        answers = await exchange(session, statements)
        if not writing.is_set() and any(
            one.name == "finish_jobs" for one in statements
        ):
            writing.set()
            await until_async(committed.is_set)
        return answers

    def hears(self: RoundTrip, job: Any, done: Any) -> None:
        hear(self, job, done)
        committed.set()

    async def handler(job: Any) -> None:
        if job.name == "commits":
            await writing.wait()
            await writes(job)
            # Its end would be told by itself.
            await rung.wait()

    monkeypatch.setattr(Session, "exchange", held)
    monkeypatch.setattr(RoundTrip, "committed", hears)
    queue.set_concurrency(2)
    queue.add("commits")
    queue.add("plain")
    async with Worker("work", handler, concurrency=2, dsn=dsn):
        await until_async(rung.is_set)


def rings(statement: Any) -> bool:
    return statement.name == "look_at_limits" and statement.params["ring"]


async def test_the_next_occurrence_of_a_schedule_follows(
    dsn: str, queue: Queue, effects: Effects
) -> None:
    queue.upsert_schedule("tick", every=1, name="n")
    async with Worker("work", writes, dsn=dsn):
        await until_async(lambda: len(effects.counts()) >= 3)
    queue.remove_schedule("tick")
    assert set(effects.counts().values()) == {1}


@pytest.mark.parametrize(
    "handler",
    [writes_in_a_transaction, writes_in_a_transaction_async],
    ids=["def", "async def"],
)
@pytest.mark.parametrize(
    ("data", "state", "count", "events"),
    [
        (None, "completed", 1, ["completed"]),
        ("raise", "failed", 0, ["failed"]),
        ("raise after", "completed", 1, ["completed", "error"]),
        ("die inside", "failed", 0, ["failed"]),
        ("die after", "completed", 1, ["completed", "error"]),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_it_works_in_a_process_of_its_own(  # noqa: PLR0917  a table
    dsn: str,
    queue: Queue,
    effects: Effects,
    handler: Any,
    data: str | None,
    state: str,
    count: int,
    events: list[str],
) -> None:
    job = queue.add("n", data)
    worker = Worker("work", handler, isolation="process", dsn=dsn)
    heard = Heard(worker, *HEARD)
    await drain(worker)
    assert heard.names() == events
    found = queue.get(job.id)
    assert found.state == state
    assert found.result == ({"wrote": job.id} if count else None)
    assert effects.of(job.id) == count


async def test_a_process_that_dies_between_the_commit_and_its_news_is_a_completion(
    dsn: str, queue: Queue, effects: Effects
) -> None:
    job = queue.add("n", "die in the commit")
    worker = Worker("work", writes_in_a_transaction, isolation="process", dsn=dsn)
    heard = Heard(worker, *HEARD)
    await drain(worker)
    assert heard.names() == ["completed"]
    assert queue.get(job.id).state == JobState.COMPLETED
    assert effects.of(job.id) == 1


async def test_a_process_keeps_to_the_retention_of_job_and_worker(
    dsn: str, queue: Queue, sql: Sql, effects: Effects
) -> None:
    mine = queue.add("n", remove_on_complete=5)
    other = queue.add("n")
    worker = Worker(
        "work",
        writes_in_a_transaction,
        isolation="process",
        remove_on_complete=9,
        dsn=dsn,
    )
    await drain(worker)
    rows = sql.all("SELECT job_id, keep_count FROM pgqueue.finished ORDER BY 1")
    assert [tuple(row) for row in rows] == [(mine.id, 5), (other.id, 9)]


@pytest.mark.parametrize("kind", ["async def", "def"])
async def test_each_job_of_a_batch_may_have_its_own(
    dsn: str, queue: Queue, effects: Effects, kind: str
) -> None:
    def batch(jobs: Any) -> None:
        for job in jobs:
            if job.data != "fail":
                with job.transaction() as connection:
                    connection.execute(write(job.id))
                    job.complete("wrote")
        raise ValueError("the rest")

    async def batch_async(jobs: Any) -> None:
        for job in jobs:
            if job.data != "fail":
                async with job.transaction() as connection:
                    await connection.execute(write(job.id))
                    job.complete("wrote")
        raise ValueError("the rest")

    good = queue.add_bulk([NewJob("n") for _ in range(3)])
    bad = queue.add("n", "fail")
    handler: Any = batch if kind == "def" else batch_async
    worker = Worker("work", handler, batch=Batch(10, min_size=4), dsn=dsn)
    heard = Heard(worker, "completed", "failed", "lease_lost")
    await drain(worker)
    assert sorted(heard.names()) == ["completed"] * 3 + ["failed"]
    assert [queue.get(job.id).result for job in good] == ["wrote"] * 3
    assert queue.get(bad.id).error == "the rest"
    assert effects.counts() == {job.id: 1 for job in good}
