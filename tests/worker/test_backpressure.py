"""A worker takes no more jobs than it can write the outcomes of."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

import pytest

from pgqueue import NewJob, Worker
from working import drain

if TYPE_CHECKING:
    from pgqueue import Queue

SLOTS: Final = 300
WRITTEN_AT_ONCE: Final = 100
AHEAD: Final = 200
WAVES: Final = 8


@pytest.mark.parametrize("limited", [False, True], ids=["plain", "limited"])
async def test_claims_do_not_outrun_the_writing_of_outcomes(
    dsn: str, queue: Queue, monkeypatch: pytest.MonkeyPatch, *, limited: bool
) -> None:
    """Each time all slots are taken, all their jobs end: more than one write holds."""
    monkeypatch.setattr("pgqueue.worker.finisher.MAX_BATCH", WRITTEN_AT_ONCE)
    monkeypatch.setattr("pgqueue.worker.dispatch.MAX_PREFETCH", AHEAD)
    if limited:
        queue.set_rate_limit(1_000_000, 1)
    queue.add_bulk([NewJob("noop") for _ in range(SLOTS * WAVES)])
    started = written = most = 0
    full = asyncio.Event()

    async def handler(_job: Any) -> None:
        nonlocal started, most, full
        started += 1
        most = max(most, started - written)
        mine = full
        if started % SLOTS == 0:
            full = asyncio.Event()
            mine.set()
        await mine.wait()

    worker = Worker("work", handler, dsn=dsn, concurrency=SLOTS)

    @worker.on("completed")
    def note(*_: object) -> None:
        nonlocal written
        written += 1

    await drain(worker, within=60)
    assert started == written == SLOTS * WAVES
    assert most <= SLOTS + AHEAD + WRITTEN_AT_ONCE
