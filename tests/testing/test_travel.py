"""`travel` moves the queue's clock: whatever waits for time sees it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

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


def test_a_cadence_is_kept_however_the_time_is_cut(
    queue: Queue, connection: Connection
) -> None:
    start = datetime.now(UTC) + timedelta(minutes=12)
    queue.upsert_schedule("report", every=3600, start=start, connection=connection)
    counts = []
    for _ in range(10):
        travel(minutes=50, queue=queue, connection=connection)
        counts.append(len(due(queue, connection)))
    # At 12, 72, 132, 192 | 252, 312, 372, 432, 492 minutes.
    assert counts == [1, 1, 1, 1, 0, 1, 1, 1, 1, 1]


def test_a_weekly_job_runs_once_a_week_and_knows_for_when(
    queue: Queue, connection: Connection
) -> None:
    berlin = ZoneInfo("Europe/Berlin")
    queue.upsert_schedule(
        "weekly", cron="0 9 * * MON", tz="Europe/Berlin", connection=connection
    )
    expected = queue.get_schedule("weekly", connection=connection).next_runs(4)
    seen = []

    def handle(job: ActiveJob) -> None:
        seen.append(job.scheduled_at)

    begin = datetime.now(UTC)
    for _ in range(28):
        travel(days=1, queue=queue, connection=connection)
        due(queue, connection, handle)
    assert seen == expected
    assert {
        (at.astimezone(berlin).weekday(), at.astimezone(berlin).hour) for at in seen
    } == {(0, 9)}
    pending = queue.get_schedule("weekly", connection=connection)
    assert pending.next_at is not None
    assert timedelta(0) < pending.next_at - begin <= timedelta(days=7, minutes=5)


def test_an_occurrence_expires_after_its_own_time(
    queue: Queue, connection: Connection
) -> None:
    start = datetime.now(UTC) + timedelta(hours=1)
    queue.upsert_schedule(
        "report", every=86400, start=start, expires=600, connection=connection
    )
    endings = []
    for minutes in (65, 24 * 60, 24 * 60 + 30):
        travel(minutes=minutes, queue=queue, connection=connection)
        endings += [run.ending for run in due(queue, connection)]
    assert endings == ["completed", "completed", "failed"]


def test_missed_occurrences_are_all_made_up_for(
    queue: Queue, connection: Connection
) -> None:
    start = datetime.now(UTC) + timedelta(minutes=30)
    queue.upsert_schedule(
        "report", every=3600, start=start, missed="all", connection=connection
    )
    travel(hours=5, queue=queue, connection=connection)
    runs = due(queue, connection)
    assert [run.job.scheduled_at for run in runs] == [
        start + timedelta(hours=n) for n in range(5)
    ]


def test_a_schedule_ends_when_its_calendar_says_so(
    queue: Queue, connection: Connection
) -> None:
    start = datetime.now(UTC) + timedelta(minutes=30)
    queue.upsert_schedule(
        "report",
        every=3600,
        start=start,
        end=start + timedelta(hours=2),
        connection=connection,
    )
    counts = []
    for _ in range(4):
        travel(hours=1, queue=queue, connection=connection)
        counts.append(len(due(queue, connection)))
    assert counts == [1, 1, 1, 0]
    assert queue.get_schedule("report", connection=connection).ended


def test_an_application_that_starts_again_keeps_the_calendar(
    queue: Queue, connection: Connection
) -> None:
    def upsert(data: int) -> datetime:
        made = queue.upsert_schedule(
            "report", every=3600, start=start, data=data, connection=connection
        )
        assert made.next_at is not None
        return made.next_at

    start = datetime.now(UTC) + timedelta(minutes=12)
    upsert(1)
    travel(minutes=50, queue=queue, connection=connection)
    due(queue, connection)
    before = queue.get_schedule("report", connection=connection).next_at
    assert upsert(2) == before
    travel(minutes=50, queue=queue, connection=connection)
    [run] = due(queue, connection)
    assert (run.result, run.job.scheduled_at) == (2, start + timedelta(hours=1))


def test_a_schedule_that_was_paused_goes_on_by_its_calendar(
    queue: Queue, connection: Connection
) -> None:
    start = datetime.now(UTC) + timedelta(minutes=12)
    queue.upsert_schedule("report", every=3600, start=start, connection=connection)
    queue.pause_schedule("report", connection=connection)
    travel(minutes=50, queue=queue, connection=connection)
    resumed = queue.resume_schedule("report", connection=connection)
    assert resumed.next_at == start + timedelta(minutes=60 - 50)
    assert "travelled" not in resumed.to_dict()


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


def test_a_group_has_room_after_its_window(
    queue: Queue, connection: Connection
) -> None:
    queue.set_group_rate_limit("a", 2, per=60, connection=connection)
    for n in range(5):
        queue.add("welcome", n, group="a", connection=connection)
    found = [[run.result for run in due(queue, connection)]]
    assert queue.group("a", connection=connection).state == "limited"
    for _ in range(2):
        travel(seconds=70, queue=queue, connection=connection)
        found.append([run.result for run in due(queue, connection)])
    assert found == [[0, 1], [2, 3], [4]]


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
