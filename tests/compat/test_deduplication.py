"""Duplicates in the compatibility module."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from compat.conftest import Heard
from pgqueue import Dedup
from pgqueue import Queue as NativeQueue
from pgqueue.errors import ConfigError
from waiting import until_async

if TYPE_CHECKING:
    from compat.conftest import Made
    from conftest import Sql
    from pgqueue.compat.bullmq import Job, Queue

WAITS = (
    "SELECT count(*) FROM pg_stat_activity"
    " WHERE datname = current_database() AND wait_event_type = 'Lock'"
)


@pytest.mark.parametrize("extra", [{}, {"ttl": 5000}, {"ttl": 5000, "extend": True}])
async def test_a_duplicate_is_the_job_that_stands(
    queue: Queue, extra: dict[str, Any]
) -> None:
    opts = {"deduplication": {"id": "d", **extra}}
    first = await queue.add("a", 1, opts)
    assert (await queue.add("a", 2, opts)).id == first.id
    assert await queue.getJobCountByTypes() == 1


async def test_a_delayed_duplicate_is_replaced_if_asked(queue: Queue) -> None:
    rule = {"id": "d", "ttl": 9000, "extend": True, "replace": True}
    opts = {"deduplication": rule, "delay": 9000}
    await queue.add("a", 1, opts)
    last = await queue.add("a", 2, opts)
    [standing] = await queue.getDelayed()
    assert (standing.id, standing.data) == (last.id, 2)


async def test_a_job_with_an_own_id_is_deduplicated_as_well(queue: Queue) -> None:
    rule = {"deduplication": {"id": "d"}}
    first = await queue.add("a", 1, {"jobId": "own-1", **rule})
    assert first.id == "own-1"
    assert (await queue.add("a", 2, {"jobId": "own-2", **rule})).id == "own-1"
    assert (await queue.add("a", 3, {"jobId": "own-1"})).id == "own-1"
    both = {"jobId": "own-3", "deduplication": {"id": "e"}}
    added = await queue.addBulk(
        [{"name": "a", "data": n, "opts": both} for n in range(2)]
    )
    assert [job.id for job in added] == ["own-3", "own-3"]
    assert [job.id for job in await queue.getWaiting()] == ["own-1", "own-3"]


async def test_an_own_id_that_is_taken_leaves_the_deduplication_id_free(
    queue: Queue,
) -> None:
    await queue.add("a", 1, {"jobId": "own-1"})
    rule = {"deduplication": {"id": "d"}}
    assert (await queue.add("a", 2, {"jobId": "own-1", **rule})).id == "own-1"
    assert (await queue.add("a", 3, {"jobId": "own-2", **rule})).id == "own-2"


async def test_what_is_kept_back_comes_with_its_own_id(
    made: Made, queue: Queue
) -> None:
    async def adds(job: Job, token: str) -> Any:
        if job.id == "own-0":
            for n in (1, 2):
                await queue.add("a", n, {"jobId": f"own-{n}", **rule})
        return job.data

    rule = {"deduplication": {"id": "d", "keepLastIfActive": True}}
    heard = Heard(made.worker(adds), "completed")
    await queue.add("a", 0, {"jobId": "own-0", **rule})
    calls = await heard.wait(2)
    assert [(call[1].id, call[2]) for call in calls] == [("own-0", 0), ("own-2", 2)]


async def test_the_latest_duplicate_is_kept_back_while_the_first_is_active(
    made: Made, queue: Queue
) -> None:
    async def adds(job: Job, token: str) -> Any:
        if job.data == 0:
            for n in (1, 2):
                await queue.add("a", n, opts)
        return job.data

    opts = {"deduplication": {"id": "d", "keepLastIfActive": True}}
    heard = Heard(made.worker(adds), "completed")
    await queue.add("a", 0, opts)
    assert [call[2] for call in await heard.wait(2)] == [0, 2]


async def test_the_kept_back_duplicate_ignores_the_ttl(
    made: Made, queue: Queue
) -> None:
    began, go_on = asyncio.Event(), asyncio.Event()

    async def holds(job: Job, token: str) -> Any:
        began.set()
        await go_on.wait()
        return job.data

    heard = Heard(made.worker(holds), "completed")
    rule = {"deduplication": {"id": "a", "ttl": 1, "keepLastIfActive": True}}
    await queue.add("paint", 1, rule)
    await began.wait()
    # Its ttl of a millisecond is over; it is kept back all the same.
    await queue.add("paint", 2, rule)
    await queue.add("paint", 3, rule)
    assert await queue.getJobCountByTypes("waiting") == 0
    go_on.set()
    assert [call[2] for call in await heard.wait(2)] == [1, 3]


async def test_the_job_that_holds_an_id_is_told(made: Made, queue: Queue) -> None:
    rule = {"deduplication": {"id": "d"}}
    assert await queue.getDeduplicationJobId("d") is None
    first = await queue.add("a", 1, rule)
    own = await queue.add("a", 1, {"jobId": "own", "deduplication": {"id": "e"}})
    assert await queue.getDeduplicationJobId("d") == first.id
    assert await queue.getDebounceJobId("e") == own.id == "own"
    assert await made.queue("another").getDeduplicationJobId("d") is None
    worker = made.worker(None)
    job = await worker.getNextJob("token")
    assert job is not None
    assert await queue.getDeduplicationJobId("d") == job.id
    await job.moveToCompleted(1, "token")
    assert await queue.getDeduplicationJobId("d") is None


async def test_an_id_is_held_until_its_ttl_is_over(
    made: Made, queue: Queue, sql: Sql
) -> None:
    rule = {"deduplication": {"id": "d", "ttl": 60_000}}
    first = await queue.add("a", 1, rule)
    job = await made.worker(None).getNextJob("token")
    assert job is not None
    await job.moveToCompleted(1, "token")
    assert await queue.getDeduplicationJobId("d") == first.id
    sql.run("UPDATE pgqueue.dedup SET expires_at = now() - interval '1 second'")
    assert await queue.getDeduplicationJobId("d") is None
    assert await queue.removeDeduplicationKey("d") == 0


@pytest.mark.parametrize("extra", [{}, {"ttl": 60_000}])
async def test_an_id_is_freed_while_its_job_stays(
    made: Made, queue: Queue, extra: dict[str, Any]
) -> None:
    rule = {"deduplication": {"id": "d", **extra}}
    await queue.add("a", 1, rule)
    assert await made.queue("another").removeDeduplicationKey("d") == 0
    assert await queue.removeDeduplicationKey("d") == 1
    assert await queue.removeDeduplicationKey("d") == 0
    second = await queue.add("a", 2, rule)
    assert await queue.getWaitingCount() == 2
    job = await made.worker(None).getNextJob("token")
    assert job is not None
    await job.moveToCompleted(1, "token")
    # The end of the job that had it frees nothing of the one that has it.
    assert await queue.getDeduplicationJobId("d") == second.id


async def test_what_is_kept_back_comes_when_its_id_is_freed(
    made: Made, queue: Queue
) -> None:
    rule = {"deduplication": {"id": "d", "keepLastIfActive": True}}
    await queue.add("a", 1, rule)
    worker = made.worker(None)
    first = await worker.getNextJob("token")
    assert first is not None
    await queue.add("a", 2, rule)
    assert await queue.removeDeduplicationKey("d") == 1
    second = await worker.getNextJob("token")
    assert second is not None
    assert second.data == 2
    assert await queue.getDeduplicationJobId("d") == second.id
    for job in (first, second):
        await job.moveToCompleted(1, "token")
    assert await queue.getJobCountByTypes("waiting", "delayed") == 0


@pytest.mark.parametrize("bad", [None, 5, ""])
async def test_an_id_is_a_text(queue: Queue, bad: Any) -> None:
    for call in (queue.getDeduplicationJobId, queue.removeDeduplicationKey):
        with pytest.raises(ConfigError, match="deduplication id"):
            await call(bad)


async def test_an_add_that_is_kept_back_at_that_moment_is_not_lost(
    made: Made, queue: Queue, dsn: str, sql: Sql
) -> None:
    await queue.add("a", 1, {"deduplication": {"id": "d", "keepLastIfActive": True}})
    worker = made.worker(None)
    first = await worker.getNextJob("token")
    assert first is not None
    native = NativeQueue("bull:paint", dsn=dsn)
    with psycopg.connect(dsn) as adds:
        rule = Dedup("d", keep_last_if_active=True)
        native.add("a", 2, dedup=rule, connection=adds)
        freeing = asyncio.ensure_future(queue.removeDeduplicationKey("d"))
        await until_async(lambda: sql.value(WAITS))
    assert await freeing == 1
    second = await worker.getNextJob("token")
    assert second is not None
    assert second.data == 2
