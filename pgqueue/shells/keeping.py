"""Say how long a queue keeps finished jobs and events."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pgqueue import options
from pgqueue.errors import ConfigError
from pgqueue.ops import retention as retention_ops
from pgqueue.retention import UNCHANGED, Bounds, Unchanged, bounds
from pgqueue.shells.base import AsyncShell, Shell

if TYPE_CHECKING:
    from pgqueue.retention import QueueRetention
    from pgqueue.types import Duration, Keep

RULES = "KeepJobs(age=, count=), a number to keep, or None to keep for ever"


def check_rules(*given: Keep | Unchanged | None) -> list[Bounds | Unchanged]:
    """Return the bounds of the completed and of the failed jobs."""
    found: list[Bounds | Unchanged] = []
    for option, rule in zip(("completed", "failed"), given, strict=True):
        if isinstance(rule, Unchanged):
            found.append(rule)
            continue
        if rule is True:
            raise ConfigError.bad(option, rule, RULES)
        if rule is not None:
            options.check_keep(option, rule)
        found.append(bounds(rule))
    return found


def check_event_bounds(
    age: Duration | None, count: int | None
) -> tuple[float | None, int | None]:
    """Return the bounds of the events."""
    length = None if age is None else options.check_duration("age", age, positive=True)
    most = None if count is None else options.check_int("count", count, 1, 2**53)
    return length, most


class Keeping(Shell):
    """Set and read what a queue keeps."""

    def set_retention(
        self,
        *,
        completed: Keep | Unchanged | None = UNCHANGED,
        failed: Keep | Unchanged | None = UNCHANGED,
        connection: Any = None,
    ) -> None:
        """Keep finished jobs by this rule, where neither job nor worker has one.

        It holds for jobs that finish from now on. A state that is not given keeps the
        rule it has.

        Args:
            completed: `KeepJobs`, a number, or None to keep for ever.
            failed: the same for jobs that fail for good.

        Raises:
            ConfigError: a rule is none, or says to remove at once, which only a job or
                a worker can.
        """
        rules = check_rules(completed, failed)
        self._run(retention_ops.change(self.name, *rules), connection)

    def set_event_bounds(
        self,
        *,
        age: Duration | None = None,
        count: int | None = None,
        connection: Any = None,
    ) -> None:
        """Keep events for followers that long, and that many; one not given stays.

        Args:
            age: seconds or a `timedelta`.
            count: 1 or more; about so many, as counting them is rare.

        Raises:
            ConfigError: a bound is out of its range.
        """
        bounds = check_event_bounds(age, count)
        self._run(retention_ops.bound_events(self.name, *bounds), connection)

    def retention(self, *, connection: Any = None) -> QueueRetention:
        """Return what the queue keeps: jobs by state, and events."""
        return self._run(retention_ops.get(self.name), connection)


class AsyncKeeping(AsyncShell):
    """The same, awaited."""

    async def set_retention(
        self,
        *,
        completed: Keep | Unchanged | None = UNCHANGED,
        failed: Keep | Unchanged | None = UNCHANGED,
        connection: Any = None,
    ) -> None:
        """Keep finished jobs by this rule, where neither job nor worker has one.

        It holds for jobs that finish from now on. A state that is not given keeps the
        rule it has.

        Args:
            completed: `KeepJobs`, a number, or None to keep for ever.
            failed: the same for jobs that fail for good.

        Raises:
            ConfigError: a rule is none, or says to remove at once, which only a job or
                a worker can.
        """
        rules = check_rules(completed, failed)
        await self._run(retention_ops.change(self.name, *rules), connection)

    async def set_event_bounds(
        self,
        *,
        age: Duration | None = None,
        count: int | None = None,
        connection: Any = None,
    ) -> None:
        """Keep events for followers that long, and that many; one not given stays.

        Args:
            age: seconds or a `timedelta`.
            count: 1 or more; about so many, as counting them is rare.

        Raises:
            ConfigError: a bound is out of its range.
        """
        bounds = check_event_bounds(age, count)
        await self._run(retention_ops.bound_events(self.name, *bounds), connection)

    async def retention(self, *, connection: Any = None) -> QueueRetention:
        """Return what the queue keeps: jobs by state, and events."""
        return await self._run(retention_ops.get(self.name), connection)
