"""An event loop for one worker, closed in a bounded time whatever its handlers do."""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from pgqueue.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Coroutine

PATIENCE: Final = 1.0
"""How long what was cancelled at the end may take (seconds)."""


def check_place() -> None:
    """Refuse to block here, where a loop runs or no signal can arrive.

    Python lets only the main thread handle signals.

    Raises:
        ConfigError: a loop runs in this thread, or it is not the main one.
    """
    with suppress(RuntimeError):
        asyncio.get_running_loop()
        raise ConfigError(
            "run() blocks, and a loop runs here already; use `async with worker:` "
            "or `await worker.serve()`"
        )
    if threading.current_thread() is not threading.main_thread():
        raise ConfigError(
            "run() handles signals, which only the main thread can; in another one "
            "use `asyncio.run(worker.serve())`"
        )


def run_to_end(main: Coroutine[Any, Any, None]) -> None:
    """Run a coroutine in a loop of its own.

    Not `asyncio.Runner`: it would wait for ever for a handler that was cut off and
    swallows its cancellation.
    """
    loop = asyncio.new_event_loop()
    try:
        loop.run_until_complete(main)
    finally:
        loop.run_until_complete(cancel_rest())
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()


async def cancel_rest() -> None:
    """Cancel what still runs on this loop, and give it a moment to end."""
    rest = asyncio.all_tasks() - {asyncio.current_task()}
    for task in rest:
        task.cancel()
    if rest:
        await asyncio.wait(rest, timeout=PATIENCE)
