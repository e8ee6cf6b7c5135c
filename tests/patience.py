"""The same waits as elsewhere, for tests that start processes on a busy machine."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import waiting
import working

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from pgqueue import Worker

T = TypeVar("T")

LONG = 60.0


def until(condition: Callable[[], T]) -> T:
    """Return the condition's value once it is true."""
    return waiting.until(condition, LONG)


async def until_async(condition: Callable[[], T | Awaitable[T]]) -> T:
    """Do the same while the loop runs."""
    return await waiting.until_async(condition, LONG)


async def drain(worker: Worker) -> None:
    """Let a worker run until nothing waits."""
    await working.drain(worker, LONG)
