"""The server did it, and the answer was lost: nobody may do it twice, or never."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from pgqueue import NewJob, Queue, Worker
from proxy import Proxy
from waiting import SOON, until_async
from working import Facts, Heard

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

TROUBLE = ("completed", "failed", "retrying", "lease_lost", "error", "stalled")


@pytest.fixture
async def proxy(dsn: str) -> AsyncIterator[Proxy]:
    async with Proxy(dsn) as proxy:
        yield proxy


def once(proxy: Proxy, *, request: bytes = b"", answer: bytes = b"") -> None:
    """Swallow the first answer that fits."""
    proxy.eat = lambda asked, answered: (
        not proxy.eaten and request in asked and answer in answered
    )


async def test_a_claim_whose_answer_is_lost_is_adopted_at_once(
    queue: Queue, proxy: Proxy
) -> None:
    runs: Counter[int] = Counter()

    async def handler(job: Any) -> None:
        runs[job.id] += 1

    once(proxy, answer=b"in the lost claim")
    worker = Worker("work", handler, dsn=proxy.dsn, lease=30)
    heard = Heard(worker, *TROUBLE)
    async with worker:
        job = queue.add("n", "in the lost claim")
        await until_async(lambda: queue.get(job.id).state == "completed", SOON)
    assert proxy.eaten == 1
    assert runs == {job.id: 1}
    assert heard.names() == ["completed"]
    assert (queue.get(job.id).attempt, queue.get(job.id).stalled) == (1, 0)


@pytest.mark.parametrize("remove", [True, False])
async def test_a_finish_whose_answer_is_lost_counts_once(
    queue: Queue, proxy: Proxy, remove: bool
) -> None:
    runs: Counter[int] = Counter()

    async def handler(job: Any) -> None:
        runs[job.id] += 1

    # The text of remove_completed goes out once, when it is prepared.
    once(proxy, request=b"AS o(lease, job_id)" if remove else b'"state":"completed"')
    worker = Worker("work", handler, dsn=proxy.dsn, lease=30)
    heard = Heard(worker, *TROUBLE)
    async with worker:
        job = queue.add("n", remove_on_complete=remove)
        await until_async(lambda: heard.of("completed"), SOON)
        await until_async(lambda: queue.counts().active == 0, SOON)
    assert proxy.eaten == 1
    assert runs == {job.id: 1}
    assert heard.names() == ["completed"]


async def test_a_retry_whose_answer_is_lost_is_one_retry(
    queue: Queue, proxy: Proxy
) -> None:
    runs: Counter[int] = Counter()

    async def handler(job: Any) -> None:
        runs[job.attempt] += 1
        if job.attempt == 1:
            raise OSError("once")

    once(proxy, request=b'"state": "waiting"')
    worker = Worker("work", handler, dsn=proxy.dsn, lease=30)
    heard = Heard(worker, *TROUBLE)
    async with worker:
        job = queue.add("n", attempts=3)
        await until_async(lambda: queue.get(job.id).state == "completed", SOON)
    assert proxy.eaten == 1
    assert runs == {1: 1, 2: 1}
    assert heard.names() == ["failed", "retrying", "completed"]


async def test_a_finish_that_never_arrived_is_lost_if_the_worker_was_dead(
    queue: Queue, proxy: Proxy, sql: Any
) -> None:
    """An uncertain outcome of a worker that was buried meanwhile did not count."""
    once(proxy, request=b'"state":"completed"')
    go = asyncio.Event()

    async def handler(job: Any) -> None:
        await go.wait()

    worker = Worker("work", handler, dsn=proxy.dsn, lease=30)
    heard = Heard(worker, *TROUBLE)
    async with worker:
        job = queue.add("n")
        await until_async(lambda: queue.get(job.id).state == "active", SOON)
        sql.run("UPDATE pgqueue.worker SET dead_at = clock_timestamp()")
        sql.run("DELETE FROM pgqueue.lease")
        go.set()
        await until_async(lambda: heard.of("lease_lost"), SOON)
        assert not heard.of("completed")
        sql.run("DELETE FROM pgqueue.job")


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
async def test_any_answers_may_be_lost_under_load(
    queue: Queue, proxy: Proxy, facts: Facts, seed: int
) -> None:
    dice = random.Random(seed)  # noqa: S311
    runs: Counter[int] = Counter()

    async def handler(job: Any) -> None:
        runs[job.id] += 1

    proxy.eat = lambda asked, _: len(asked) > 200 and dice.random() < 0.2
    ids = [job.id for job in queue.add_bulk([NewJob("n") for _ in range(3000)])]
    worker = Worker("work", handler, dsn=proxy.dsn, lease=30, concurrency=20)
    heard = Heard(worker, "lease_lost", "stalled", "completed")
    async with worker:
        await until_async(lambda: queue.counts().completed == len(ids), 60)
        proxy.eat = lambda *_: False
    assert proxy.eaten > 3
    assert runs == dict.fromkeys(ids, 1)
    assert not heard.of("lease_lost")
    assert Counter(job.id for job, _ in heard.of("completed")) == runs
