"""`travel` moves the queue's clock: whatever waits for time sees it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from pgqueue import AsyncQueue, Backoff, ConfigError, Dedup, KeepJobs
from pgqueue.testing import arun_pending, atravel, run_pending, travel

if TYPE_CHECKING:
    from pgqueue import ActiveJob, Queue
    from pgqueue.testing import Run

Connection = psycopg.Connection[Any]


def echo(job: ActiveJob) -> Any:
    return job.data


def fail(job: ActiveJob) -> None:
    raise ValueError(job.attempt)


def due(queue: Queue, connection: Connection, handler: Any = echo) -> list[Run]:
    return run_pending(handler, queue=queue, connection=connection)


def test_a_delayed_job_is_due_when_its_time_has_passed(
    queue: Queue, connection: Connection
) -> None:
    queue.add("welcome", 7, delay=timedelta(minutes=5), connection=connection)
    travel(minutes=4, queue=queue, connection=connection)
    assert due(queue, connection) == []
    travel(minutes=1, queue=queue, connection=connection)
    assert [run.result for run in due(queue, connection)] == [7]


def test_a_rollback_takes_the_journey_back(
    queue: Queue, connection: Connection
) -> None:
    job = queue.add("welcome", delay=300)
    travel(hours=1, queue=queue, connection=connection)
    connection.rollback()
    assert queue.get(job.id).run_at == job.run_at


def test_backoff_is_waited_for(queue: Queue, connection: Connection) -> None:
    backoff = Backoff.exponential(60)
    queue.add("welcome", attempts=3, backoff=backoff, connection=connection)
    endings = []
    for seconds in (0.001, 60, 59, 61, 3600):
        travel(seconds=seconds, queue=queue, connection=connection)
        endings.append([run.ending for run in due(queue, connection, fail)])
    assert endings == [["retry"], ["retry"], [], ["failed"], []]


@pytest.mark.parametrize("until", [60, datetime.now(UTC) + timedelta(seconds=60)])
def test_a_job_expires(
    queue: Queue, connection: Connection, until: float | datetime
) -> None:
    if isinstance(until, datetime):
        until = datetime.now(UTC) + timedelta(seconds=60)
    job = queue.add("welcome", expires=until, connection=connection)
    travel(minutes=2, queue=queue, connection=connection)
    [run] = due(queue, connection)
    assert run.ending == "failed"
    assert "expired" in (queue.get(job.id, connection=connection).error or "")


def test_a_schedule_goes_on(queue: Queue, connection: Connection) -> None:
    queue.upsert_schedule("report", every=3600, name="report", connection=connection)
    due(queue, connection)
    for _ in range(2):
        travel(hours=1, queue=queue, connection=connection)
        assert [run.job.schedule for run in due(queue, connection)] == ["report"]
    assert due(queue, connection) == []


def test_a_deduplication_id_is_free_after_its_time(
    queue: Queue, connection: Connection
) -> None:
    dedup = Dedup("once", ttl=60)
    first = queue.add("welcome", dedup=dedup, connection=connection)
    assert queue.add("welcome", dedup=dedup, connection=connection).id == first.id
    travel(seconds=61, queue=queue, connection=connection)
    assert queue.add("welcome", dedup=dedup, connection=connection).id != first.id


def test_a_rate_limit_has_room_after_its_window(
    queue: Queue, connection: Connection
) -> None:
    queue.set_rate_limit(2, per=60, connection=connection)
    for n in range(5):
        queue.add("welcome", n, connection=connection)
    counts = [len(due(queue, connection))]
    for _ in range(2):
        travel(seconds=70, queue=queue, connection=connection)
        counts.append(len(due(queue, connection)))
    assert counts == [2, 2, 1]


def test_retention_is_applied(queue: Queue, connection: Connection) -> None:
    keep = KeepJobs(age=3600)
    queue.add("welcome", remove_on_complete=keep, connection=connection)
    due(queue, connection)
    assert queue.counts(connection=connection).completed == 1
    travel(minutes=61, queue=queue, connection=connection)
    due(queue, connection)
    assert queue.counts(connection=connection).completed == 0


def test_a_lease_ends(queue: Queue, connection: Connection, dsn: str) -> None:
    from claims import HandWorker  # noqa: PLC0415

    queue.add("welcome", 7)
    hand = HandWorker(dsn, "mail")
    try:
        assert hand.claim()
        assert due(queue, connection) == []
        connection.rollback()
        travel(hours=1, queue=queue)
        assert [run.result for run in due(queue, connection)] == [7]
    finally:
        connection.rollback()
        hand.close()


async def test_an_async_test_travels_too(dsn: str) -> None:
    queue = AsyncQueue("mail", dsn=dsn)
    async with await psycopg.AsyncConnection.connect(dsn) as connection:
        await queue.add("welcome", delay=300, connection=connection)
        assert await arun_pending(echo, queue=queue, connection=connection) == []
        await atravel(minutes=5, connection=connection, queue=queue)
        assert await arun_pending(echo, queue=queue, connection=connection)
        await connection.rollback()
    await queue.close()


@pytest.mark.parametrize("bad", [{}, {"minutes": -1}, {"hours": "1"}, {"days": 1e12}])
def test_only_more_time_can_pass(bad: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        travel(dsn="postgresql://nowhere.invalid/x", **bad)
