"""Look at a queue from outside."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from pgqueue import options
from pgqueue.errors import ConfigError
from pgqueue.ops import getters
from pgqueue.query import parse
from pgqueue.shells.base import AsyncShell, Shell

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pgqueue.observed import Metric, WorkerInfo
    from pgqueue.types import Duration, Page

CURSOR: Final = re.compile(r"[0-9]{1,18}")


def check_priorities(priorities: object) -> list[int]:
    """Return the priorities to count."""
    if not isinstance(priorities, (list, tuple, range, set, frozenset)):
        raise ConfigError.bad("priorities", priorities, "a list of priorities")
    return [options.check_int("priority", one, 0, 2_097_151) for one in priorities]


def check_search(
    limit: int, after: str | None, timeout: Duration
) -> tuple[int, int, float]:
    """Return how many jobs to find, below which id, and in which time."""
    before = 2**63 - 1
    if after is not None:
        if not CURSOR.fullmatch(str(after)):
            raise ConfigError.bad("after", after, "the cursor of a page before")
        before = int(after)
    most = options.check_int("limit", limit, 1, 1000)
    seconds = options.check_duration("timeout", timeout, positive=True)
    return most, before, min(seconds, 86400.0)


class Getters(Shell):
    """Look at priorities, workers and metrics."""

    def counts_per_priority(
        self, priorities: Sequence[int], *, connection: Any = None
    ) -> dict[int, int]:
        """Return how many jobs wait with each of the priorities; 0 is none.

        Raises:
            ConfigError: one of them is no priority.
        """
        op = getters.counts_per_priority(self.name, check_priorities(priorities))
        return self._run(op, connection)

    def workers(self, *, connection: Any = None) -> list[WorkerInfo]:
        """Return the workers that have not signed off, the oldest first."""
        return self._run(getters.workers(self.name), connection)

    def metrics(self, minutes: int = 60, *, connection: Any = None) -> list[Metric]:
        """Return what was done in the last minutes, the newest first.

        Minutes in which no job ended are left out. Workers write every five seconds,
        and as they stop; a killed one takes what it had not written with it.

        Args:
            minutes: how many to look back, at most a week.
        """
        most = options.check_int("minutes", minutes, 1, 7 * 24 * 60)
        return self._run(getters.metrics(self.name, most), connection)

    def search(
        self,
        query: str,
        limit: int = 50,
        after: str | None = None,
        *,
        timeout: Duration = 5,
        connection: Any = None,
    ) -> Page:
        """Return jobs that satisfy all terms of a query, the newest first.

        Terms are `name:welcome`, `state:failed`, `tag:x` and `data.user.id:42`; a text
        with spaces is quoted. What is at a path into the data is compared as text.

        Args:
            query: at least one term.
            limit: how many at most, up to 1000.
            after: the `cursor` of the page before.
            timeout: how long the database may look; it walks over all jobs if few match.

        Raises:
            ConfigError: the query cannot be read.
            StatementTimeout: it took too long; a caller's transaction is aborted then.
        """
        op = getters.search(
            self.name, parse(query), *check_search(limit, after, timeout)
        )
        return self._run(op, connection)


class AsyncGetters(AsyncShell):
    """The same, awaited."""

    async def counts_per_priority(
        self, priorities: Sequence[int], *, connection: Any = None
    ) -> dict[int, int]:
        """Return how many jobs wait with each of the priorities; 0 is none.

        Raises:
            ConfigError: one of them is no priority.
        """
        op = getters.counts_per_priority(self.name, check_priorities(priorities))
        return await self._run(op, connection)

    async def workers(self, *, connection: Any = None) -> list[WorkerInfo]:
        """Return the workers that have not signed off, the oldest first."""
        return await self._run(getters.workers(self.name), connection)

    async def metrics(
        self, minutes: int = 60, *, connection: Any = None
    ) -> list[Metric]:
        """Return what was done in the last minutes, the newest first.

        Minutes in which no job ended are left out. Workers write every five seconds,
        and as they stop; a killed one takes what it had not written with it.

        Args:
            minutes: how many to look back, at most a week.
        """
        most = options.check_int("minutes", minutes, 1, 7 * 24 * 60)
        return await self._run(getters.metrics(self.name, most), connection)

    async def search(
        self,
        query: str,
        limit: int = 50,
        after: str | None = None,
        *,
        timeout: Duration = 5,  # noqa: ASYNC109
        connection: Any = None,
    ) -> Page:
        """Return jobs that satisfy all terms of a query, the newest first.

        Terms are `name:welcome`, `state:failed`, `tag:x` and `data.user.id:42`; a text
        with spaces is quoted. What is at a path into the data is compared as text.

        Args:
            query: at least one term.
            limit: how many at most, up to 1000.
            after: the `cursor` of the page before.
            timeout: how long the database may look; it walks over all jobs if few match.

        Raises:
            ConfigError: the query cannot be read.
            StatementTimeout: it took too long; a caller's transaction is aborted then.
        """
        op = getters.search(
            self.name, parse(query), *check_search(limit, after, timeout)
        )
        return await self._run(op, connection)
