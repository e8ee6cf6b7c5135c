"""What a job leaves behind: its failed attempts and its log."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pgqueue.ops import history
from pgqueue.options import check_int
from pgqueue.shells.base import AsyncShell, Shell
from pgqueue.shells.checks import check_id, check_range

if TYPE_CHECKING:
    from pgqueue.types import Attempt, LogLine


class History(Shell):
    """The failed attempts of a job, and its log."""

    def attempts(self, job_id: int, *, connection: Any = None) -> list[Attempt]:
        """Return the failed runs of a job, the oldest first.

        Raises:
            JobNotFound: the queue has no job with this id.
        """
        return self._run(history.attempts(self.name, check_id(job_id)), connection)

    def log(self, job_id: int, line: str, *, connection: Any = None) -> None:
        """Add a line to the log of a job, in whatever state.

        Raises:
            ConfigError: *line* is no text.
            JobNotFound: the queue has no job with this id.
        """
        text = history.clean_line(line)
        self._run(history.log(self.name, check_id(job_id), text), connection)

    def logs(
        self,
        job_id: int,
        start: int = 0,
        end: int | None = None,
        *,
        after: int = 0,
        limit: int | None = None,
        connection: Any = None,
    ) -> list[LogLine]:
        """Return lines of a job's log, the oldest first.

        Args:
            start: how many lines to pass over.
            end: the index of the last line wanted, inclusive, -1 for all; not with
                *limit*.
            after: the `id` of the last line of the page before.
            limit: how many lines at most, 100 by default.

        Raises:
            JobNotFound: the queue has no job with this id.
        """
        skip, most = check_range(start, end, limit)
        behind = check_int("after", after, 0, 2**63 - 1)
        op = history.logs(self.name, check_id(job_id), skip, most, behind)
        return self._run(op, connection)


class AsyncHistory(AsyncShell):
    """The same, awaited."""

    async def attempts(self, job_id: int, *, connection: Any = None) -> list[Attempt]:
        """Return the failed runs of a job, the oldest first."""
        return await self._run(
            history.attempts(self.name, check_id(job_id)), connection
        )

    async def log(self, job_id: int, line: str, *, connection: Any = None) -> None:
        """Add a line to the log of a job, in whatever state."""
        text = history.clean_line(line)
        await self._run(history.log(self.name, check_id(job_id), text), connection)

    async def logs(
        self,
        job_id: int,
        start: int = 0,
        end: int | None = None,
        *,
        after: int = 0,
        limit: int | None = None,
        connection: Any = None,
    ) -> list[LogLine]:
        """Return lines of a job's log, the oldest first."""
        skip, most = check_range(start, end, limit)
        behind = check_int("after", after, 0, 2**63 - 1)
        op = history.logs(self.name, check_id(job_id), skip, most, behind)
        return await self._run(op, connection)
