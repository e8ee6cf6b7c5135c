"""The limits of a queue in the compatibility module."""

from __future__ import annotations

from typing import TYPE_CHECKING

from compat.conftest import Heard, busy, returns

if TYPE_CHECKING:
    from compat.conftest import Made
    from pgqueue.compat.bullmq import Job, Queue


async def test_global_limits_are_set_told_and_taken_off(queue: Queue) -> None:
    assert await queue.getGlobalConcurrency() is None
    assert await queue.removeGlobalConcurrency() == 0
    await queue.setGlobalConcurrency(4)
    assert await queue.getGlobalConcurrency() == 4
    assert await queue.removeGlobalConcurrency() == 1
    assert await queue.getGlobalRateLimit() is None
    assert await queue.removeGlobalRateLimit() == 0
    await queue.setGlobalRateLimit(10, 1000)
    assert await queue.getGlobalRateLimit() == {"max": 10, "duration": 1000}
    assert await queue.removeGlobalRateLimit() == 2
    assert await queue.getRateLimitTtl() == -2
    assert await queue.removeRateLimitKey() == 0
    await queue.rateLimit(5000)
    assert 0 < await queue.getRateLimitTtl() <= 5000
    assert await queue.removeRateLimitKey() == 1
    assert await queue.getRateLimitTtl() == -2


async def test_a_limited_queue_is_limited(made: Made, queue: Queue) -> None:
    running, most = 0, 0

    async def count(job: Job, token: str) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await busy(0.01)
        running -= 1

    await queue.setGlobalConcurrency(1)
    await queue.addBulk([{"name": "a", "data": n} for n in range(5)])
    heard = Heard(made.worker(count, concurrency=4), "completed")
    await heard.wait(5)
    assert most == 1


async def test_a_rate_limit_holds_over_the_queue(made: Made, queue: Queue) -> None:
    await queue.setGlobalRateLimit(2, 400)
    await queue.addBulk([{"name": "a", "data": n} for n in range(5)])
    heard = Heard(made.worker(returns, concurrency=5), "completed")
    calls = await heard.wait(5)
    begun = sorted(call[1].processedOn for call in calls)
    assert begun[2] - begun[0] >= 400
    assert begun[4] - begun[2] >= 400


async def test_a_rate_limited_queue_waits(made: Made, queue: Queue) -> None:
    await queue.rateLimit(300)
    job = await queue.add("a", 1)
    heard = Heard(made.worker(returns), "completed")
    [(_, done, _)] = await heard.wait()
    assert done.processedOn - (job.timestamp or 0) >= 250
