"""Backoff strategies of a worker's own: functions that say when a job runs again."""

from __future__ import annotations

import asyncio
import inspect
import math
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from pgqueue import options
from pgqueue.backoff import LONGEST
from pgqueue.errors import ConfigError

if TYPE_CHECKING:
    from pgqueue.types import Duration
    from pgqueue.worker.active_job import ActiveJob
    from pgqueue.worker.emitter import Emitter
    from pgqueue.worker.outcome import Outcome

Strategy: TypeAlias = Callable[
    [int, BaseException, "ActiveJob"], "Duration | Awaitable[Duration]"
]
"""`fn(attempt, error, job)` -> seconds; 0: at once, negative: fail now."""

DEFAULT_DELAY: Final = 1.0
"""What a strategy that is unknown, or raises, comes to (seconds)."""

PATIENCE: Final = 10.0
"""How long an async strategy may take (seconds)."""


def check_strategies(given: object) -> dict[str, Strategy]:
    """Return strategies by name, or raise `ConfigError`."""
    allowed = "a mapping of names to functions (attempt, error, job) -> seconds"
    if not isinstance(given, Mapping):
        raise ConfigError.bad("backoffs", given, allowed)
    for name, function in given.items():
        options.check_name(name, "backoff")
        if not callable(function):
            raise ConfigError.bad(f"backoffs[{name!r}]", function, allowed)
    return dict(given)


class Strategies:
    """Asks strategies; what goes wrong there never costs a job.

    Args:
        settle: called with each outcome once its delay is known, on the loop.
    """

    def __init__(
        self,
        strategies: Mapping[str, Strategy],
        emitter: Emitter,
        settle: Callable[[ActiveJob, Outcome, float], None],
    ) -> None:
        self._strategies = strategies
        self._emitter = emitter
        self._settle = settle
        self._asked: dict[ActiveJob, asyncio.Task[None]] = {}

    def ask(self, job: ActiveJob, outcome: Outcome, ran: float) -> None:
        """Find out when a job runs again, then settle it."""
        asking = self._ask(job, outcome, ran)
        self._asked[job] = asyncio.get_running_loop().create_task(asking)

    def abandon(self) -> list[ActiveJob]:
        """Stop asking, and return the jobs that nobody settles now."""
        for task in self._asked.values():
            task.cancel()
        left = list(self._asked)
        self._asked.clear()
        return left

    async def _ask(self, job: ActiveJob, outcome: Outcome, ran: float) -> None:
        try:
            decided = decide(outcome, await self._delay(job, outcome))
        except Exception as error:  # noqa: BLE001  whatever a strategy raises
            self._emitter.error(error, f"backoff {outcome.strategy!r} of job {job.id}")
            decided = decide(outcome, DEFAULT_DELAY)
        if self._asked.pop(job, None) is not None:
            self._settle(job, decided, ran)

    async def _delay(self, job: ActiveJob, outcome: Outcome) -> Any:
        name = outcome.strategy or ""
        if name not in self._strategies:
            known = ", ".join(self._strategies) or "none"
            raise ConfigError(
                f"job {job.id} asks for backoff {name!r}, which this worker does not "
                f"have; Worker(backoffs=) has: {known}"
            )
        error = outcome.error or RuntimeError(outcome.reason)
        delay: Any = self._strategies[name](job.attempt, error, job)
        if inspect.isawaitable(delay):
            async with asyncio.timeout(PATIENCE):
                delay = await delay
        return delay


def decide(outcome: Outcome, delay: object) -> Outcome:
    """Return the outcome with the delay that a strategy gave.

    Raises:
        TypeError: it is no number of seconds.
    """
    if isinstance(delay, timedelta):
        delay = delay.total_seconds()
    number = isinstance(delay, (int, float)) and not isinstance(delay, bool)
    if not number or math.isnan(delay):  # type: ignore[arg-type]
        raise TypeError(f"a backoff strategy returns seconds, not {delay!r:.60}")
    seconds = min(float(min(delay, LONGEST)), LONGEST)  # type: ignore[call-overload]
    if seconds < 0:
        return replace(outcome, ending="failed", delay=0.0, strategy=None)
    return replace(outcome, delay=seconds, strategy=None)
