"""Backoff strategies by name, and jobs that expire before they start."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from pgqueue import Backoff, ConfigError, NewJob, Queue, Worker
from pgqueue.testing import travel
from pgqueue.worker import strategies
from waiting import until_async
from working import KINDS, Heard, drain, handler_of

if TYPE_CHECKING:
    from conftest import Sql

each_kind = pytest.mark.parametrize("kind", KINDS)


def broken(job: Any) -> None:
    raise ValueError("no paint left")


async def run_with(dsn: str, function: Any, kind: str = "async def") -> Heard:
    """Drain the queue with a handler that fails and one strategy."""
    worker = Worker(
        "work", handler_of(kind, broken), backoffs={"mine": function}, dsn=dsn
    )
    heard = Heard(worker, "failed", "error")
    await drain(worker)
    return heard


@each_kind
async def test_a_strategy_is_asked_with_the_attempt_the_error_and_the_job(
    dsn: str, queue: Queue, kind: str
) -> None:
    asked: list[tuple[int, str, int]] = []

    def mine(attempt: int, error: BaseException, job: Any) -> float:
        asked.append((attempt, str(error), job.id))
        return 0

    job = queue.add("paint", attempts=3, backoff="mine")
    await run_with(dsn, mine, kind)
    assert asked == [(1, "no paint left", job.id), (2, "no paint left", job.id)]
    assert (queue.get(job.id).state, queue.get(job.id).attempt) == ("failed", 3)


@each_kind
async def test_a_strategys_delay_may_be_a_timedelta_and_awaited(
    dsn: str, queue: Queue, kind: str
) -> None:
    async def mine(attempt: int, error: BaseException, job: Any) -> timedelta:
        return timedelta(hours=1)

    job = queue.add("paint", attempts=3, backoff="mine")
    await run_with(dsn, mine, kind)
    found = queue.get(job.id)
    assert (found.state, found.attempt, found.error) == ("delayed", 1, "no paint left")
    assert found.run_at
    assert found.run_at - found.created_at > timedelta(minutes=59)


async def test_a_negative_delay_fails_the_job_now(dsn: str, queue: Queue) -> None:
    job = queue.add("paint", attempts=9, backoff="mine")
    heard = await run_with(dsn, lambda *_: -1)
    assert (queue.get(job.id).state, queue.get(job.id).attempt) == ("failed", 1)
    ((_, error),) = heard.of("failed")
    assert not error.will_retry


def raises(attempt: int, error: BaseException, job: Any) -> float:
    raise RuntimeError("the strategy broke")


async def hangs(attempt: int, error: BaseException, job: Any) -> float:
    await asyncio.Event().wait()
    return 0


@pytest.mark.parametrize(
    "function",
    [
        raises,
        hangs,
        lambda *_: "soon",
        lambda *_: float("nan"),
        lambda *_: None,
        lambda: 0,
    ],
    ids=["raises", "hangs", "text", "nan", "nothing", "wrong arguments"],
)
async def test_a_strategy_that_goes_wrong_loses_no_job(
    dsn: str, queue: Queue, function: Any, monkeypatch: pytest.MonkeyPatch, sql: Sql
) -> None:
    monkeypatch.setattr(strategies, "PATIENCE", 0.05)
    monkeypatch.setattr(strategies, "DEFAULT_DELAY", 3600.0)
    job = queue.add("paint", attempts=3, backoff="mine")
    heard = await run_with(dsn, function)
    assert queue.get(job.id).state == "delayed"
    assert len(heard.of("error")) == 1


async def test_an_unknown_strategy_is_reported_and_retried(
    dsn: str, queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(strategies, "DEFAULT_DELAY", 3600.0)
    job = queue.add("paint", attempts=2, backoff="yours")
    heard = await run_with(dsn, lambda *_: 0)
    ((error,),) = heard.of("error")
    assert "'yours'" in str(error)
    assert "mine" in str(error)
    assert (queue.get(job.id).state, queue.get(job.id).attempt) == ("delayed", 1)


async def test_a_stop_gives_back_what_a_strategy_still_thinks_about(
    dsn: str, queue: Queue
) -> None:
    asked = asyncio.Event()

    async def mine(attempt: int, error: BaseException, job: Any) -> float:
        asked.set()
        await asyncio.Event().wait()
        return 0

    job = queue.add("paint", attempts=3, backoff="mine")
    worker = Worker(
        "work",
        handler_of("async def", broken),
        backoffs={"mine": mine},
        shutdown_timeout=0,
        dsn=dsn,
    )
    async with asyncio.timeout(20), worker:
        await asked.wait()
    found = queue.get(job.id)
    assert (found.state, found.attempt, found.stalled) == ("waiting", 0, 1)


@pytest.mark.parametrize("given", ["mine", {"mine": 5}, {"": print}])
def test_strategies_are_checked_before_anything_runs(given: Any) -> None:
    with pytest.raises(ConfigError, match="backoff"):
        Worker("work", broken, backoffs=given)


@each_kind
async def test_a_job_that_expired_fails_and_its_handler_is_not_called(
    dsn: str, queue: Queue, kind: str, sql: Sql
) -> None:
    late = queue.add("late", expires=60, attempts=5)
    travel(seconds=61, connection=sql.connection)
    fresh = queue.add("fresh", expires=timedelta(minutes=1))
    called: list[str] = []
    worker = Worker(
        "work", handler_of(kind, lambda job: called.append(job.name)), dsn=dsn
    )
    heard = Heard(worker, "failed")
    await drain(worker)
    assert called == ["fresh"]
    found = queue.get(late.id)
    assert (found.state, found.attempt) == ("failed", 1)
    assert found.error == "expired before a worker could start it"
    ((_, error),) = heard.of("failed")
    assert not error.will_retry
    assert queue.get(fresh.id).state == "completed"


@each_kind
async def test_an_instant_that_is_over_is_too_late_as_well(
    dsn: str, queue: Queue, kind: str
) -> None:
    now = datetime.now(UTC)
    late = queue.add("late", expires=now - timedelta(minutes=5))
    fresh = queue.add("fresh", expires=now + timedelta(minutes=5))
    called: list[str] = []
    body = handler_of(kind, lambda job: called.append(job.name))
    await drain(Worker("work", body, dsn=dsn))
    assert called == ["fresh"]
    assert queue.get(late.id).error == "expired before a worker could start it"
    assert queue.get(fresh.id).state == "completed"


async def test_a_job_that_expired_counts_as_waiting_until_a_worker_comes_to_it(
    dsn: str, queue: Queue, sql: Sql
) -> None:
    late = queue.add("late", delay=30, expires=60)
    queue.pause()
    travel(seconds=61, connection=sql.connection)
    body = handler_of("def", lambda _: None)
    async with Worker("work", body, dsn=dsn):
        await until_async(lambda: queue.get(late.id).state == "waiting")
        assert queue.counts().failed == 0
        queue.resume()
        await until_async(lambda: queue.get(late.id).state == "failed")


async def test_a_job_that_expired_expires_again_when_it_is_retried(
    dsn: str, queue: Queue, sql: Sql
) -> None:
    late = queue.add("late", expires=60)
    travel(seconds=61, connection=sql.connection)
    called: list[str] = []
    body = handler_of("def", lambda job: called.append(job.name))
    await drain(Worker("work", body, dsn=dsn))
    queue.retry(late.id, reset_attempts=True)
    await drain(Worker("work", body, dsn=dsn))
    assert queue.get(late.id).error == "expired before a worker could start it"
    assert not called


async def test_jitter_spreads_the_retries_of_many(dsn: str, queue: Queue) -> None:
    backoff = Backoff.fixed(1000, jitter=0.5)
    jobs = queue.add_bulk([NewJob("n", attempts=2, backoff=backoff)] * 20)
    await drain(Worker("work", handler_of("def", broken), dsn=dsn))
    waits = []
    for job in queue.jobs("delayed"):
        [failed] = queue.attempts(job.id)
        assert job.run_at
        waits.append((job.run_at - failed.finished_at).total_seconds())
    assert len(waits) == len(jobs)
    # A second for the two clock readings of a statement.
    assert all(499 < wait < 1001 for wait in waits)
    assert max(waits) - min(waits) > 100


async def test_a_retry_that_would_start_too_late_is_not_made(
    dsn: str, queue: Queue, sql: Sql
) -> None:
    job = queue.add("paint", expires=60, attempts=5)
    calls: list[int] = []

    async def age(job: Any) -> None:
        calls.append(job.attempt)
        sql.run("UPDATE pgqueue.job SET created_at = created_at - interval '1 hour'")
        raise ValueError("first")

    await drain(Worker("work", age, dsn=dsn))
    assert calls == [1]
    assert queue.get(job.id).error == "expired before a worker could start it"
