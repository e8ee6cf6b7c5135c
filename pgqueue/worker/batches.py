"""Runs the handler of a worker whose jobs come in batches, each job settled by itself.

An `async def` handler is a task, a `def` handler has a thread for each batch. A job
leaves its batch when it is settled, cancelled or lost; the batch goes on for the others,
and takes its place until its handler ends or nobody waits for it any more.
"""

from __future__ import annotations

import asyncio
import threading
import time
from contextvars import copy_context
from typing import TYPE_CHECKING, Any

from pgqueue.worker.batch import BatchReporter, share_out
from pgqueue.worker.executor import CANCEL_GRACE, GRACE, plain, prepare, timed_out
from pgqueue.worker.handlers import is_async
from pgqueue.worker.outcome import CANCELLED, Outcome, TimedOut, failed
from pgqueue.worker.telling import tell

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from pgqueue.worker.active_job import ActiveJob, Reporter
    from pgqueue.worker.batch import BatchHandler
    from pgqueue.worker.executor import Settle


class Run:
    """One batch that runs.

    Attributes:
        jobs: what the handler was given.
        left: those of them that are not settled.
        late: its time is over.
    """

    def __init__(self, jobs: list[ActiveJob]) -> None:
        self.jobs = jobs
        self.left = dict.fromkeys(jobs)
        self.began = time.perf_counter()
        self.late: TimedOut | None = None
        self.task: asyncio.Task[None] | None = None
        self.timer: asyncio.TimerHandle | None = None


class BatchExecutor:
    """Runs batches.

    Args:
        settle: called with the outcome of each job, on the loop.
        ended: called when a handler has ended, on the loop.
    """

    def __init__(
        self,
        handler: BatchHandler,
        settle: Settle,
        reporter: Reporter,
        ended: Callable[[], None],
    ) -> None:
        self.handler = handler
        self._is_async = is_async(handler)
        self._settle = settle
        self._reporter = reporter
        self._ended = ended
        self._loop = asyncio.get_running_loop()
        self._context = copy_context()
        self._runs: dict[Run, None] = {}
        self._of: dict[ActiveJob, Run] = {}

    def __len__(self) -> int:
        """How many jobs run; a batch whose jobs are all settled counts as one."""
        return sum(max(1, len(run.left)) for run in self._runs)

    @property
    def batches(self) -> int:
        """How many batches run."""
        return len(self._runs)

    def running(self) -> Iterable[ActiveJob]:
        """Return the jobs that run now."""
        return list(self._of)

    def start(self, job: ActiveJob) -> None:
        """Start a batch of one."""
        self.start_batch([job])

    def start_batch(self, jobs: Sequence[ActiveJob]) -> None:
        """Start a batch of those jobs that may still start."""
        run = Run([job for job in jobs if self._may_start(job)])
        if not run.jobs:
            return
        reporter = BatchReporter(self._reporter, self._settle_in_handler)
        for job in run.jobs:
            job.reporter = reporter
            self._of[job] = run
        self._runs[run] = None
        times = [job.options.timeout for job in run.jobs]
        if limits := [one for one in times if one is not None]:
            run.timer = self._loop.call_later(min(limits), self._expire, run)
        # Not the context of whoever starts it, which may be a job that just ended.
        context = self._context.copy()
        if self._is_async:
            run.task = self._loop.create_task(self._run(run), context=context)
        else:
            threading.Thread(
                target=context.run,
                args=(self._run_in_thread, run),
                name="pgqueue-batch",
                daemon=True,
            ).start()

    def resize(self, most: int) -> None:
        """Nothing to do: a task or a thread is made for each batch."""

    def cancel(self, job: ActiveJob) -> None:
        """Tell a running job to stop; its batch only if that is all of it."""
        run = self._of.get(job)
        if run is None or job.cancelled:
            return
        job.cancelled = True
        self._loop.call_later(CANCEL_GRACE, self._let_go, job)
        if run.task is not None and all(one.cancelled for one in run.left):
            run.task.cancel()

    def abandon(self, job: ActiveJob) -> None:
        """Take a running job out of its batch; nobody will hear its outcome."""
        run = self._of.pop(job, None)
        if run is None:
            return
        job.cancelled = job.dropped = True
        del run.left[job]
        if not run.left:
            self._forget(run)

    def close(self) -> None:
        """Cancel what still runs."""
        for job in self.running():
            self.abandon(job)
        for run in list(self._runs):
            self._forget(run)

    # Beginning and end of a batch.

    def _may_start(self, job: ActiveJob) -> bool:
        try:
            prepare(job)
        except Exception as error:  # noqa: BLE001  data or expiry of this job
            self._settle(job, failed(job, error), 0.0)
            return False
        return True

    async def _run(self, run: Run) -> None:
        try:
            result = await self.handler(list(run.jobs))
        except BaseException as error:  # noqa: BLE001  whatever a handler raises
            self._loop.call_soon(self._end, run, None, error)
        else:
            # After what the handler said of single jobs, which came this way too.
            self._loop.call_soon(self._end, run, result, None)

    def _run_in_thread(self, run: Run) -> None:
        result, error = None, None
        try:
            result = plain(self.handler(list(run.jobs)))
        except BaseException as raised:  # noqa: BLE001  whatever a handler raises
            error = raised
        try:
            self._loop.call_soon_threadsafe(self._end, run, result, error)
        except RuntimeError:
            return

    def _end(self, run: Run, result: Any, error: BaseException | None) -> None:
        """Settle what the handler left unsettled."""
        if run not in self._runs:
            return
        if run.late is not None and isinstance(error, asyncio.CancelledError):
            error = run.late
        values: dict[ActiveJob, Outcome] = {}
        if error is None:
            try:
                values = share_out(run.jobs, result)
            except Exception as bad:  # noqa: BLE001  a dict of the handler's own kind
                error = bad
        for job in list(run.left):
            self._close(job, values[job] if error is None else failed(job, error))
        self._forget(run)
        self._ended()

    def _forget(self, run: Run) -> None:
        """Make room for another batch; what its handler still does is its own."""
        self._runs.pop(run, None)
        if run.timer is not None:
            run.timer.cancel()
        if run.task is not None:
            run.task.cancel()

    # One job.

    def _settle_in_handler(self, job: ActiveJob, outcome: Outcome) -> None:
        # Also if it is the loop's thread: what happens in order arrives in order.
        self._loop.call_soon_threadsafe(self._close, job, outcome)

    def _close(self, job: ActiveJob, outcome: Outcome) -> None:
        """Hand on the outcome of one job, unless it was cancelled or lost."""
        run = self._of.pop(job, None)
        if run is None:
            return
        del run.left[job]
        ran = time.perf_counter() - run.began
        self._settle(job, CANCELLED if job.cancelled else outcome, ran)

    def _let_go(self, job: ActiveJob) -> None:
        """Settle a cancelled job whose batch goes on."""
        run = self._of.get(job)
        if run is not None:
            self._drop(run, job, CANCELLED)

    def _expire(self, run: Run) -> None:
        """Fail a batch that took too long; a thread cannot be stopped, a task may."""
        if run not in self._runs:
            return
        times = [job.options.timeout for job in run.jobs]
        run.late = timed_out(min(one for one in times if one is not None))
        if run.task is None:
            self._give_up(run)
            return
        run.task.cancel()
        run.timer = self._loop.call_later(GRACE, self._give_up, run)

    def _give_up(self, run: Run) -> None:
        late = run.late
        assert late is not None, "it expired"  # noqa: S101
        for job in list(run.left):
            self._drop(run, job, failed(job, late))
        self._forget(run)

    def _drop(self, run: Run, job: ActiveJob, outcome: Outcome) -> None:
        """Settle a job whose handler goes on, for nobody."""
        self._close(job, outcome)
        job.cancelled = job.dropped = True
        tell("worker.abandoned", job)
        if not run.left:
            self._forget(run)
