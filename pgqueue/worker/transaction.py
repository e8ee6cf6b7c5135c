"""`job.transaction()`: what a handler writes, and that its job completed, at one commit."""

from __future__ import annotations

import asyncio
from contextlib import (
    AbstractAsyncContextManager,
    AbstractContextManager,
    asynccontextmanager,
    contextmanager,
    nullcontext,
    suppress,
)
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from pgqueue.db.borrow import arun_on, run_on
from pgqueue.db.enclose import aflush, flush, is_refusal
from pgqueue.errors import ConfigError, JobStateError, LeaseLost
from pgqueue.worker.outcome import COMPLETED, Outcome

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from types import TracebackType

    from pgqueue.worker.active_job import ActiveJob
    from pgqueue.worker.committer import Committer
    from pgqueue.worker.completion import Completion

S = TypeVar("S")
A = TypeVar("A")


class JobTransaction(Generic[S, A]):
    """One block in which a job completes; made by `ActiveJob.transaction`."""

    def __init__(self, job: ActiveJob, committer: Committer, given: object) -> None:
        self._job = job
        self._committer = committer
        self._given = given
        self._value: Outcome | None = None
        self._written: Completion | None = None
        self._block: AbstractContextManager[Any] | None = None
        self._ablock: AbstractAsyncContextManager[Any] | None = None

    def __enter__(self) -> S:
        with suppress(RuntimeError):
            asyncio.get_running_loop()
            raise ConfigError(
                "`with job.transaction()` would block the loop that runs here; "
                "use `async with`"
            )
        self._block = self._open()
        entered: S = self._block.__enter__()
        return entered

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._block is not None, "entered before"  # noqa: S101
        self._block.__exit__(kind, error, trace)

    async def __aenter__(self) -> A:
        self._ablock = self._aopen()
        entered: A = await self._ablock.__aenter__()
        return entered

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._ablock is not None, "entered before"  # noqa: S101
        await self._ablock.__aexit__(kind, error, trace)

    def complete(self, outcome: Outcome) -> None:
        """Say with which value the job completes, at the end of the block."""
        if self._value is not None:
            raise JobStateError(self._job.id, "settled", "unsettled", "settled")
        self._value = outcome

    # The same twice: one of them blocks, the other awaits.

    @contextmanager
    def _open(self) -> Iterator[Any]:
        job, committer, given = self._job, self._committer, self._given
        lent = committer.lend() if given is None else nullcontext(given)
        with (
            self._alone(),
            lent as connection,
            self._commit(),
            committer.enclose(connection),
        ):
            run_on(connection, committer.mark(job), committer.schema)
            yield connection
            flush(connection)
            op = committer.complete(job, self._outcome())
            self._write(run_on(connection, op, committer.schema))

    @asynccontextmanager
    async def _aopen(self) -> AsyncIterator[Any]:
        job, committer, given = self._job, self._committer, self._given
        lent = committer.alend() if given is None else nullcontext(given)
        with self._alone():
            async with lent as connection:
                with self._commit():
                    async with committer.aenclose(connection):
                        mark = committer.mark(job)
                        await arun_on(connection, mark, committer.schema)
                        yield connection
                        await aflush(connection)
                        op = committer.complete(job, self._outcome())
                        done = await arun_on(connection, op, committer.schema)
                        self._write(done)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Be the only block of the job, and the last one if it commits."""
        job = self._job
        if job.block is not None:
            raise JobStateError(job.id, "in a transaction of its own", "other", "begun")
        if job.completion is not None and job.completion.committed:
            raise JobStateError(job.id, "completed", "active", "completed")
        self._check()
        job.blocks += 1
        job.block = self
        self._value = self._written = None
        try:
            yield
        finally:
            job.block = None

    def _outcome(self) -> Outcome:
        """Return what to write, if it may still be written."""
        self._check()
        return self._value or COMPLETED

    def _check(self) -> None:
        if self._job.dropped:
            raise LeaseLost(self._job.id)
        if self._job.cancelled:
            raise JobStateError(self._job.id, "cancelled", "other", "completed")

    def _write(self, completion: Completion) -> None:
        # That this could be written means that none before it has committed.
        self._written = completion
        self._committer.written(self._job, completion)

    @contextmanager
    def _commit(self) -> Iterator[None]:
        """Note what has become of the commit."""
        try:
            yield
        except BaseException as error:
            if self._written is not None:
                if is_refusal(error):
                    self._committer.refused(self._job)
                else:
                    self._written.error = error
            raise
        if self._written is not None:
            self._committer.committed(self._job, self._written)
