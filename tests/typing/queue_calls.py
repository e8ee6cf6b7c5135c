"""What a user's type checker sees; read by mypy, never run.

A wrong call carries an ignore with its code: were it accepted, mypy would say that the
ignore is unused.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, assert_type

from pgqueue import (
    ActiveJob,
    AsyncQueue,
    Attempt,
    Backoff,
    Batch,
    Counts,
    Dedup,
    Event,
    Job,
    KeepJobs,
    Limits,
    LogLine,
    NewJob,
    Page,
    Queue,
    QueueEvents,
    QueueRetention,
    Schedule,
    SchedulePage,
    Worker,
)

if TYPE_CHECKING:
    import psycopg
    from sqlalchemy.ext.asyncio import AsyncSession
    from sqlalchemy.orm import Session


def adding(queue: Queue, connection: psycopg.Connection) -> None:
    assert_type(queue.add("paint", {"color": "blue"}, delay=5), Job)
    queue.add("paint", delay=timedelta(minutes=5), priority=2, lifo=True)
    queue.add("paint", run_at=datetime.now(UTC), attempts=3)
    queue.add("paint", backoff=Backoff.exponential(1, max=300, jitter=0.5))
    queue.add("paint", remove_on_complete=True, remove_on_fail=5000)
    queue.add("paint", remove_on_complete=KeepJobs(age=3600, count=1000))
    queue.add("paint", [1, "two", None, {"three": 3.0}], connection=connection)
    jobs = [NewJob("paint", {"color": color}, priority=2) for color in ("red", "blue")]
    assert_type(queue.add_bulk(jobs), list[Job])
    assert_type(queue.add_bulk(iter(jobs), count_only=True), int)


def adding_wrongly(queue: Queue) -> None:
    queue.add("paint", delay="5s")  # type: ignore[arg-type]
    queue.add("paint", priority="high")  # type: ignore[arg-type]
    queue.add("paint", {}, 5)  # type: ignore[call-arg]
    queue.add("paint", removeOnComplete=True)  # type: ignore[arg-type]


def scheduling(queue: Queue) -> None:
    assert_type(queue.upsert_schedule("a", cron="* * * * *", tz="UTC"), Schedule)
    queue.upsert_schedule("a", every=timedelta(hours=1), data=[1], missed="all")
    queue.upsert_schedule("a", every=5, missed="some")  # type: ignore[arg-type]
    assert_type(queue.schedules(limit=5), SchedulePage)
    assert_type(queue.get_schedule("a").next_runs(3), list[datetime])
    assert_type(queue.remove_schedule("a"), bool)


def steering(queue: Queue) -> None:
    assert_type(queue.retry(7, reset_attempts=True), Job)
    assert_type(queue.retry_all("failed", name="paint", limit=10), int)
    queue.retry_all("active")  # type: ignore[arg-type]
    assert_type(queue.promote_all(), int)
    assert_type(queue.cancel(7), Job)
    assert_type(queue.attempts(7), list[Attempt])
    assert_type(queue.logs(7, after=3, limit=5), list[LogLine])
    queue.add("paint", dedup=Dedup("one", ttl=5), backoff="mine", tags=["red"])
    Worker("paint", print, backoffs={"mine": lambda *_: 2.0})


def asking_and_clearing(queue: Queue) -> None:
    assert_type(queue.count(), int)
    assert_type(queue.counts(), Counts)
    assert_type(queue.jobs(["waiting", "failed"], limit=10), Page)
    assert_type(queue.drain(), int)
    assert_type(queue.clean(grace=60, limit=1000, state="paused"), list[int])
    queue.clean(60, state="finished")  # type: ignore[arg-type]
    queue.obliterate(force=True)


def following(events: QueueEvents, queue: Queue) -> None:
    for event in events.follow(timeout=1):
        assert_type(event, Event)
    assert_type(events.unsubscribe(), bool)
    queue.result(1, timeout=timedelta(seconds=5))
    queue.result(1, timeout="5s")  # type: ignore[arg-type]


async def the_same_with_await(queue: AsyncQueue) -> None:
    assert_type(await queue.add("paint", {"color": "blue"}, delay=5), Job)
    assert_type(await queue.add_bulk([NewJob("paint")]), list[Job])
    assert_type(await queue.add_bulk([NewJob("paint")], count_only=True), int)
    assert_type(await queue.count(), int)
    assert_type(await queue.clean(grace=60, state="failed"), list[int])


def functions_that_are_jobs(queue: Queue, worker: Worker) -> None:
    @queue.job(attempts=5)
    def welcome(name: str, *, loud: bool = False) -> int:
        return len(name)

    assert_type(welcome.add("ada", loud=True), Job)
    assert_type(welcome("ada"), int)
    welcome.add(3)  # type: ignore[arg-type]
    welcome.add("ada", quiet=True)  # type: ignore[call-arg]
    welcome.using(delay=5).add("ada")
    welcome.using(delay="5s")  # type: ignore[arg-type]
    queue.job(tries=5)  # type: ignore[call-overload]
    worker.register(welcome)

    @worker.handler("resize")
    def resize(job: ActiveJob) -> None: ...

    worker.handler(3)  # type: ignore[arg-type]


async def the_same_on_an_async_queue(queue: AsyncQueue) -> None:
    @queue.job()
    async def welcome(name: str) -> int:
        return len(name)

    assert_type(await welcome.add("ada"), Job)
    assert_type(await welcome("ada"), int)
    await welcome.add(3)  # type: ignore[arg-type]


def limits(queue: Queue, worker: Worker) -> None:
    worker.concurrency = 20
    queue.set_concurrency(None)
    queue.set_rate_limit(100, timedelta(minutes=1))
    assert_type(queue.limits(), Limits)
    assert_type(queue.retention(), QueueRetention)
    queue.set_retention(completed=KeepJobs(age=60), failed=None)
    queue.set_event_bounds(age=60, count=5)
    queue.set_concurrency("3")  # type: ignore[arg-type]


def batches() -> None:
    def each(jobs: list[ActiveJob]) -> dict[int, str]:
        jobs[0].complete({"n": 1})
        jobs[1].fail(ValueError("bad"))
        jobs[1].fail("bad")  # type: ignore[arg-type]
        return {job.id: job.name for job in jobs}

    Worker("work", each, batch=Batch(50, min_size=10, wait=timedelta(seconds=2)))
    Worker("work", each, batch=50)  # type: ignore[arg-type]


def transactions(job: ActiveJob, session: Session) -> None:
    with job.transaction() as connection:
        connection.execute("SELECT 1")
    with job.transaction(session) as same:
        same.flush()
    with job.transaction(connection="default") as alias:
        assert_type(alias, str)
    job.complete({"ok": True})


async def awaited_transactions(job: ActiveJob, session: AsyncSession) -> None:
    async with job.transaction() as connection:
        await connection.execute("SELECT 1")
    async with job.transaction(connection=session) as same:
        await same.flush()
