"""`travel`: let time pass for what the queues hold, in milliseconds."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from pgqueue.errors import ConfigError
from pgqueue.ops import testing as ops
from pgqueue.testing.guarding import aguard, guard
from pgqueue.testing.reaching import acaller, caller


def travel(
    *,
    days: float = 0,
    hours: float = 0,
    minutes: float = 0,
    seconds: float = 0,
    queue: Any = None,
    connection: Any = None,
    dsn: str | None = None,
) -> None:
    """Let so much time pass for all queues of the database.

    Every instant that they hold moves back, so a job delayed by an hour is due after
    `travel(hours=1)`. In the test's transaction it goes with it; with no connection it
    is committed, for workers that run. A lease whose time passes so has ended.

    Args:
        queue: a `Queue`, to reach its database; all queues of that travel.

    Raises:
        ConfigError: the time is not more than nothing.
    """
    passed = check_time(days=days, hours=hours, minutes=minutes, seconds=seconds)
    via = caller(queue, dsn)
    try:
        guard(via, connection)
        via._run(ops.shift_clock(passed), connection)  # noqa: SLF001
    finally:
        if via is not queue:
            via.close()


async def atravel(
    *,
    days: float = 0,
    hours: float = 0,
    minutes: float = 0,
    seconds: float = 0,
    queue: Any = None,
    connection: Any = None,
    dsn: str | None = None,
) -> None:
    """Do what `travel` does, on an async connection."""
    passed = check_time(days=days, hours=hours, minutes=minutes, seconds=seconds)
    via = acaller(queue, dsn)
    try:
        await aguard(via, connection)
        await via._run(ops.shift_clock(passed), connection)  # noqa: SLF001
    finally:
        if via is not queue:
            await via.close()


def check_time(**parts: float) -> float:
    """Return the time that is to pass, in seconds.

    Raises:
        ConfigError: it is not more than nothing.
    """
    try:
        passed = timedelta(**parts).total_seconds()
    except (TypeError, ValueError, OverflowError) as error:
        raise ConfigError(f"travel: {error}") from None
    if passed <= 0:
        raise ConfigError.bad("time", passed, "more than nothing: no queue goes back")
    return passed
