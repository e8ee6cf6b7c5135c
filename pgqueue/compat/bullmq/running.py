"""How a worker runs one job, and writes how it ended."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable
from typing import TYPE_CHECKING, Any, Final

from pgqueue.compat.bullmq.custom_errors import (
    DelayedError,
    UnrecoverableError,
    WaitingChildrenError,
)
from pgqueue.compat.bullmq.settling import complete, fail, wait_for_children
from pgqueue.errors import DatabaseUnavailable, PayloadError, WaitForChildren

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from pgqueue.compat.bullmq.claims import Holder
    from pgqueue.compat.bullmq.job import Job
    from pgqueue.compat.bullmq.link import Bell
    from pgqueue.compat.bullmq.lock_manager import LockManager

WITH_SIGNAL: Final = 3
SYNC: Final = "the processor returned {}, not something to await; make it `async def`"

WRITE_PAUSES: Final = (0.1, 0.5, 1.0, 2.0)


def to_await(running: object) -> Awaitable[Any]:
    """Return what a processor returned, which is to be awaited.

    Raises:
        TypeError: it is a plain `def`, and has done its work already.
    """
    if not isinstance(running, Awaitable):
        raise TypeError(SYNC.format(type(running).__name__))
    return running


def arity(processor: Callable[..., Any] | None) -> int:
    """Return how many of job, token and signal a processor takes."""
    try:
        parameters = inspect.signature(processor or arity).parameters.values()
    except (TypeError, ValueError):
        return 2
    positional = (
        inspect.Parameter.POSITIONAL_ONLY,
        inspect.Parameter.POSITIONAL_OR_KEYWORD,
    )
    if any(one.kind is inspect.Parameter.VAR_POSITIONAL for one in parameters):
        return 3
    return min(3, sum(one.kind in positional for one in parameters))


async def getCompleted(
    task_set: set[asyncio.Future[Any]], emit_callback: Callable[..., object]
) -> tuple[list[Any], set[asyncio.Future[Any]]]:
    """Wait for the first task to complete; return results, and the tasks that go on.

    What a task raised is told by `emit_callback("error", …)`. It has no result then,
    as one that returned None.
    """
    if not task_set:
        await asyncio.sleep(0)
        return [], set()
    done, pending = await asyncio.wait(task_set, return_when=asyncio.FIRST_COMPLETED)
    results = []
    for task in done:
        try:
            result = task.result()
        except Exception as error:  # noqa: BLE001  it is told
            emit_callback("error", error)
            continue
        if result is not None:
            results.append(result)
    return results, pending


async def to_the_end(work: Coroutine[Any, Any, None]) -> None:
    """Await something that goes on though who waits for it is cancelled.

    Raises:
        CancelledError: who waits was; the work has ended all the same.
    """
    task = asyncio.get_running_loop().create_task(work)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is None:
        return task.result()
    raise cancelled from (None if task.cancelled() else task.exception())


class Running:
    """The running of `Worker`."""

    processor: Callable[..., Awaitable[Any]] | None
    holder: Holder
    lockManager: LockManager
    running_jobs: dict[str, Job]
    closed: bool
    emit: Callable[..., None]
    _bell: Bell | None
    _arity: int
    _tasks: set[asyncio.Task[None]]
    _claimed: dict[str, Job]
    _runs: dict[asyncio.Task[None], Job]
    _stopping: set[int]

    def stop_cancelled(self, numbers: set[int]) -> None:
        """Stop the processors of jobs that `Queue.cancel` asked to stop."""
        for number in numbers - self._stopping:
            for task, job in self._runs.items():
                if job.number == number:
                    self._stopping.add(number)
                    self.lockManager.cancel_job(str(job.id), "cancelled")
                    task.cancel()

    def _start(self, job: Job) -> None:
        task = asyncio.get_running_loop().create_task(self._process(job))
        self._runs[task] = job
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._runs.pop(task, None)
        if self._bell is not None:
            self._bell.ring()

    async def _carry_out(self, work: Coroutine[Any, Any, None]) -> None:
        """Await what waits for running jobs, to the end."""
        if asyncio.current_task() in self._tasks:
            # A processor: it must end when it is cancelled, it is waited for itself.
            await work
        else:
            await to_the_end(work)

    async def _process(self, job: Job) -> None:
        """Run one job and write how it ended; nothing that it raises gets further."""
        self.running_jobs[str(job.id)] = job
        controller = self.lockManager.track_job(
            str(job.id),
            str(job.token),
            job.processedOn or 0,
            self._arity >= WITH_SIGNAL,
        )
        arguments: tuple[Any, ...] = (job, job.token)[: self._arity]
        if controller is not None:
            arguments += (controller.signal,)
        event = None
        try:
            event = await self._run_one(job, arguments)
        except Exception as error:  # noqa: BLE001  e.g. the lock was lost
            self.emit("error", error)
        finally:
            self._stopping.discard(job.number or 0)
            self._forget(job)
        if event is not None:
            self.emit(*event)

    async def _run_one(
        self, job: Job, arguments: tuple[Any, ...]
    ) -> tuple[Any, ...] | None:
        """Return the event to emit, if the processor did not settle the job by itself."""
        assert self.processor is not None and job.claim is not None  # noqa: S101, PT018
        failure: BaseException | None = None
        result: Any = None
        try:
            result = await to_await(self.processor(*arguments))
        except BaseException as error:
            failure = error
            task = asyncio.current_task()
            if job.number in self._stopping and task is not None:
                task.uncancel()
                failure = UnrecoverableError("cancelled")
            elif self.closed or (task is not None and task.cancelling()):
                raise
        if job.claim.settled or self.closed:
            # Closed by force: whatever it returned, the job is to be found stalled.
            return None
        if failure is None:
            try:
                await self._write(job, complete, result)
            except PayloadError as error:
                failure = error
            else:
                return ("completed", job, result)
        if isinstance(failure, DelayedError):
            # Without having moved it: its lock is to end, and the job found stalled.
            self.holder.give_up(job.claim)
            return None
        if isinstance(failure, (WaitingChildrenError, WaitForChildren)):
            await wait_for_children(job.claim)
            return None
        await self._write(job, fail, failure)
        return ("failed", job, failure)

    async def _write(self, job: Job, how: Any, value: Any) -> None:
        """Write an outcome; again if the database is away for a moment."""
        assert job.claim is not None  # noqa: S101
        for pause in (*WRITE_PAUSES, None):
            try:
                await how(job.claim, job, value, next=False)
            except DatabaseUnavailable:
                if pause is None:
                    self.holder.give_up(job.claim)
                    raise
                await asyncio.sleep(pause)
            else:
                return

    def _forget(self, job: Job) -> None:
        if self.running_jobs.get(str(job.id)) is not job:
            # It runs here again: it was put back before this run had returned.
            return
        self.lockManager.untrack_job(str(job.id))
        self.running_jobs.pop(str(job.id), None)
        self._claimed.pop(str(job.id), None)
