"""Call a `Queue` and an `AsyncQueue` alike, where no database is needed."""

from __future__ import annotations

import asyncio
import inspect
from typing import Any

import pytest

from pgqueue import AsyncQueue, Queue

each_queue = pytest.mark.parametrize("kind", [Queue, AsyncQueue])


def outcome(called: Any) -> Any:
    """Return what a call returned, after waiting for it if it must be."""
    if not inspect.iscoroutine(called):
        return called

    async def wait() -> Any:
        return await called

    return asyncio.run(wait())
