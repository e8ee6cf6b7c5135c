"""Limit, pause and list the groups of a queue."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, get_args

from pgqueue.errors import ConfigError
from pgqueue.observed import GroupState
from pgqueue.ops import groups as group_ops
from pgqueue.options import check_int, check_name
from pgqueue.shells.base import AsyncShell, Shell
from pgqueue.shells.limiting import check_limit, check_rate

if TYPE_CHECKING:
    from pgqueue.observed import Group, GroupCounts
    from pgqueue.types import Duration

STATES: Final = get_args(GroupState)
MOST: Final = 100_000


def check_group(group: str | None) -> str | None:
    """Return the name of a group, or None for all."""
    return None if group is None else check_name(group, "group")


def check_page(
    state: str | None, limit: int, after: str | None
) -> tuple[str | None, int, str]:
    """Return which groups to list.

    Raises:
        ConfigError: one of them is out of range.
    """
    if state is not None and state not in STATES:
        raise ConfigError.bad("state", state, f"one of {', '.join(STATES)}")
    behind = "" if after is None else check_name(after, "after")
    return state, check_int("limit", limit, 1, MOST), behind


class Grouping(Shell):
    """Limit, pause and list groups."""

    def set_group_concurrency(
        self, group: str | None, concurrency: int | None, *, connection: Any = None
    ) -> None:
        """Let at most so many jobs of a group run at once, over all workers.

        Args:
            group: its name; None means each group that has no such limit of its own.
            concurrency: 1 or more; None removes the limit.
        """
        most = check_limit("concurrency", concurrency)
        op = group_ops.change(self.name, check_group(group), concurrency=most)
        self._run(op, connection)

    def set_group_rate_limit(
        self,
        group: str | None,
        max: int | None,  # noqa: A002  the word of the limit
        per: Duration = 1,
        *,
        connection: Any = None,
    ) -> None:
        """Let at most *max* jobs of a group start in any window of *per*.

        Args:
            group: its name; None means each group that has no such limit of its own.
            max: 1 or more; None removes the limit.
            per: a `timedelta` or seconds.
        """
        most, length = check_rate(max, per)
        op = group_ops.change(self.name, check_group(group), max=most, per=length)
        self._run(op, connection)

    def pause_group(self, group: str, *, connection: Any = None) -> bool:
        """Let no job of a group start; those that run go on, and other groups too.

        Returns:
            Whether it was not paused before; it need not have jobs.
        """
        op = group_ops.change(self.name, check_name(group, "group"), paused=True)
        return self._run(op, connection)

    def resume_group(self, group: str, *, connection: Any = None) -> bool:
        """Undo `pause_group`; return whether it was paused."""
        op = group_ops.change(self.name, check_name(group, "group"), paused=False)
        return self._run(op, connection)

    def groups(
        self,
        state: GroupState | None = None,
        limit: int = 100,
        after: str | None = None,
        *,
        connection: Any = None,
    ) -> list[Group]:
        """Return groups with waiting or active jobs or a limit of their own, by name.

        Args:
            state: only those in this state.
            limit: at most so many.
            after: only those behind this name, for the next page.
        """
        asked = check_page(state, limit, after)
        return self._run(group_ops.list_page(self.name, *asked), connection)

    def group(self, name: str, *, connection: Any = None) -> Group:
        """Return one group as it stands: its jobs, its limits, what holds it up."""
        op = group_ops.get(self.name, check_name(name, "group"))
        return self._run(op, connection)

    def group_counts(self, *, connection: Any = None) -> GroupCounts:
        """Return how many groups are in each state; all of them are looked at."""
        return self._run(group_ops.counts(self.name), connection)


class AsyncGrouping(AsyncShell):
    """The same, awaited."""

    async def set_group_concurrency(
        self, group: str | None, concurrency: int | None, *, connection: Any = None
    ) -> None:
        """Let at most so many jobs of a group run at once, over all workers.

        Args:
            group: its name; None means each group that has no such limit of its own.
            concurrency: 1 or more; None removes the limit.
        """
        most = check_limit("concurrency", concurrency)
        op = group_ops.change(self.name, check_group(group), concurrency=most)
        await self._run(op, connection)

    async def set_group_rate_limit(
        self,
        group: str | None,
        max: int | None,  # noqa: A002  the word of the limit
        per: Duration = 1,
        *,
        connection: Any = None,
    ) -> None:
        """Let at most *max* jobs of a group start in any window of *per*.

        Args:
            group: its name; None means each group that has no such limit of its own.
            max: 1 or more; None removes the limit.
            per: a `timedelta` or seconds.
        """
        most, length = check_rate(max, per)
        op = group_ops.change(self.name, check_group(group), max=most, per=length)
        await self._run(op, connection)

    async def pause_group(self, group: str, *, connection: Any = None) -> bool:
        """Let no job of a group start; those that run go on, and other groups too.

        Returns:
            Whether it was not paused before; it need not have jobs.
        """
        op = group_ops.change(self.name, check_name(group, "group"), paused=True)
        return await self._run(op, connection)

    async def resume_group(self, group: str, *, connection: Any = None) -> bool:
        """Undo `pause_group`; return whether it was paused."""
        op = group_ops.change(self.name, check_name(group, "group"), paused=False)
        return await self._run(op, connection)

    async def groups(
        self,
        state: GroupState | None = None,
        limit: int = 100,
        after: str | None = None,
        *,
        connection: Any = None,
    ) -> list[Group]:
        """Return groups with waiting or active jobs or a limit of their own, by name.

        Args:
            state: only those in this state.
            limit: at most so many.
            after: only those behind this name, for the next page.
        """
        asked = check_page(state, limit, after)
        return await self._run(group_ops.list_page(self.name, *asked), connection)

    async def group(self, name: str, *, connection: Any = None) -> Group:
        """Return one group as it stands: its jobs, its limits, what holds it up."""
        op = group_ops.get(self.name, check_name(name, "group"))
        return await self._run(op, connection)

    async def group_counts(self, *, connection: Any = None) -> GroupCounts:
        """Return how many groups are in each state; all of them are looked at."""
        return await self._run(group_ops.counts(self.name), connection)
