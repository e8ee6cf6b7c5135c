"""What a handler receives: its job, and what it may do to it while it runs."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime
from typing import (
    TYPE_CHECKING,
    Any,
    NoReturn,
    Protocol,
    TypeVar,
    overload,
    runtime_checkable,
)

from pgqueue import payload
from pgqueue.errors import (
    ConfigError,
    JobStateError,
    LeaseLost,
    PayloadError,
    WaitForChildren,
)
from pgqueue.ops import control, flows, history
from pgqueue.ops.releasing import Parent
from pgqueue.stored import expiry, parse_options
from pgqueue.types import FlowNode, Job, JobState, JsonValue
from pgqueue.worker.outcome import Outcome, failed
from pgqueue.worker.transaction import JobTransaction

if TYPE_CHECKING:
    from collections.abc import Awaitable, Generator

    from pgqueue.db.run import AsyncConnection, SyncConnection
    from pgqueue.ops.core import Atomic, Op, Row
    from pgqueue.worker.committer import Committer
    from pgqueue.worker.completion import Completion

C = TypeVar("C")


class Reporter(Protocol):
    """How a running job reaches the database: awaited, or blocking in its thread."""

    @property
    def committer(self) -> Committer: ...
    def progress(self, job: ActiveJob, value: str) -> Awaitable[None]: ...
    def call(self, job: ActiveJob, op: Op[Any] | Atomic[Any]) -> Any: ...


@runtime_checkable
class Settler(Protocol):
    """The reporter of a job that may end before its handler does."""

    def settle(self, job: ActiveJob, outcome: Outcome) -> None: ...


class Done:
    """What a call from a `def` handler returns: it has happened, awaiting is free."""

    def __await__(self) -> Generator[None, None, None]:
        return
        yield


class ActiveJob:
    """The job that a handler runs, under a lease of its worker.

    Attributes:
        id: the job's id.
        queue: the name of its queue.
        name: what kind of job it is.
        data: what was added with it.
        attempt: the number of this run, from 1.
        attempts: how many there may be.
        priority: as added.
        group: the group of the queue that it belongs to, if any.
        stalled: how many runs ended because their worker was gone.
        cancelled: it is to stop: somebody cancelled it, or its lease or time is over.
    """

    __slots__ = (
        "attempt",
        "attempts",
        "began",
        "block",
        "blocks",
        "cancelled",
        "child",
        "claimed_epoch",
        "completion",
        "created_epoch",
        "data",
        "dropped",
        "group",
        "id",
        "lease_id",
        "name",
        "options",
        "priority",
        "progress",
        "queue",
        "queue_id",
        "raw_data",
        "raw_options",
        "refused",
        "reporter",
        "seq",
        "stalled",
        "traces",
    )

    def __init__(self, queue: str, queue_id: int, row: Row) -> None:
        self.queue = queue
        self.queue_id = queue_id
        self.lease_id: int = row[0]
        self.id: int = row[1]
        self.priority: int = row[2]
        self.seq: int = row[3]
        self.attempt: int = row[4]
        self.stalled: int = row[5]
        self.attempts: int = row[6]
        self.name: str = row[7]
        self.raw_data: str = row[8]
        self.raw_options: str | None = row[9]
        self.options = parse_options(self.raw_options)
        self.created_epoch: float = row[10]
        self.claimed_epoch: float = row[11]
        self.child: bool = row[12]
        self.group: str | None = row[13] if len(row) > 13 else None  # noqa: PLR2004
        self.data: JsonValue = None
        self.progress: JsonValue = None
        known = self.options.flow or self.options.ran
        self.traces = known or self.attempt > 1 or self.stalled > 0
        self.cancelled = False
        self.refused = False
        self.dropped = False
        self.reporter: Reporter | None = None
        self.began = 0.0
        self.block: JobTransaction[Any, Any] | None = None
        self.blocks = 0
        self.completion: Completion | None = None

    @property
    def created_at(self) -> datetime:
        """When it was added, by the database's clock."""
        return datetime.fromtimestamp(self.created_epoch, UTC)

    @property
    def claimed_at(self) -> datetime:
        """When this worker claimed it, by the database's clock."""
        return datetime.fromtimestamp(self.claimed_epoch, UTC)

    @property
    def schedule(self) -> str | None:
        """The key of the schedule that made it."""
        return self.options.schedule

    @property
    def scheduled_at(self) -> datetime | None:
        """The occurrence of the schedule that it was made for."""
        return self.options.scheduled_at

    def update_progress(self, value: JsonValue) -> Awaitable[None]:
        """Store how far the job is; `await` it in an `async def` handler.

        Args:
            value: a number, or anything JSON can say.

        Raises:
            PayloadError: the value cannot be stored.
            LeaseLost: another worker may run this job now; stop.
        """
        text = payload.encode(value, f"progress of job {self.id}")
        if self.dropped:
            raise LeaseLost(self.id)
        assert self.reporter is not None, "progress is for a running job"  # noqa: S101
        self.traces = True
        self.progress = value
        return self.reporter.progress(self, text)

    def log(self, line: str) -> JsonValue:
        """Add a line to the job's log; `await` it in an `async def` handler.

        Raises:
            ConfigError: *line* is no text.
            LeaseLost: another worker may run this job now; stop.
        """
        self.traces = True
        op = history.save_log(
            self.queue_id, self.lease_id, self.id, line, self.options.keep_logs
        )
        return self._call(op)

    def update_data(self, data: JsonValue) -> JsonValue:
        """Replace the job's data, for its next run; `await` it in an `async def` handler.

        Raises:
            PayloadError: the data cannot be stored.
            LeaseLost: another worker may run this job now; stop.
        """
        text = payload.encode(data, f"data of job {self.id}")
        stored = self._call(
            control.save_data(self.queue_id, self.lease_id, self.id, text)
        )
        self.raw_data, self.data = text, data
        return stored

    def children_values(self) -> JsonValue:
        """Return what the completed children returned, by their ids.

        Returns:
            `{child id: result}`; `await` it in an `async def` handler.
        """
        return self._call(flows.children_values(self.queue_id, self.id))

    def children_failures(self) -> JsonValue:
        """Return why children failed whose failure did not fail this job.

        Returns:
            `{child id: reason}`; `await` it in an `async def` handler.
        """
        return self._call(flows.children_failures(self.queue_id, self.id))

    def add_child(self, node: FlowNode) -> JsonValue:
        """Add a job, or a whole tree, that this one may wait for.

        Returns:
            The `FlowJob`; `await` it in an `async def` handler.

        Raises:
            ConfigError: something in the node is out of its range.
            PayloadError: its data cannot be stored.
            LeaseLost: another worker may run this job now; nothing was added.
        """
        flows.check_flow(node, payload.MAX_BYTES, 1)
        here = Parent(self.queue_id, self.id)
        self.traces = True
        return self._call(flows.add_child(self.lease_id, here, node))

    def wait_children(self) -> NoReturn:
        """Stop this run, and run again once all children have settled.

        Raises:
            WaitForChildren: always; let it pass.
        """
        raise WaitForChildren(f"job {self.id} waits for its children")

    @overload
    def transaction(
        self, connection: None = None
    ) -> JobTransaction[SyncConnection, AsyncConnection]: ...
    @overload
    def transaction(self, connection: C) -> JobTransaction[C, C]: ...
    def transaction(self, connection: object = None) -> JobTransaction[Any, Any]:
        """Complete this job in the very transaction of what the block writes.

        `with` in a `def` handler, `async with` in an `async def` one. The end of the
        block commits the writes and the completion together; an exception in it, a
        crash or a lost lease leaves neither. The job completes with None, or what
        `complete` was given in the block, whatever the handler does afterwards.

        Args:
            connection: anything that `connection=` of a queue takes, of the worker's
                database; by default the block is given a psycopg connection to it.

        Raises:
            LeaseLost: another worker may run this job now; nothing was written.
            JobStateError: the job has completed, is cancelled, or in a block already.
            ConfigError: something else would end the transaction.
            UnsupportedConnection: it is none of the accepted kinds.
        """
        assert self.reporter is not None, "this is for a running job"  # noqa: S101
        return JobTransaction(self, self.reporter.committer, connection)

    def complete(self, value: JsonValue = None) -> None:
        """Complete this job with a value: at the end of its `transaction` block.

        A job of a batch outside such a block completes now, whatever becomes of the
        others.

        Raises:
            PayloadError: the value cannot be stored; the job goes on.
            JobStateError: it is settled already.
            LeaseLost: another worker may run this job now.
            ConfigError: the handler is not one of batches, and in no such block.
        """
        encoded = payload.encode(value, f"result of job {self.id}")
        self._end(Outcome("completed", value, encoded))

    def fail(self, error: BaseException) -> None:
        """Fail this run of a job of a batch now, as if its handler had raised *error*.

        Raises:
            JobStateError: it is settled already.
            LeaseLost: another worker may run this job now.
            ConfigError: *error* is no exception, or the handler not one of batches; or
                this is in a `transaction` block, which fails by raising.
        """
        if not isinstance(error, BaseException):
            raise ConfigError.bad("error", error, "an exception")
        self._end(failed(self, error))

    def _end(self, outcome: Outcome) -> None:
        assert self.reporter is not None, "this is for a running job"  # noqa: S101
        if self.dropped:
            raise LeaseLost(self.id)
        if self.completion is not None and self.completion.committed:
            raise JobStateError(self.id, "completed", "active", "settled")
        if self.block is not None:
            if outcome.ending != "completed":
                raise ConfigError("in `job.transaction()` a job fails by raising")
            self.block.complete(outcome)
            return
        if not isinstance(self.reporter, Settler):
            raise ConfigError(
                "`job.complete` and `job.fail` are for handlers of Worker(batch=…), and "
                "`job.complete` for the block of `job.transaction()`; elsewhere a "
                "handler ends its job by returning or raising"
            )
        self.reporter.settle(self, outcome)

    def _call(self, op: Op[Any] | Atomic[Any]) -> JsonValue:
        assert self.reporter is not None, "this is for a running job"  # noqa: S101
        return self.reporter.call(self, op)

    def expired(self) -> bool:
        """Whether the job was claimed after the instant until which it may start."""
        until = expiry(self.options, self.created_at)
        return until is not None and self.claimed_at > until

    def row(self) -> list[JsonValue]:
        """Return the claim's row without data, for a child process."""
        return [
            self.lease_id,
            self.id,
            self.priority,
            self.seq,
            self.attempt,
            self.stalled,
            self.attempts,
            self.name,
            "null",
            self.raw_options,
            self.created_epoch,
            self.claimed_epoch,
            self.child,
            self.group,
        ]

    def loaded(self) -> ActiveJob:
        """Return the job with its data; what cannot be read fails the run later."""
        with suppress(PayloadError):
            self.data = payload.decode(self.raw_data)
        return self

    def snapshot(
        self,
        state: JobState = JobState.ACTIVE,
        *,
        result: JsonValue = None,
        error: str | None = None,
    ) -> Job:
        """Return the job as listeners see it."""
        return Job(
            id=self.id,
            queue=self.queue,
            name=self.name,
            data=self.data,
            state=state,
            created_at=self.created_at,
            priority=self.priority,
            group=self.group,
            attempt=self.attempt,
            attempts=self.attempts,
            stalled=self.stalled,
            started_at=self.claimed_at,
            progress=self.progress,
            result=result,
            error=error,
            schedule=self.options.schedule,
            scheduled_at=self.options.scheduled_at,
            backoff=self.options.backoff,
            timeout=self.options.timeout,
            expires=expiry(self.options, self.created_at),
            headers=self.options.headers,
            tags=self.options.tags,
            remove_on_complete=self.options.remove_on_complete,
            remove_on_fail=self.options.remove_on_fail,
        )

    def __repr__(self) -> str:
        return f"<ActiveJob {self.id} {self.name!r} attempt {self.attempt}>"
