"""Wait for conditions; no test sleeps for a fixed time."""

from __future__ import annotations

import asyncio
import inspect
import threading
import time
from typing import TYPE_CHECKING, TypeVar

import pytest

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

T = TypeVar("T")
POLL = 0.01
SOON = 5.0
"""What needs no timer happens within it, even on a machine that halts for a second.

The next thing that would set a lost wake-up right is a heartbeat, after 10 s.
"""


def until(
    condition: Callable[[], T],
    timeout: float = 30,
    *,
    message: str | None = None,
) -> T:
    """Return the condition's value once it is true; fail the test if it never is."""
    pause = threading.Event()
    deadline = time.monotonic() + timeout
    while not (value := condition()):
        if time.monotonic() > deadline:
            pytest.fail(_complaint(condition, value, timeout, message))
        pause.wait(POLL)
    return value


async def until_async(
    condition: Callable[[], T | Awaitable[T]],
    timeout: float = 30,  # noqa: ASYNC109  (it ends with a failed test, not an error)
    *,
    message: str | None = None,
) -> T:
    """Do what `until` does and let the event loop run meanwhile."""
    pause = asyncio.Event()
    deadline = time.monotonic() + timeout
    while not (value := await _value(condition)):
        if time.monotonic() > deadline:
            pytest.fail(_complaint(condition, value, timeout, message))
        try:
            async with asyncio.timeout(POLL):
                await pause.wait()
        except TimeoutError:
            continue
    return value


async def _value(condition: Callable[[], T | Awaitable[T]]) -> T:
    value = condition()
    return await value if inspect.isawaitable(value) else value


def _complaint(
    condition: Callable[[], object], value: object, timeout: float, message: str | None
) -> str:
    awaited = message or getattr(condition, "__qualname__", repr(condition))
    return f"not within {timeout:g} s: {awaited}; last value: {value!r}"
