"""Act on a queue as a whole."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from pgqueue.ops import queues as queue_ops
from pgqueue.options import check_flag
from pgqueue.shells.base import AsyncShell, Shell
from pgqueue.shells.checks import check_clean, check_states

if TYPE_CHECKING:
    from pgqueue.types import (
        CleanState,
        Counts,
        Duration,
    )

T = TypeVar("T")


class Whole(Shell):
    """Count, pause, drain, clean, obliterate."""

    def count(self, *, connection: Any = None) -> int:
        """Return how many jobs wait: waiting, delayed, prioritized, waiting-children."""
        return self._run(queue_ops.count(self.name), connection)

    def counts(self, *states: str, connection: Any = None) -> Counts:
        """Return how many jobs stand in each state, at one moment.

        Args:
            states: only these, so that only they cost anything; the others are 0.

        Raises:
            ConfigError: one of them is not a state.
        """
        asked = check_states(states or None)
        return self._run(queue_ops.counts(self.name, asked), connection)

    def pause(self, *, connection: Any = None) -> None:
        """Let no worker start another job of this queue; running ones go on."""
        self._run(queue_ops.pause(self.name), connection)

    def resume(self, *, connection: Any = None) -> None:
        """Undo `pause`, and wake the workers."""
        self._run(queue_ops.resume(self.name), connection)

    def is_paused(self, *, connection: Any = None) -> bool:
        """Return whether the queue is paused."""
        return self._run(queue_ops.is_paused(self.name), connection)

    def drain(self, delayed: bool = True, *, connection: Any = None) -> int:
        """Remove the waiting and prioritized jobs, and the delayed ones unless told.

        Active, waiting-children, completed and failed jobs stay. Runs in batches.

        Returns:
            The number of jobs removed.
        """
        op = queue_ops.drain(self.name, delayed=check_flag("delayed", delayed))
        return self._run(op, connection)

    def clean(
        self,
        grace: Duration,
        limit: int = 0,
        state: CleanState = "completed",
        *,
        connection: Any = None,
    ) -> list[int]:
        """Remove jobs of one state that are older than *grace*, oldest first.

        Args:
            grace: seconds or a `timedelta` since finishing (completed, failed), or
                since adding (the other states).
            limit: how many at most; 0 for all.
            state: `paused` means the waiting jobs of a queue that is paused; of
                `active` jobs only those go whose worker is gone.

        Returns:
            The ids of the jobs removed.

        Raises:
            ConfigError: the state cannot be cleaned, or a number is out of range.
        """
        op = queue_ops.clean(self.name, *check_clean(grace, limit, state))
        return self._run(op, connection)

    def obliterate(self, *, force: bool = False, connection: Any = None) -> None:
        """Pause the queue, then remove everything in it.

        Args:
            force: remove active jobs too; what their handlers report is refused.

        Raises:
            QueueNotEmpty: jobs are active and *force* is not given; nothing was
                removed, and the queue stays paused.
        """
        op = queue_ops.obliterate(self.name, force=check_flag("force", force))
        self._run(op, connection)


class AsyncWhole(AsyncShell):
    """The same, awaited."""

    async def count(self, *, connection: Any = None) -> int:
        """Return how many jobs wait: waiting, delayed, prioritized, waiting-children."""
        return await self._run(queue_ops.count(self.name), connection)

    async def counts(self, *states: str, connection: Any = None) -> Counts:
        """Return how many jobs stand in each state, at one moment.

        Args:
            states: only these, so that only they cost anything; the others are 0.

        Raises:
            ConfigError: one of them is not a state.
        """
        asked = check_states(states or None)
        return await self._run(queue_ops.counts(self.name, asked), connection)

    async def pause(self, *, connection: Any = None) -> None:
        """Let no worker start another job of this queue; running ones go on."""
        await self._run(queue_ops.pause(self.name), connection)

    async def resume(self, *, connection: Any = None) -> None:
        """Undo `pause`, and wake the workers."""
        await self._run(queue_ops.resume(self.name), connection)

    async def is_paused(self, *, connection: Any = None) -> bool:
        """Return whether the queue is paused."""
        return await self._run(queue_ops.is_paused(self.name), connection)

    async def drain(self, delayed: bool = True, *, connection: Any = None) -> int:
        """Remove the waiting and prioritized jobs, and the delayed ones unless told."""
        op = queue_ops.drain(self.name, delayed=check_flag("delayed", delayed))
        return await self._run(op, connection)

    async def clean(
        self,
        grace: Duration,
        limit: int = 0,
        state: CleanState = "completed",
        *,
        connection: Any = None,
    ) -> list[int]:
        """Remove jobs of one state that are older than *grace*, oldest first."""
        op = queue_ops.clean(self.name, *check_clean(grace, limit, state))
        return await self._run(op, connection)

    async def obliterate(self, *, force: bool = False, connection: Any = None) -> None:
        """Pause the queue, then remove everything in it."""
        op = queue_ops.obliterate(self.name, force=check_flag("force", force))
        await self._run(op, connection)
