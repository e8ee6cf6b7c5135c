"""Steer jobs: retry, promote, and change what has not started."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pgqueue import payload
from pgqueue.ops import control
from pgqueue.options import MAX_PRIORITY, check_duration, check_flag, check_int
from pgqueue.shells.base import AsyncShell, Shell
from pgqueue.shells.checks import check_id, check_retry

if TYPE_CHECKING:
    from datetime import datetime

    from pgqueue.types import Duration, FinishedState, Job, JsonValue


class Control(Shell):
    """Retry, promote, and change what has not started."""

    def retry(
        self, job_id: int, *, reset_attempts: bool = False, connection: Any = None
    ) -> Job:
        """Put a completed or failed job back to waiting; its attempts stay counted.

        A job that has used them up runs once more. Its key and what it left behind stay;
        a deduplication id is not taken again.

        Args:
            reset_attempts: count them from zero again.

        Raises:
            JobNotFound: the queue has no job with this id.
            JobStateError: the job has not finished.
        """
        reset = check_flag("reset_attempts", reset_attempts)
        op = control.retry(self.name, check_id(job_id), reset=reset)
        return self._run(op, connection)

    def retry_all(
        self,
        state: FinishedState = "failed",
        *,
        before: datetime | None = None,
        name: str | None = None,
        limit: int | None = None,
        reset_attempts: bool = False,
        connection: Any = None,
    ) -> int:
        """Put all failed jobs back to waiting, the oldest first, in batches.

        Only jobs that have finished before the call: what fails again meanwhile stays.
        Failed children of a flow go before their parents, which wait for them.

        Args:
            state: failed or completed.
            before: only jobs that finished at this instant or earlier.
            name: only jobs of this name.
            limit: at most so many; all by default.
            reset_attempts: count their attempts from zero again.

        Returns:
            How many were put back.
        """
        asked = check_retry(state, before, name, limit)
        reset = check_flag("reset_attempts", reset_attempts)
        op = control.retry_all(self.name, **asked, reset=reset)
        return self._run(op, connection)

    def promote(self, job_id: int, *, connection: Any = None) -> Job:
        """Let a delayed job run now.

        Raises:
            JobNotFound: the queue has no job with this id.
            JobStateError: the job is not delayed.
        """
        return self._run(control.promote(self.name, check_id(job_id)), connection)

    def promote_all(self, *, connection: Any = None) -> int:
        """Let all jobs that are delayed now run, in batches, in the order of their ids.

        Returns:
            How many were promoted.
        """
        return self._run(control.promote_all(self.name), connection)

    def cancel(self, job_id: int, *, connection: Any = None) -> Job:
        """Cancel a job, wherever it is: it ends as failed, with the reason `cancelled`.

        One that does not run fails at once. One that runs is told in its worker: an
        `async def` handler by CancelledError, a `def` handler by `job.cancelled`, a
        process is killed. It is not retried, whatever its handler makes of it.

        Returns:
            The job; still active until its worker has stopped it.

        Raises:
            JobNotFound: the queue has no job with this id.
            JobStateError: the job has finished.
        """
        return self._run(control.cancel(self.name, check_id(job_id)), connection)

    def update_data(
        self, job_id: int, data: JsonValue, *, connection: Any = None
    ) -> Job:
        """Replace the data of a job that is not active, finished ones included.

        Raises:
            JobNotFound: the queue has no job with this id.
            JobStateError: a worker runs the job, and has read its data.
            PayloadError: the data cannot be stored; nothing was sent.
        """
        text = payload.encode(data, f"data of job {job_id}", self._limit)
        op = control.update_data(self.name, check_id(job_id), text)
        return self._run(op, connection)

    def change_priority(
        self,
        job_id: int,
        priority: int,
        *,
        lifo: bool = False,
        connection: Any = None,
    ) -> Job:
        """Give a job that has not started another priority.

        Args:
            priority: 0 to 2 097 151, as in `add`.
            lifo: a waiting job goes before those of the priority, not behind them.

        Raises:
            JobNotFound: the queue has no job with this id.
            JobStateError: the job has started or finished.
        """
        urgency = check_int("priority", priority, 0, MAX_PRIORITY)
        first = check_flag("lifo", lifo)
        op = control.change_priority(self.name, check_id(job_id), urgency, lifo=first)
        return self._run(op, connection)

    def change_delay(
        self, job_id: int, delay: Duration, *, connection: Any = None
    ) -> Job:
        """Let a delayed job wait for this long from now, whatever it had waited.

        Raises:
            JobNotFound: the queue has no job with this id.
            JobStateError: the job is not delayed.
        """
        wait = check_duration("delay", delay)
        op = control.change_delay(self.name, check_id(job_id), wait)
        return self._run(op, connection)


class AsyncControl(AsyncShell):
    """The same, awaited."""

    async def retry(
        self, job_id: int, *, reset_attempts: bool = False, connection: Any = None
    ) -> Job:
        """Put a completed or failed job back to waiting; its attempts stay counted."""
        reset = check_flag("reset_attempts", reset_attempts)
        op = control.retry(self.name, check_id(job_id), reset=reset)
        return await self._run(op, connection)

    async def retry_all(
        self,
        state: FinishedState = "failed",
        *,
        before: datetime | None = None,
        name: str | None = None,
        limit: int | None = None,
        reset_attempts: bool = False,
        connection: Any = None,
    ) -> int:
        """Put all failed jobs back to waiting, the oldest first, in batches."""
        asked = check_retry(state, before, name, limit)
        reset = check_flag("reset_attempts", reset_attempts)
        op = control.retry_all(self.name, **asked, reset=reset)
        return await self._run(op, connection)

    async def promote(self, job_id: int, *, connection: Any = None) -> Job:
        """Let a delayed job run now."""
        return await self._run(control.promote(self.name, check_id(job_id)), connection)

    async def promote_all(self, *, connection: Any = None) -> int:
        """Let all jobs that are delayed now run, in batches, in the order of their ids."""
        return await self._run(control.promote_all(self.name), connection)

    async def cancel(self, job_id: int, *, connection: Any = None) -> Job:
        """Cancel a job, wherever it is: it ends as failed, with the reason `cancelled`."""
        return await self._run(control.cancel(self.name, check_id(job_id)), connection)

    async def update_data(
        self, job_id: int, data: JsonValue, *, connection: Any = None
    ) -> Job:
        """Replace the data of a job that is not active, finished ones included."""
        text = payload.encode(data, f"data of job {job_id}", self._limit)
        op = control.update_data(self.name, check_id(job_id), text)
        return await self._run(op, connection)

    async def change_priority(
        self,
        job_id: int,
        priority: int,
        *,
        lifo: bool = False,
        connection: Any = None,
    ) -> Job:
        """Give a job that has not started another priority."""
        urgency = check_int("priority", priority, 0, MAX_PRIORITY)
        first = check_flag("lifo", lifo)
        op = control.change_priority(self.name, check_id(job_id), urgency, lifo=first)
        return await self._run(op, connection)

    async def change_delay(
        self, job_id: int, delay: Duration, *, connection: Any = None
    ) -> Job:
        """Let a delayed job wait for this long from now, whatever it had waited."""
        wait = check_duration("delay", delay)
        op = control.change_delay(self.name, check_id(job_id), wait)
        return await self._run(op, connection)
