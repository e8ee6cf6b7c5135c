"""`Queue`: put jobs in and look after them, from sync code."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeVar, overload

from pgqueue import options, payload
from pgqueue.config import Settings
from pgqueue.db import pool
from pgqueue.db.borrow import borrow
from pgqueue.db.run import run
from pgqueue.errors import ConfigError
from pgqueue.ops import bulk as bulk_ops
from pgqueue.ops import jobs as job_ops
from pgqueue.ops import queues as queue_ops
from pgqueue.types import (
    Backoff,
    CleanState,
    Counts,
    Duration,
    Job,
    JsonValue,
    Keep,
    NewJob,
    Page,
)

if TYPE_CHECKING:
    from datetime import datetime

    from pgqueue.ops.core import Atomic, Op

T = TypeVar("T")

STATES = tuple(job_ops.LISTS)
PAGE = 100


def check_states(states: str | Sequence[str] | None) -> list[str]:
    """Return the states to list, in the order in which they are listed.

    Raises:
        ConfigError: one of them is not a state.
    """
    if states is not None and not isinstance(states, (str, Sequence)):
        raise ConfigError.bad("states", states, f"any of {', '.join(STATES)}")
    asked = [states] if isinstance(states, str) else list(states or STATES)
    for state in asked:
        if state not in STATES:
            raise ConfigError.bad("states", str(state), f"any of {', '.join(STATES)}")
    return [state for state in STATES if state in asked]


def check_clean(grace: Duration, limit: int, state: str) -> tuple[float, int, str]:
    """Return the checked arguments of `clean`.

    Raises:
        ConfigError: one of them is out of range.
    """
    cleanable = queue_ops.CLEANABLE
    if state not in cleanable:
        raise ConfigError.bad("state", str(state), f"one of {', '.join(cleanable)}")
    return (
        options.check_duration("grace", grace),
        options.check_int("limit", limit, 0, 2**53),
        str(state),
    )


class Queue:
    """A named queue in a PostgreSQL database.

    Thread-safe, and safe to be made before a fork: connections belong to the process
    that uses them.

    Args:
        name: 1 to 255 characters; the queue exists from its first use.
        dsn: a libpq connection string or URL; by default `PGQUEUE_DSN`, then
            `DATABASE_URL`, then libpq's `PG*` variables.
        size_limit: the largest data of one job, in bytes of JSON.

    Raises:
        ConfigError: the name or a setting is not valid. No I/O happens here.
    """

    def __init__(
        self,
        name: str,
        *,
        dsn: str | None = None,
        size_limit: int = payload.MAX_BYTES,
    ) -> None:
        self.name = options.check_name(name, "queue name")
        self._settings = Settings.load(dsn)
        self._limit = options.check_int("size_limit", size_limit, 1, 2**30)

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
        backoff: Backoff | Duration | None = None,
        timeout: Duration | None = None,
        key: str | None = None,
        remove_on_complete: Keep | None = None,
        remove_on_fail: Keep | None = None,
        connection: Any = None,
    ) -> Job:
        """Add a job, durable when this returns, or when *connection* commits.

        Args:
            name: what kind of job it is, 1 to 255 characters.
            data: what the handler gets: anything JSON can say, up to `size_limit`.
            delay: do not start before this long from now, by the database's clock.
            run_at: do not start before this instant; not together with *delay*.
            priority: 0 to 2 097 151; 0 goes first, then 1, the highest, and so on.
            lifo: go before the jobs of the same priority that wait already.
            attempts: how many runs there may be, the first one included.
            backoff: the wait before a retry; none by default.
            timeout: how long one run may take.
            key: an idempotency key: while the queue has a job with it, that job is
                returned, unchanged, and nothing is added.
            remove_on_complete: retention when it completes; see `KeepJobs`.
            remove_on_fail: retention when it fails for good.
            connection: a connection, cursor or session whose transaction the job
                is to be part of; it is not committed here.

        Raises:
            ConfigError: an option is out of its range; nothing was sent.
            PayloadError: the data cannot be stored; nothing was sent.
            UnsupportedConnection: *connection* is none of the accepted kinds.
        """
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
            key=key,
            remove_on_complete=remove_on_complete,
            remove_on_fail=remove_on_fail,
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
            atomic=atomic,
            count_only=count_only,
            borrowed=connection is not None,
        )
        return self._run(op, connection)

    def get(self, job_id: int, *, connection: Any = None) -> Job:
        """Return a snapshot of a job.

        Raises:
            JobNotFound: the queue has no job with this id.
        """
        return self._run(job_ops.get(self.name, check_id(job_id)), connection)

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
        active by claim time, completed and failed newest first; several states one
        after the other in this order.

        Args:
            states: a state, or several: waiting (without a priority), prioritized,
                delayed, active, completed, failed. All by default.
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

    def count(self, *, connection: Any = None) -> int:
        """Return how many jobs wait: waiting, delayed, prioritized, waiting-children."""
        return self._run(queue_ops.count(self.name), connection)

    def counts(self, *, connection: Any = None) -> Counts:
        """Return how many jobs stand in each state, at one moment."""
        return self._run(queue_ops.counts(self.name), connection)

    def remove(self, job_id: int, *, connection: Any = None) -> bool:
        """Remove a job that is not active; return whether there was one.

        Raises:
            JobStateError: a worker runs the job.
        """
        return self._run(job_ops.remove(self.name, check_id(job_id)), connection)

    def retry(self, job_id: int, *, connection: Any = None) -> Job:
        """Put a completed or failed job back to waiting; its attempts stay counted.

        Raises:
            JobNotFound: the queue has no job with this id.
            JobStateError: the job has not finished.
        """
        return self._run(job_ops.retry(self.name, check_id(job_id)), connection)

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
        return self._run(queue_ops.drain(self.name, delayed=delayed), connection)

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
        self._run(queue_ops.obliterate(self.name, force=force), connection)

    def close(self) -> None:
        """Close this process's connections to the database, if no queue needs them.

        Using a closed queue opens them again.
        """
        pool.pools.leave(self._settings, self)

    def __enter__(self) -> Queue:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r})"

    def _run(self, op: Op[T] | Atomic[T], connection: Any) -> T:
        schema = self._settings.schema
        if connection is not None:
            return run(borrow(connection), op, schema)
        with pool.connection(self._settings, self) as own:
            return run(own, op, schema)


def check_id(job_id: object) -> int:
    """Return a job id, or raise `ConfigError`."""
    return options.check_int("job_id", job_id, 1, 2**63 - 1)


def check_range(start: int, end: int | None, limit: int | None) -> tuple[int, int]:
    """Return how many jobs to skip and how many to return at most."""
    skip = options.check_int("start", start, 0, 2**53)
    if end is None:
        most = PAGE if limit is None else options.check_int("limit", limit, 1, 10_000)
        return skip, most
    if limit is not None:
        raise ConfigError.bad("limit", limit, "no end beside it")
    if end == -1:
        return skip, 2**53
    return skip, options.check_int("end", end, start, 2**53) - start + 1
