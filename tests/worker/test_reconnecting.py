"""How a worker comes back to a server that is away."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import pytest

from pgqueue.config import Settings
from pgqueue.worker.session import Session

if TYPE_CHECKING:
    from working import Facts


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
