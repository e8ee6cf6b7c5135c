"""`drained`, told to followers when the last run of a queue has ended."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from following import nothing_holds_back
from pgqueue import Worker
from working import drain, work_for

if TYPE_CHECKING:
    from collections.abc import Callable

    from pgqueue import Queue, QueueEvents


async def quick(_job: Any) -> None: ...


async def slow(_job: Any) -> None:
    """Run on after the worker has seen that nothing waits."""
    await work_for(0.3)


async def commits(job: Any) -> None:
    async with job.transaction():
        await work_for(0.1)


def plain(_queue: Queue) -> None: ...


def limited(queue: Queue) -> None:
    queue.set_concurrency(5)


def grouped(queue: Queue) -> None:
    queue.remove(queue.add("n", group="once").id)


@pytest.mark.parametrize("kind", [plain, limited, grouped])
@pytest.mark.parametrize("handler", [quick, slow, commits])
async def test_a_worker_that_drains_a_queue_tells_it_at_the_end(
    dsn: str,
    queue: Queue,
    follower: QueueEvents,
    kind: Callable[[Queue], None],
    handler: Any,
) -> None:
    kind(queue)
    list(follower.follow(timeout=0.05))
    ids = [queue.add("n").id for _ in range(2)]
    await drain(Worker("paint", handler, dsn=dsn))
    await asyncio.to_thread(nothing_holds_back, dsn)
    told = list(follower.follow(timeout=0.05))
    assert told[-1].name == "drained"
    # Of a queue whose kind it does not know yet, a worker takes nothing that it puts back.
    active = [event.job_id for event in told if event.name == "active"]
    assert sorted(active) == ids
