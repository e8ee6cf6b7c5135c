"""A short soak; `make soak` runs a long one."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pgqueue import Queue


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("seed", [11])
def test_random_jobs_survive_random_deaths(dsn: str, queue: Queue, seed: int) -> None:
    soak = importlib.import_module("chaos.soak")
    result = soak.soak(dsn, 8, seed)
    print(result)  # noqa: T201
    assert result.kills > 2
    assert result.added > 500
