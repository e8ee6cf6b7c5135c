"""The seed's snippets in their Python form."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from pgqueue.compat.bullmq import Job, Queue, Worker

if TYPE_CHECKING:
    from conftest import Sql


@pytest.fixture(autouse=True)
def _configured(dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGQUEUE_DSN", dsn)


async def test_the_queue() -> None:
    queue = Queue()
    await queue.add("paint", {"color": "blue"}, {"delay": 5000})
    assert len(await queue.addBulk([{}, {}])) == 2
    assert await queue.count() == 3
    await queue.close()


async def test_auto_removal(sql: Sql) -> None:
    my_queue = Queue("mine")
    await my_queue.add(
        "test", {"foo": "bar"}, {"removeOnComplete": True, "removeOnFail": True}
    )
    await my_queue.add(
        "test", {"foo": "bar"}, {"removeOnComplete": 1000, "removeOnFail": 5000}
    )
    await my_queue.add(
        "test",
        {"foo": "bar"},
        {
            "removeOnComplete": {
                "age": 60 * 60,  # keep up to 1 hour
                "count": 1000,  # keep up to 1000 jobs
            },
            "removeOnFail": {
                "age": 24 * 60 * 60,  # keep up to 24 hours
            },
        },
    )
    kept = sql.all(
        "SELECT options -> 'remove_on_complete' AS rule FROM pgqueue.job ORDER BY id"
    )
    assert [row.rule for row in kept] == [True, 1000, {"age": 3600.0, "count": 1000}]
    await my_queue.close()


async def test_removing_jobs() -> None:
    queue = Queue("paint")
    await queue.add("paint", {})
    await queue.drain()
    assert await queue.count() == 0
    await queue.pause()
    await queue.add("paint", {})
    deleted_job_ids = await queue.clean(
        60000,  # 1 minute
        1000,  # max number of jobs to clean
        "paused",
    )
    assert deleted_job_ids == []
    await queue.obliterate()
    assert await queue.count() == 0
    await queue.close()


async def test_workers() -> None:
    persisted: list[Any] = []
    told: list[Any] = []
    done = asyncio.Event()

    async def persist_cart(data: Any) -> None:
        persisted.append(data)
        if data is None:
            raise RuntimeError("no cart")

    async def process(job: Job) -> str:
        # Optionally report some progress
        await job.updateProgress(42)

        # Optionally sending an object as progress
        await job.updateProgress({"foo": "bar"})

        # Do something with job
        await persist_cart(job.data)

        return "some value"

    worker = Worker("carts", process)

    def on_error(err: BaseException) -> None:
        told.append(err)

    def on_completed(job: Job, returnvalue: Any) -> None:
        told.append((job.id, returnvalue))

    def on_failed(job: Job, error: BaseException, prev: str) -> None:
        told.append((job.id, str(error), prev))
        done.set()

    worker.on("error", on_error)
    worker.on("completed", on_completed)
    worker.on("failed", on_failed)

    queue = Queue("carts")
    await queue.add("cart", {"items": 2})
    await queue.add("cart", None)
    async with asyncio.timeout(10):
        await done.wait()
    assert persisted == [{"items": 2}, None]
    assert told == [("1", "some value"), ("2", "no cart", "active")]
    await worker.close()
    await queue.close()
