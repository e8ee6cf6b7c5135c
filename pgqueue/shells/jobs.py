"""Look at single jobs, and act on them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from pgqueue.ops import jobs as job_ops
from pgqueue.ops import results
from pgqueue.options import check_flag
from pgqueue.shells.base import AsyncShell, Shell
from pgqueue.shells.checks import check_id, check_range, check_states, check_timeout

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pgqueue.types import (
        Duration,
        Job,
        JsonValue,
        Page,
    )

T = TypeVar("T")


class Jobs(Shell):
    """Get, list and remove jobs."""

    def get(self, job_id: int, *, connection: Any = None) -> Job:
        """Return a snapshot of a job.

        Raises:
            JobNotFound: the queue has no job with this id.
        """
        return self._run(job_ops.get(self.name, check_id(job_id)), connection)

    def result(
        self,
        job_id: int,
        timeout: Duration | None = None,
        *,
        connection: Any = None,
    ) -> JsonValue:
        """Wait until a job has completed, and return what its handler returned.

        The job is looked at again and again, at first after 10 ms, later twice a
        second. One that its own `remove_on_complete` or `remove_on_fail` removes at
        once is found through the queue's events, if it is still there when the call
        begins to wait, and on a connection of our own; one that is removed at once by
        the worker's policy is not.

        Args:
            timeout: how long to wait at most; None waits for ever, 0 only looks.

        Raises:
            JobFailed: the job failed for good.
            JobNotFound: the queue has no such job, or it was removed meanwhile.
            TimeoutError: it has not ended in time.
        """
        op = results.result(
            self.name,
            check_id(job_id),
            check_timeout(timeout),
            borrowed=self._borrows(connection),
        )
        return self._walk(op, connection)

    def jobs(
        self,
        states: str | Sequence[str] | None = None,
        start: int = 0,
        end: int | None = None,
        *,
        after: str | None = None,
        limit: int | None = None,
        connection: Any = None,
    ) -> Page:
        """Return a page of jobs: by cursor (*after*, *limit*), or from *start* to *end*.

        Waiting and prioritized come as they will be claimed, delayed by due time,
        active by claim time, waiting_children oldest first, completed and failed newest
        first; several states one after the other in this order.

        Args:
            states: a state, or several: waiting (without a priority), prioritized,
                delayed, active, waiting_children, completed, failed. All by default.
            start: how many jobs to pass over.
            end: the index of the last job wanted, inclusive; not with *limit*.
            after: the `cursor` of the page before.
            limit: how many jobs at most, 100 by default.

        Raises:
            ConfigError: an unknown state or a cursor of another listing.
        """
        asked = check_states(states)
        skip, most = check_range(start, end, limit)
        op = job_ops.list_page(self.name, asked, skip, most, after)
        return self._run(op, connection)

    def remove(
        self, job_id: int, *, children: bool = True, connection: Any = None
    ) -> bool:
        """Remove a job that is not active; return whether there was one.

        A parent that waits for it waits for it no longer.

        Args:
            children: remove its children too, and theirs, whatever their queue and
                state; one that is active stays, with what is below it.

        Raises:
            JobStateError: a worker runs the job.
        """
        below = check_flag("children", children)
        op = job_ops.remove(self.name, check_id(job_id), children=below)
        return self._run(op, connection)


class AsyncJobs(AsyncShell):
    """The same, awaited."""

    async def get(self, job_id: int, *, connection: Any = None) -> Job:
        """Return a snapshot of a job."""
        return await self._run(job_ops.get(self.name, check_id(job_id)), connection)

    async def result(
        self,
        job_id: int,
        timeout: Duration | None = None,  # noqa: ASYNC109
        *,
        connection: Any = None,
    ) -> JsonValue:
        """Wait until a job has completed, and return what its handler returned."""
        op = results.result(
            self.name,
            check_id(job_id),
            check_timeout(timeout),
            borrowed=await self._borrows(connection),
        )
        return await self._walk(op, connection)

    async def jobs(
        self,
        states: str | Sequence[str] | None = None,
        start: int = 0,
        end: int | None = None,
        *,
        after: str | None = None,
        limit: int | None = None,
        connection: Any = None,
    ) -> Page:
        """Return a page of jobs: by cursor (*after*, *limit*), or from *start* to *end*."""
        asked = check_states(states)
        skip, most = check_range(start, end, limit)
        op = job_ops.list_page(self.name, asked, skip, most, after)
        return await self._run(op, connection)

    async def remove(
        self, job_id: int, *, children: bool = True, connection: Any = None
    ) -> bool:
        """Remove a job that is not active; return whether there was one."""
        below = check_flag("children", children)
        op = job_ops.remove(self.name, check_id(job_id), children=below)
        return await self._run(op, connection)
