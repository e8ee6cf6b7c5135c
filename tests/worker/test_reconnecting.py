"""How a worker comes back: to a server that was away, and from the dead."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import pytest

from pgqueue import Worker
from pgqueue.config import Settings
from pgqueue.worker.session import Session
from waiting import until_async

if TYPE_CHECKING:
    from conftest import Sql
    from pgqueue import Queue
    from working import Facts


async def test_a_worker_that_others_take_for_dead_begins_a_new_life(
    dsn: str, queue: Queue, sql: Sql, facts: Facts
) -> None:
    """Its own clock says that its leases are valid; the database's word counts."""

    async def handler(job: Any) -> str:
        return "done"

    async with Worker("work", handler, dsn=dsn, lease=6):
        before = queue.add("before")
        await until_async(lambda: queue.get(before.id).state == "completed")
        assert sql.run("UPDATE pgqueue.worker SET dead_at = clock_timestamp()") == 1
        await until_async(lambda: facts.count("worker.fenced") == 1)
        after = queue.add("after")
        await until_async(lambda: queue.get(after.id).state == "completed")
    living = "SELECT count(*) FROM pgqueue.worker WHERE dead_at IS NULL"
    assert sql.value(living) == 0


class EnoughError(Exception):
    """Ends an attempt that would otherwise go on for ever."""


async def test_the_pauses_are_jittered_double_up_to_ten_seconds_and_are_told(
    facts: Facts, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    bounds: list[tuple[float, float]] = []

    def dice(low: float, high: float) -> float:
        bounds.append((low, high))
        if len(bounds) == 10:
            raise EnoughError
        return 0.0

    monkeypatch.setattr("pgqueue.worker.session.random.uniform", dice)
    session = Session(Settings.load("postgresql://nobody@127.0.0.1:1/nowhere"))
    with caplog.at_level(logging.WARNING, "pgqueue"), pytest.raises(EnoughError):
        await session.exchange([])
    longest = [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10, 10, 10]
    assert bounds == [(0, most) for most in longest]
    told = [fact["again_within"] for fact in facts.of("database.lost")]
    assert told == longest
    warnings = [r.getMessage() for r in caplog.records if r.levelname == "WARNING"]
    assert len(warnings) == 10
    assert "Connection refused" in warnings[0]
    assert warnings[0].startswith("database.lost")
