"""`job.transaction()`: the handler's writes and the completion, or neither."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from effects import write
from patience import drain, until, until_async
from pgqueue import (
    ConfigError,
    JobStateError,
    LeaseLost,
    PayloadError,
    Queue,
    RateLimited,
    RetryLater,
    Unrecoverable,
    UnsupportedConnection,
    Worker,
)
from working import KINDS, Facts, Heard

if TYPE_CHECKING:
    from collections.abc import Callable

    from conftest import Sql
    from effects import Effects

kinds = pytest.mark.parametrize("kind", KINDS)


World = tuple[str, Queue, "Effects"]


@pytest.fixture
def world(dsn: str, queue: Queue, effects: Effects) -> World:
    return dsn, queue, effects


def in_block(
    kind: str,
    body: Callable[[Any], Any] = lambda _job: None,
    after: Callable[[Any], Any] = lambda _job: None,
) -> Callable[[Any], Any]:
    """Return a handler that writes in its transaction, then does *body* in it."""

    def handler(job: Any) -> Any:
        with job.transaction() as connection:
            connection.execute(write(job.id))
            body(job)
        return after(job)

    async def on_the_loop(job: Any) -> Any:
        async with job.transaction() as connection:
            await connection.execute(write(job.id))
            body(job)
        return after(job)

    return handler if kind == "def" else on_the_loop


def raising(error: BaseException) -> Callable[[Any], None]:
    def body(_job: Any) -> None:
        raise error

    return body


@kinds
async def test_the_writes_and_the_completion_commit_together(
    dsn: str, queue: Queue, sql: Sql, effects: Effects, kind: str
) -> None:
    job = queue.add("n")
    worker = Worker("work", in_block(kind), dsn=dsn)
    heard = Heard(worker, "completed", "failed", "error", "lease_lost")
    await drain(worker)
    assert effects.of(job.id) == 1
    assert queue.get(job.id).state == "completed"
    assert heard.names() == ["completed"]
    transactions = sql.all(
        "SELECT f.xmin::text FROM pgqueue.finished f"
        " UNION SELECT e.xmin::text FROM public.effect e"
    )
    assert len(transactions) == 1


@kinds
async def test_an_exception_in_the_block_takes_back_both_and_fails_the_attempt(
    dsn: str, queue: Queue, effects: Effects, kind: str
) -> None:
    job = queue.add("n", attempts=2)
    error = ValueError("on purpose")
    worker = Worker("work", in_block(kind, raising(error)), dsn=dsn)
    heard = Heard(worker, "completed", "failed", "retrying", "error", "lease_lost")
    await drain(worker)
    assert effects.of(job.id) == 0
    failed = queue.get(job.id)
    assert (failed.state, failed.attempt, failed.error) == ("failed", 2, "on purpose")
    assert heard.names() == ["failed", "retrying", "failed"]


@kinds
@pytest.mark.parametrize(
    ("signal", "then"),
    [
        (Unrecoverable("no"), ("failed", 1)),
        (RetryLater(3600), ("delayed", 0)),
        (RateLimited(3600), ("waiting", 0)),
    ],
    ids=["Unrecoverable", "RetryLater", "RateLimited"],
)
async def test_a_signal_raised_in_the_block_takes_the_writes_back_and_counts_as_ever(
    world: World, kind: str, signal: BaseException, then: tuple[str, int]
) -> None:
    dsn, queue, effects = world
    job = queue.add("n", attempts=5)

    def found() -> tuple[str, int]:
        now = queue.get(job.id)
        return now.state, now.attempt

    async with Worker("work", in_block(kind, raising(signal)), dsn=dsn):
        await until_async(lambda: found() == then)
    assert effects.of(job.id) == 0


@kinds
async def test_the_result_is_what_complete_was_given_in_the_block(
    dsn: str, queue: Queue, kind: str
) -> None:
    job = queue.add("n")
    body = in_block(kind, lambda job: job.complete({"made": job.id}))
    worker = Worker("work", body, dsn=dsn)
    heard = Heard(worker, "completed", "error")
    await drain(worker)
    assert queue.get(job.id).result == {"made": job.id}
    [(_, result)] = heard.of("completed")
    assert result == {"made": job.id}
    assert not heard.of("error")


@kinds
async def test_a_result_that_cannot_be_stored_takes_back_the_writes(
    dsn: str, queue: Queue, effects: Effects, kind: str
) -> None:
    job = queue.add("n")
    caught: list[BaseException] = []

    def body(job: Any) -> None:
        try:
            job.complete({1, 2})
        except PayloadError as error:
            caught.append(error)
            raise

    await drain(Worker("work", in_block(kind, body), dsn=dsn))
    assert caught
    assert queue.get(job.id).state == "failed"
    assert effects.of(job.id) == 0


@kinds
async def test_what_is_raised_after_the_block_is_reported_and_changes_nothing(
    dsn: str, queue: Queue, effects: Effects, facts: Facts, kind: str
) -> None:
    job = queue.add("n", attempts=3)
    error = ValueError("too late")
    worker = Worker("work", in_block(kind, after=raising(error)), dsn=dsn)
    heard = Heard(worker, "completed", "failed", "error", "lease_lost")
    await drain(worker)
    assert queue.get(job.id).state == "completed"
    assert effects.of(job.id) == 1
    assert heard.names() == ["completed", "error"]
    assert heard.of("error") == [(error,)]
    [fact] = facts.of("worker.error")
    assert fact["error"] == "ValueError: too late"
    assert str(job.id) in fact["during"]


@kinds
async def test_a_value_returned_after_the_block_is_reported_as_lost(
    dsn: str, queue: Queue, kind: str
) -> None:
    job = queue.add("n")
    worker = Worker("work", in_block(kind, after=lambda _job: 42), dsn=dsn)
    heard = Heard(worker, "completed", "error")
    await drain(worker)
    assert queue.get(job.id).result is None
    [(error,)] = heard.of("error")
    assert "job.complete(value)" in str(error)


@kinds
async def test_a_handler_may_try_again_after_a_transaction_that_was_rolled_back(
    dsn: str, queue: Queue, effects: Effects, kind: str
) -> None:
    def handler(job: Any) -> None:
        for turn in range(3):
            try:
                with job.transaction() as connection:
                    connection.execute(write(job.id))
                    if turn < 2:
                        connection.execute("SELECT 1 / 0")
            except psycopg.errors.DivisionByZero:
                continue

    async def on_the_loop(job: Any) -> None:
        for turn in range(3):
            try:
                async with job.transaction() as connection:
                    await connection.execute(write(job.id))
                    if turn < 2:
                        await connection.execute("SELECT 1 / 0")
            except psycopg.errors.DivisionByZero:
                continue

    job = queue.add("n")
    worker = Worker("work", handler if kind == "def" else on_the_loop, dsn=dsn)
    await drain(worker)
    assert queue.get(job.id).state == "completed"
    assert effects.of(job.id) == 1


@kinds
async def test_a_handler_that_catches_what_failed_in_the_block_completes_as_ever(
    dsn: str, queue: Queue, effects: Effects, kind: str
) -> None:
    inner = in_block(kind, raising(KeyError("not there")))

    def handler(job: Any) -> str:
        with pytest.raises(KeyError):
            inner(job)
        return "without"

    async def on_the_loop(job: Any) -> str:
        with pytest.raises(KeyError):
            await inner(job)
        return "without"

    job = queue.add("n")
    worker = Worker("work", handler if kind == "def" else on_the_loop, dsn=dsn)
    await drain(worker)
    assert queue.get(job.id).result == "without"
    assert effects.of(job.id) == 0


@kinds
async def test_a_second_block_and_one_in_another_are_refused(
    dsn: str, queue: Queue, effects: Effects, kind: str
) -> None:
    said: list[str] = []

    def try_again(job: Any) -> None:
        with pytest.raises(JobStateError) as caught, job.transaction():
            pass
        said.append(caught.value.state)

    async def try_again_async(job: Any) -> None:
        with pytest.raises(JobStateError) as caught:
            async with job.transaction():
                pass
        said.append(caught.value.state)

    def handler(job: Any) -> None:
        with job.transaction() as connection:
            connection.execute(write(job.id))
            try_again(job)
        try_again(job)
        with pytest.raises(JobStateError):
            job.complete()

    async def on_the_loop(job: Any) -> None:
        async with job.transaction() as connection:
            await connection.execute(write(job.id))
            await try_again_async(job)
        await try_again_async(job)
        with pytest.raises(JobStateError):
            job.complete()

    job = queue.add("n")
    worker = Worker("work", handler if kind == "def" else on_the_loop, dsn=dsn)
    heard = Heard(worker, "completed", "error")
    await drain(worker)
    assert heard.names() == ["completed"]
    assert said == ["in a transaction of its own", "completed"]
    assert effects.of(job.id) == 1


async def test_misuse_is_refused_before_anything_is_written(
    dsn: str, queue: Queue, effects: Effects
) -> None:
    raised: list[BaseException] = []

    async def handler(job: Any) -> None:
        with pytest.raises(ConfigError, match="async with"), job.transaction():
            pass
        for wrong in (object(), dsn, 5):
            with pytest.raises(UnsupportedConnection):
                async with job.transaction(connection=wrong):
                    pass
        with pytest.raises(ConfigError, match="transaction"):
            job.complete(1)
        async with job.transaction():
            with pytest.raises(ConfigError, match="raising"):
                job.fail(ValueError())
        raised.append(ValueError())

    job = queue.add("n")
    await drain(Worker("work", handler, dsn=dsn))
    assert raised
    assert queue.get(job.id).state == "completed"
    assert not effects.counts()


@kinds
async def test_a_commit_in_the_block_is_noticed(
    dsn: str, queue: Queue, effects: Effects, kind: str
) -> None:
    """The writes are there then; that the job is not completed alone is told."""

    def handler(job: Any) -> None:
        with psycopg.connect(dsn) as mine, job.transaction(connection=mine):
            mine.execute(write(job.id))
            mine.commit()

    async def on_the_loop(job: Any) -> None:
        async with (
            await psycopg.AsyncConnection.connect(dsn) as mine,
            job.transaction(connection=mine),
        ):
            await mine.execute(write(job.id))
            await mine.commit()

    job = queue.add("n")
    worker = Worker("work", handler if kind == "def" else on_the_loop, dsn=dsn)
    await drain(worker)
    assert "inside its block" in (queue.get(job.id).error or "")


@kinds
async def test_a_commit_that_the_server_refuses_fails_the_attempt(
    dsn: str, queue: Queue, effects: Effects, kind: str
) -> None:
    effects.refuse_at_commit()
    job = queue.add("n")
    worker = Worker("work", in_block(kind), dsn=dsn)
    heard = Heard(worker, "completed", "failed", "lease_lost", "error")
    await drain(worker)
    assert queue.get(job.id).state == "failed"
    assert effects.of(job.id) == 0
    assert heard.names() == ["failed"]


@kinds
async def test_a_lost_lease_takes_back_the_writes(
    dsn: str, queue: Queue, sql: Sql, effects: Effects, kind: str
) -> None:
    caught: list[BaseException] = []

    def lose(job: Any) -> None:
        sql.run("DELETE FROM pgqueue.lease")
        sql.run("DELETE FROM pgqueue.job WHERE id = %s", [job.id])

    block = in_block(kind, lose)

    def handler(job: Any) -> None:
        try:
            block(job)
        except LeaseLost as error:
            caught.append(error)
            raise

    async def on_the_loop(job: Any) -> None:
        try:
            await block(job)
        except LeaseLost as error:
            caught.append(error)
            raise

    job = queue.add("n")
    worker = Worker("work", handler if kind == "def" else on_the_loop, dsn=dsn)
    heard = Heard(worker, "completed", "failed", "lease_lost")
    async with worker:
        await until_async(lambda: heard.of("lease_lost"))
    assert effects.of(job.id) == 0
    assert caught
    assert heard.names() == ["lease_lost"]


@kinds
async def test_a_job_that_is_cancelled_in_its_block_writes_nothing(
    dsn: str, queue: Queue, effects: Effects, kind: str
) -> None:
    inside = threading.Event()

    def handler(job: Any) -> None:
        with job.transaction() as connection:
            connection.execute(write(job.id))
            inside.set()
            until(lambda: job.cancelled)

    async def on_the_loop(job: Any) -> None:
        async with job.transaction() as connection:
            await connection.execute(write(job.id))
            inside.set()
            await asyncio.Event().wait()

    job = queue.add("n")
    worker = Worker("work", handler if kind == "def" else on_the_loop, dsn=dsn)
    async with worker:
        await until_async(inside.is_set)
        queue.cancel(job.id)
        await until_async(lambda: queue.get(job.id).state == "failed")
    assert queue.get(job.id).error == "cancelled"
    assert effects.of(job.id) == 0


@kinds
async def test_a_job_that_times_out_in_its_block_writes_nothing(
    dsn: str, queue: Queue, effects: Effects, kind: str
) -> None:
    refused: list[BaseException] = []

    block = in_block("def", lambda job: until(lambda: job.dropped))

    def handler(job: Any) -> None:
        try:
            block(job)
        except LeaseLost as error:
            refused.append(error)

    async def on_the_loop(job: Any) -> None:
        async with job.transaction() as connection:
            await connection.execute(write(job.id))
            await asyncio.Event().wait()

    job = queue.add("n", timeout=1)
    worker = Worker("work", handler if kind == "def" else on_the_loop, dsn=dsn)
    await drain(worker)
    assert "timeout" in (queue.get(job.id).error or "")
    if kind == "def":
        until(lambda: refused)
    assert effects.of(job.id) == 0


@kinds
async def test_a_timeout_after_the_commit_is_reported_and_frees_the_slot(
    dsn: str, queue: Queue, effects: Effects, kind: str
) -> None:
    release = threading.Event()
    block = in_block(kind)

    def handler(job: Any) -> None:
        block(job)
        if job.data == "slow":
            release.wait(60)

    async def on_the_loop(job: Any) -> None:
        await block(job)
        if job.data == "slow":
            await asyncio.Event().wait()

    slow = queue.add("n", "slow", timeout=1)
    quick = queue.add("n", "quick")
    worker = Worker(
        "work", handler if kind == "def" else on_the_loop, concurrency=1, dsn=dsn
    )
    heard = Heard(worker, "completed", "failed", "error", "lease_lost")
    await drain(worker)
    release.set()
    assert [queue.get(job.id).state for job in (slow, quick)] == ["completed"] * 2
    assert effects.counts() == {slow.id: 1, quick.id: 1}
    assert sorted(heard.names()) == ["completed", "completed", "error"]
    [(error,)] = heard.of("error")
    assert "timeout" in str(error)
