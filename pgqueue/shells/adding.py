"""Put jobs in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, Never, TypeVar, overload

from pgqueue import options
from pgqueue.errors import UnknownOption
from pgqueue.ops import bulk as bulk_ops
from pgqueue.ops import jobs as job_ops
from pgqueue.shells.base import AsyncShell, Shell
from pgqueue.types import (
    Backoff,
    Dedup,
    Duration,
    Job,
    JsonValue,
    Keep,
    NewJob,
    OnChildFailure,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

T = TypeVar("T")


class Adding(Shell):
    """Add one job or many."""

    def add(
        self,
        name: str,
        data: JsonValue = None,
        *,
        delay: Duration | None = None,
        run_at: datetime | None = None,
        priority: int = 0,
        lifo: bool = False,
        attempts: int = 1,
        backoff: Backoff | Duration | str | None = None,
        timeout: Duration | None = None,
        expires: Duration | datetime | None = None,
        key: str | None = None,
        group: str | None = None,
        dedup: Dedup | None = None,
        parent: Job | tuple[str, int] | None = None,
        on_child_failure: OnChildFailure = "fail",
        remove_on_complete: Keep | None = None,
        remove_on_fail: Keep | None = None,
        keep_logs: int | None = None,
        stack_limit: int | None = None,
        size_limit: int | None = None,
        headers: Mapping[str, str] | None = None,
        tags: Sequence[str] = (),
        connection: Any = None,
        **unknown: Never,
    ) -> Job:
        """Add a job, durable when this returns, or when *connection* commits.

        Args:
            name: what kind of job it is, 1 to 255 characters.
            data: what the handler gets: anything JSON can say, up to *size_limit*.
            delay: do not start before this long from now, by the database's clock.
            run_at: do not start before this instant; not together with *delay*.
            priority: 0 to 2 097 151; 0 goes first, then 1, the highest, and so on.
            lifo: go before the jobs of the same priority that wait already.
            attempts: how many runs there may be, the first one included.
            backoff: the wait before a retry; none by default. A text names a strategy
                of the worker, see `Worker(backoffs=)`.
            timeout: how long one run may take.
            expires: do not start after this long from the add, or after this instant;
                the job then fails.
            group: the group of the queue that it belongs to; groups take turns, after
                the jobs of none.
            key: an idempotency key: while the queue has a job with it, that job is
                returned, unchanged, and nothing is added.
            dedup: let one job stand for all with the same id; see `Dedup`. An add that
                is ignored returns the job that stands, or, if a throttled one is
                removed already, its id as completed.
            parent: a job, or (queue name, job id), that waits for this one: from now
                on if it waits for others already, else once it calls `wait_children`.
            on_child_failure: what this job's final failure does to its parent: fail
                it, let it continue at once, be ignored, or leave no trace (remove).
            remove_on_complete: retention when it completes; see `KeepJobs`.
            remove_on_fail: retention when it fails for good.
            keep_logs: how many log lines are kept, the newest; all by default.
            stack_limit: how many failed attempts are kept, the newest; all by default.
            size_limit: the largest data in bytes of JSON; that of the queue by default.
            headers: texts by name that go with the job, such as a trace context.
            tags: words to find it by.
            connection: a connection, cursor or session whose transaction the job
                is to be part of; it is not committed here.

        Raises:
            ConfigError: an option is unknown or out of its range; nothing was sent.
            PayloadError: the data cannot be stored; nothing was sent.
            JobNotFound: there is no such parent.
            JobStateError: the parent has finished.
            UnsupportedConnection: *connection* is none of the accepted kinds.
        """
        if unknown:
            raise UnknownOption.of(self.add, unknown)
        new = NewJob(
            name,
            data,
            delay=delay,
            run_at=run_at,
            priority=priority,
            lifo=lifo,
            attempts=attempts,
            backoff=backoff,
            timeout=timeout,
            expires=expires,
            key=key,
            group=group,
            dedup=dedup,
            parent=parent,
            on_child_failure=on_child_failure,
            remove_on_complete=remove_on_complete,
            remove_on_fail=remove_on_fail,
            keep_logs=keep_logs,
            stack_limit=stack_limit,
            size_limit=size_limit,
            headers=headers,
            tags=tags,
        )
        element = options.encode_job(new, self._limit)
        return self._run(job_ops.add(self.name, new, element), connection)

    @overload
    def add_bulk(
        self,
        jobs: Iterable[NewJob],
        *,
        atomic: bool = True,
        count_only: Literal[False] = False,
        connection: Any = None,
    ) -> list[Job]: ...
    @overload
    def add_bulk(
        self,
        jobs: Iterable[NewJob],
        *,
        atomic: bool = True,
        count_only: Literal[True],
        connection: Any = None,
    ) -> int: ...
    def add_bulk(
        self,
        jobs: Iterable[NewJob],
        *,
        atomic: bool = True,
        count_only: bool = False,
        connection: Any = None,
    ) -> list[Job] | int:
        """Add any number of jobs, all or nothing, in the given order.

        Args:
            jobs: a list, or a generator that is read as the jobs are sent, about
                two thousand a statement.
            atomic: False commits each of those statements by itself, so that a
                failure leaves the first ones in.
            count_only: return how many were added instead of a snapshot of each;
                with a generator, memory then stays flat for millions of jobs.
            connection: as in `add`; with a generator, a savepoint takes back what
                was sent before a job that turns out bad.

        Raises:
            ConfigError: an option of a job is out of its range.
            PayloadError: the data of a job cannot be stored.
        """
        op = bulk_ops.bulk(
            self.name,
            jobs,
            self._limit,
            atomic=options.check_flag("atomic", atomic),
            count_only=options.check_flag("count_only", count_only),
            borrowed=self._borrows(connection),
        )
        return self._run(op, connection)


class AsyncAdding(AsyncShell):
    """The same, awaited."""

    async def add(
        self,
        name: str,
        data: JsonValue = None,
        *,
        delay: Duration | None = None,
        run_at: datetime | None = None,
        priority: int = 0,
        lifo: bool = False,
        attempts: int = 1,
        backoff: Backoff | Duration | str | None = None,
        timeout: Duration | None = None,  # noqa: ASYNC109  of the job, not the call
        expires: Duration | datetime | None = None,
        key: str | None = None,
        group: str | None = None,
        dedup: Dedup | None = None,
        parent: Job | tuple[str, int] | None = None,
        on_child_failure: OnChildFailure = "fail",
        remove_on_complete: Keep | None = None,
        remove_on_fail: Keep | None = None,
        keep_logs: int | None = None,
        stack_limit: int | None = None,
        size_limit: int | None = None,
        headers: Mapping[str, str] | None = None,
        tags: Sequence[str] = (),
        connection: Any = None,
        **unknown: Never,
    ) -> Job:
        """Add a job, durable when this returns, or when *connection* commits."""
        if unknown:
            raise UnknownOption.of(self.add, unknown)
        new = NewJob(
            name,
            data,
            delay=delay,
            run_at=run_at,
            priority=priority,
            lifo=lifo,
            attempts=attempts,
            backoff=backoff,
            timeout=timeout,
            expires=expires,
            key=key,
            group=group,
            dedup=dedup,
            parent=parent,
            on_child_failure=on_child_failure,
            remove_on_complete=remove_on_complete,
            remove_on_fail=remove_on_fail,
            keep_logs=keep_logs,
            stack_limit=stack_limit,
            size_limit=size_limit,
            headers=headers,
            tags=tags,
        )
        element = options.encode_job(new, self._limit)
        return await self._run(job_ops.add(self.name, new, element), connection)

    @overload
    async def add_bulk(
        self,
        jobs: Iterable[NewJob],
        *,
        atomic: bool = True,
        count_only: Literal[False] = False,
        connection: Any = None,
    ) -> list[Job]: ...
    @overload
    async def add_bulk(
        self,
        jobs: Iterable[NewJob],
        *,
        atomic: bool = True,
        count_only: Literal[True],
        connection: Any = None,
    ) -> int: ...
    async def add_bulk(
        self,
        jobs: Iterable[NewJob],
        *,
        atomic: bool = True,
        count_only: bool = False,
        connection: Any = None,
    ) -> list[Job] | int:
        """Add any number of jobs, all or nothing, in the given order."""
        op = bulk_ops.bulk(
            self.name,
            jobs,
            self._limit,
            atomic=options.check_flag("atomic", atomic),
            count_only=options.check_flag("count_only", count_only),
            borrowed=await self._borrows(connection),
        )
        return await self._run(op, connection)
