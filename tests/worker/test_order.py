"""Which job runs next: first in first out, priorities, lifo, several queues."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest

from pgqueue import NewJob, Queue, Worker
from waiting import until_async
from working import KINDS, drain, handler_of

if TYPE_CHECKING:
    from collections.abc import Sequence


async def ran(
    dsn: str, queues: Sequence[str] = ("work",), kind: str = "def"
) -> list[Any]:
    """Run everything on one slot and return the data in the order of running."""
    order: list[Any] = []
    body = handler_of(kind, lambda job: order.append(job.data))
    await drain(Worker(queues, body, concurrency=1, dsn=dsn))
    return order


@pytest.mark.parametrize("kind", KINDS)
async def test_jobs_of_one_priority_run_in_the_order_of_their_adding(
    dsn: str, queue: Queue, kind: str
) -> None:
    queue.add_bulk([NewJob("n", n) for n in range(500)])
    assert await ran(dsn, kind=kind) == list(range(500))


async def test_a_lower_number_runs_first_and_none_before_all(
    dsn: str, queue: Queue
) -> None:
    queue.add_bulk(
        [NewJob("n", [p, n], priority=p) for n in range(3) for p in (9, 0, 1)]
    )
    assert await ran(dsn) == [[p, n] for p in (0, 1, 9) for n in range(3)]


async def test_a_hundred_priorities_with_lifo_among_them_run_in_order(
    dsn: str, queue: Queue
) -> None:
    jobs = [
        NewJob("n", [n % 100, n], priority=n % 100, lifo=n % 7 == 0)
        for n in range(1000)
    ]
    queue.add_bulk(jobs)

    def place(data: list[int]) -> tuple[int, int, int]:
        priority, n = data
        return (priority, 0, -n) if n % 7 == 0 else (priority, 1, n)

    order = await ran(dsn)
    assert order == sorted((job.data for job in jobs), key=place)


async def test_a_job_added_with_a_better_priority_overtakes_those_that_wait(
    dsn: str, queue: Queue
) -> None:
    order: list[Any] = []
    go, started = threading.Event(), threading.Event()

    def handler(job: Any) -> None:
        order.append(job.data)
        started.set()
        go.wait(10)

    queue.add_bulk([NewJob("n", n, priority=5) for n in range(10)])
    async with Worker("work", handler, concurrency=1, dsn=dsn):
        await until_async(started.is_set)
        queue.add("n", "urgent", priority=1)
        queue.add("n", "last in", priority=5, lifo=True)
        go.set()
        await until_async(lambda: len(order) == 12)
    assert order == [0, "urgent", "last in", *range(1, 10)]


async def test_several_queues_share_one_slot_fairly(dsn: str) -> None:
    for name in ("a", "b", "c"):
        with Queue(name, dsn=dsn) as queue:
            queue.add_bulk([NewJob("n", name) for _ in range(50)])
    order = await ran(dsn, ("a", "b", "c"))
    assert sorted(order) == sorted("abc" * 50)
    for name in "abc":
        assert 20 <= order[:90].count(name) <= 40


async def test_a_full_queue_does_not_starve_one_that_fills_later(
    dsn: str, queue: Queue
) -> None:
    order: list[str] = []
    with Queue("late", dsn=dsn) as late:
        queue.add_bulk([NewJob("n", "work") for _ in range(500)])

        def handler(job: Any) -> None:
            order.append(job.queue)
            if len(order) == 50:
                late.add("n")

        await drain(Worker(["work", "late"], handler, concurrency=1, dsn=dsn))
    assert order.index("late") < 150


async def test_jobs_claimed_ahead_go_back_when_the_work_turns_slow(
    dsn: str, queue: Queue
) -> None:
    stuck, go = threading.Event(), threading.Event()
    order: list[int] = []

    def handler(job: Any) -> None:
        order.append(job.data)
        if job.data == 400:
            stuck.set()
            go.wait(10)

    queue.add_bulk([NewJob("n", n) for n in range(1000)])
    async with Worker("work", handler, concurrency=1, dsn=dsn):
        await until_async(stuck.is_set)
        await until_async(
            lambda: (queue.counts().active, queue.counts().waiting) == (1, 599)
        )
        go.set()
        await until_async(lambda: len(order) == 1000)
    assert order == list(range(1000))
