"""Look at a queue from outside."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pgqueue import options
from pgqueue.errors import ConfigError
from pgqueue.ops import getters
from pgqueue.shells.base import AsyncShell, Shell

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pgqueue.observed import Metric, WorkerInfo


def check_priorities(priorities: object) -> list[int]:
    """Return the priorities to count."""
    if not isinstance(priorities, (list, tuple, range, set, frozenset)):
        raise ConfigError.bad("priorities", priorities, "a list of priorities")
    return [options.check_int("priority", one, 0, 2_097_151) for one in priorities]


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
