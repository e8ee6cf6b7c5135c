"""`queue.result`: waits for a job, says what came of it, and never for nothing."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from pgqueue import AsyncQueue, ConfigError, JobFailed, JobNotFound, Queue, Worker
from waiting import until, until_async

if TYPE_CHECKING:
    from collections.abc import Iterator
    from concurrent.futures import Future

    from claims import HandWorker
    from conftest import Sql

CONSUMERS = "SELECT FROM pgqueue.subscriber"
LOOKING = (
    "SELECT FROM pg_stat_activity WHERE datname = current_database()"
    " AND query LIKE '%get_job: read%' AND pid <> pg_backend_pid()"
)
LISTENING = (
    "SELECT FROM pg_stat_activity WHERE datname = current_database()"
    " AND query LIKE 'LISTEN%'"
)


@pytest.fixture(params=["Queue", "AsyncQueue"])
def wait(request: pytest.FixtureRequest, dsn: str) -> Iterator[Any]:
    """Wait for a result in a thread; returns a future."""
    pool = ThreadPoolExecutor(10)

    def in_thread(job_id: int, **options: Any) -> Any:
        if request.param == "Queue":
            with Queue("paint", dsn=dsn) as queue:
                return queue.result(job_id, **options)

        async def awaited() -> Any:
            async with AsyncQueue("paint", dsn=dsn) as queue:
                return await queue.result(job_id, **options)

        return asyncio.run(awaited())

    def submit(job_id: int, **options: Any) -> Future[Any]:
        return pool.submit(in_thread, job_id, **options)

    yield submit
    pool.shutdown()


def test_a_result_is_returned_when_the_job_has_completed(
    queue: Queue, worker: HandWorker, wait: Any
) -> None:
    job = queue.add("a")
    waiting = wait(job.id)
    worker.finish(worker.claim(), result={"ok": 1})
    assert waiting.result(10) == {"ok": 1}
    assert queue.result(job.id, timeout=0) == {"ok": 1}


def test_a_failure_is_raised_once_it_is_final(
    queue: Queue, worker: HandWorker, wait: Any
) -> None:
    job = queue.add("a", attempts=2)
    waiting = wait(job.id, timeout=20)
    worker.finish(worker.claim(), "waiting", seq=None, error="once")
    worker.fail(worker.claim())
    with pytest.raises(JobFailed, match="it broke") as raised:
        waiting.result(10)
    assert raised.value.job_id == job.id


def test_a_job_that_is_removed_meanwhile_is_not_found(queue: Queue, wait: Any) -> None:
    job = queue.add("a")
    waiting = wait(job.id)
    queue.remove(job.id)
    with pytest.raises(JobNotFound):
        waiting.result(10)
    with pytest.raises(JobNotFound):
        queue.result(job.id)


def test_a_timeout_is_raised_in_time(queue: Queue, wait: Any) -> None:
    job = queue.add("a", remove_on_complete=True)
    with pytest.raises(TimeoutError, match=f"job {job.id} has not ended"):
        wait(job.id, timeout=0.05).result(10)
    with pytest.raises(TimeoutError):
        queue.result(queue.add("b").id, timeout=0)


@pytest.mark.parametrize("wrong", [-1, "5s"])
def test_a_wrong_timeout_is_refused(queue: Queue, wrong: Any) -> None:
    with pytest.raises(ConfigError):
        queue.result(1, timeout=wrong)


def test_a_job_that_removes_itself_gives_its_result_to_all_who_wait(
    queue: Queue, worker: HandWorker, wait: Any, sql: Sql
) -> None:
    job = queue.add("a", remove_on_complete=True)
    waiting = [wait(job.id) for _ in range(3)]
    until(lambda: len(sql.all(CONSUMERS)) == 3)
    # Each has looked again after it had subscribed, or will find its event.
    worker.finish(worker.claim(), "removed", ended="completed", result=[1])
    assert [one.result(10) for one in waiting] == [[1]] * 3
    assert not sql.all(CONSUMERS)
    assert not sql.value("SELECT events FROM pgqueue.queue")


def test_a_failure_that_removes_itself_is_raised(
    queue: Queue, worker: HandWorker, wait: Any, sql: Sql
) -> None:
    job = queue.add("a", remove_on_fail=True)
    waiting = wait(job.id)
    until(lambda: sql.all(CONSUMERS))
    worker.finish(worker.claim(), "removed", ended="failed", error="no")
    with pytest.raises(JobFailed, match="no"):
        waiting.result(10)


def test_an_open_transaction_elsewhere_holds_no_result_up(
    dsn: str, queue: Queue, worker: HandWorker, wait: Any, sql: Sql
) -> None:
    job = queue.add("a", remove_on_complete=True)
    with psycopg.connect(dsn) as other:
        other.execute("SELECT pg_current_xact_id()")
        waiting = wait(job.id)
        until(lambda: sql.all(CONSUMERS))
        worker.finish(worker.claim(), "removed", ended="completed", result=2)
        assert waiting.result(10) == 2


@pytest.mark.parametrize("keep", [None, True])
def test_no_notification_is_needed(
    queue: Queue,
    worker: HandWorker,
    wait: Any,
    sql: Sql,
    keep: Any,
) -> None:
    job = queue.add("a", remove_on_complete=keep)
    waiting = wait(job.id)
    until(lambda: sql.all(LOOKING))
    if keep:
        until(lambda: sql.all(CONSUMERS))
    assert not sql.all(LISTENING)
    ended = {"state": "removed", "ended": "completed"} if keep else {}
    worker.finish(worker.claim(), result=4, **ended)
    assert waiting.result(10) == 4


def test_a_callers_connection_is_only_looked_through(
    dsn: str, queue: Queue, worker: HandWorker, sql: Sql
) -> None:
    job = queue.add("a", remove_on_complete=True)
    with psycopg.connect(dsn) as own:
        with pytest.raises(TimeoutError):
            queue.result(job.id, timeout=0.05, connection=own)
        assert not sql.all(CONSUMERS)
        finishing = threading.Timer(
            0.1, lambda: worker.finish(worker.claim(), result=3)
        )
        finishing.start()
        assert queue.result(job.id, timeout=10, connection=own) == 3
        finishing.join()


async def test_consumers_of_calls_that_died_are_forgotten(
    dsn: str, queue: Queue, sql: Sql
) -> None:
    queue.add("a")
    sql.run("UPDATE pgqueue.queue SET events = true")
    sql.run(
        "INSERT INTO pgqueue.subscriber (queue_id, consumer, xid, event_id, seen_at)"
        " SELECT id, 'result:x', 0, 0, now() - interval '2 minutes' FROM pgqueue.queue"
    )

    async def handler(_job: Any) -> None: ...

    worker = Worker("paint", handler, lease=1, dsn=dsn)
    async with worker:
        await until_async(lambda: not sql.value("SELECT events FROM pgqueue.queue"))
    assert not sql.all(CONSUMERS)
