"""What is wrong from the start is said at the start."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from pgqueue import ConfigError, SchemaError, Worker, migrate
from pgqueue.errors import JobFailed
from waiting import until_async
from working import handler_of

if TYPE_CHECKING:
    from conftest import Sql
    from pgqueue import Queue


def no_argument() -> None: ...
def two_arguments(_job: Any, _other: Any) -> None: ...


def yields(_job: Any) -> Any:
    yield 1


async def yields_async(_job: Any) -> Any:
    yield 1


@pytest.mark.parametrize(
    "handler", [no_argument, two_arguments, yields, yields_async, 7]
)
def test_a_handler_that_cannot_take_a_job_and_return_is_refused(
    dsn: str, handler: Any
) -> None:
    with pytest.raises(ConfigError, match="one argument, the job"):
        Worker("work", handler, dsn=dsn)


async def test_a_worker_refuses_a_schema_older_than_it_needs(
    fresh_database: str,
) -> None:
    migrate.upgrade(fresh_database)
    migrate.downgrade(fresh_database, "0001")
    worker = Worker("work", handler_of("async def", print), dsn=fresh_database)
    with pytest.raises(SchemaError, match=r"revision 0001.*run: pgqueue migrate"):
        await worker.serve()


async def test_a_job_that_fails_by_stalling_is_told_as_failed(
    dsn: str, queue: Queue, sql: Sql
) -> None:
    job = queue.add("x")
    sql.run(
        "INSERT INTO pgqueue.lease SELECT 1, 99, now() - interval '1 minute', queue_id,"
        " ARRAY[job_id], ARRAY[1], ARRAY[0] FROM pgqueue.ready"
    )
    sql.run("DELETE FROM pgqueue.ready")
    heard: list[Any] = []
    worker = Worker("work", handler_of("def", print), max_stalled=0, lease=1, dsn=dsn)
    worker.on("failed", lambda gone, error: heard.append((gone, error)))
    async with worker:
        await until_async(lambda: heard, 10)
    [(gone, error)] = heard
    assert gone is None
    assert isinstance(error, JobFailed)
    assert (error.job_id, error.will_retry) == (job.id, False)
