"""An event loop for one worker, closed in a bounded time whatever its handlers do."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Coroutine

PATIENCE: Final = 1.0
"""How long what was cancelled at the end may take (seconds)."""


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
