"""Limit a queue as a whole."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from pgqueue import options
from pgqueue.ops import limits as limit_ops
from pgqueue.shells.base import AsyncShell, Shell

if TYPE_CHECKING:
    from pgqueue.types import Duration, Limits

MOST: Final = 2**31 - 1


def check_limit(option: str, value: int | None) -> int | None:
    """Return a number of jobs, or None for no limit."""
    return None if value is None else options.check_int(option, value, 1, MOST)


def check_rate(most: int | None, per: Duration) -> tuple[int | None, float | None]:
    """Return a rate; without a number there is no window either."""
    length = options.check_duration("per", per, positive=True)
    found = check_limit("max", most)
    return (None, None) if found is None else (found, length)


class Limiting(Shell):
    """Set and read the limits of a queue."""

    def set_concurrency(
        self, concurrency: int | None, *, connection: Any = None
    ) -> None:
        """Let at most so many jobs of the queue run at once, over all its workers.

        What runs already goes on; until it ends, nothing else starts.

        Args:
            concurrency: 1 or more; None removes the limit.
        """
        most = check_limit("concurrency", concurrency)
        self._run(limit_ops.set_concurrency(self.name, most), connection)

    def set_rate_limit(
        self,
        max: int | None,  # noqa: A002  the word of the limit
        per: Duration = 1,
        *,
        connection: Any = None,
    ) -> None:
        """Let at most *max* jobs start in any window of *per*, over all workers.

        The window slides, by the database's clock: none of that length, wherever it
        begins, holds more claims.

        Args:
            max: 1 or more; None removes the limit.
            per: a `timedelta` or seconds.
        """
        rate = check_rate(max, per)
        self._run(limit_ops.set_rate_limit(self.name, *rate), connection)

    def rate_limit(self, for_: Duration, *, connection: Any = None) -> None:
        """Let no job of the queue start for a while; what runs goes on.

        Args:
            for_: a `timedelta` or seconds from now; 0 ends it.
        """
        delay = options.check_duration("for_", for_)
        self._run(limit_ops.hold(self.name, delay), connection)

    def limits(self, *, connection: Any = None) -> Limits:
        """Return the limits of the queue."""
        return self._run(limit_ops.get(self.name), connection)


class AsyncLimiting(AsyncShell):
    """The same, awaited."""

    async def set_concurrency(
        self, concurrency: int | None, *, connection: Any = None
    ) -> None:
        """Let at most so many jobs of the queue run at once, over all its workers.

        What runs already goes on; until it ends, nothing else starts.

        Args:
            concurrency: 1 or more; None removes the limit.
        """
        most = check_limit("concurrency", concurrency)
        await self._run(limit_ops.set_concurrency(self.name, most), connection)

    async def set_rate_limit(
        self,
        max: int | None,  # noqa: A002  the word of the limit
        per: Duration = 1,
        *,
        connection: Any = None,
    ) -> None:
        """Let at most *max* jobs start in any window of *per*, over all workers.

        The window slides, by the database's clock: none of that length, wherever it
        begins, holds more claims.

        Args:
            max: 1 or more; None removes the limit.
            per: a `timedelta` or seconds.
        """
        rate = check_rate(max, per)
        await self._run(limit_ops.set_rate_limit(self.name, *rate), connection)

    async def rate_limit(self, for_: Duration, *, connection: Any = None) -> None:
        """Let no job of the queue start for a while; what runs goes on.

        Args:
            for_: a `timedelta` or seconds from now; 0 ends it.
        """
        delay = options.check_duration("for_", for_)
        await self._run(limit_ops.hold(self.name, delay), connection)

    async def limits(self, *, connection: Any = None) -> Limits:
        """Return the limits of the queue."""
        return await self._run(limit_ops.get(self.name), connection)
