"""`close` and `pause` end what they began, though who called them is cancelled."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from compat.conftest import Heard
from pgqueue.errors import DatabaseUnavailable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from compat.conftest import Made
    from pgqueue.compat.bullmq import Job, Queue, Worker


class Holds:
    """A processor that ends when it is let go, and a worker that runs it."""

    def __init__(self, made: Made) -> None:
        self.began, self.go_on = asyncio.Event(), asyncio.Event()
        self.worker: Worker = made.worker(self.process, concurrency=2)
        self.heard = Heard(self.worker, "completed", "failed", "paused", "closed")

    async def process(self, job: Job, _token: str) -> Any:
        self.began.set()
        await self.go_on.wait()
        return job.data


async def turns() -> None:
    """Let everything run that can."""
    loop = asyncio.get_running_loop()
    for _ in range(10):
        turn = loop.create_future()
        loop.call_soon(turn.set_result, None)
        await turn


@pytest.fixture
async def holds(made: Made, queue: Queue) -> AsyncIterator[Holds]:
    holds = Holds(made)
    await queue.add("paint", 1)
    await holds.began.wait()
    yield holds
    holds.go_on.set()


@pytest.mark.parametrize("times", [1, 3])
@pytest.mark.parametrize(("how", "told"), [("close", "closed"), ("pause", "paused")])
async def test_who_is_cancelled_while_a_job_runs_waits_for_its_end(
    holds: Holds, how: str, told: str, times: int
) -> None:
    caller = asyncio.ensure_future(getattr(holds.worker, how)())
    await turns()
    for _ in range(times):
        caller.cancel()
        await turns()
    assert not caller.done()
    assert holds.heard.calls == []
    holds.go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await caller
    assert [call[0] for call in holds.heard.calls] == ["completed", told]
    assert getattr(holds.worker, "closed" if how == "close" else "paused")


async def test_what_goes_wrong_after_the_cancellation_is_its_cause(
    holds: Holds, monkeypatch: pytest.MonkeyPatch
) -> None:
    close, gone = holds.worker.holder.close, DatabaseUnavailable("gone")

    async def closes() -> None:
        await close()
        raise gone

    monkeypatch.setattr(holds.worker.holder, "close", closes)
    caller = asyncio.ensure_future(holds.worker.close())
    await turns()
    caller.cancel()
    holds.go_on.set()
    with pytest.raises(asyncio.CancelledError) as raised:
        await caller
    assert raised.value.__cause__ is gone


async def test_a_forced_close_ends_one_that_waits(holds: Holds, queue: Queue) -> None:
    caller = asyncio.ensure_future(holds.worker.close())
    await turns()
    caller.cancel()
    await holds.worker.close(force=True)
    with pytest.raises(asyncio.CancelledError):
        await caller
    assert {call[0] for call in holds.heard.calls} == {"closed"}
    assert await queue.getJobCountByTypes("active") == 1


async def test_a_processor_that_closes_its_worker_by_force_ends(
    made: Made, queue: Queue
) -> None:
    began, go_on, ended = (asyncio.Event() for _ in range(3))

    async def closes(job: Job, token: str) -> None:
        began.set()
        await go_on.wait()
        try:
            await worker.close(force=True)
        finally:
            ended.set()

    worker = made.worker(closes)
    await queue.add("paint", 1)
    await began.wait()
    closing = asyncio.ensure_future(worker.close())
    await turns()
    go_on.set()
    await ended.wait()
    await closing
    assert await queue.getJobCountByTypes("active") == 1
