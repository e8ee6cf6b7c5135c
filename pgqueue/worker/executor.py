"""Runs handlers: `async def` on the loop, `def` in threads, each job on its own."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from contextvars import copy_context
from queue import SimpleQueue
from typing import Any, Final

from pgqueue import payload
from pgqueue.errors import Unrecoverable
from pgqueue.worker.active_job import ActiveJob, Reporter
from pgqueue.worker.outcome import (
    CANCELLED,
    Expired,
    Outcome,
    TimedOut,
    completed,
    failed,
)
from pgqueue.worker.telling import tell

Handler = Callable[[ActiveJob], Any]
Settle = Callable[[ActiveJob, Outcome, float], None]

GRACE: Final = 1.0
"""How long an `async def` handler may take to end once its timeout cancelled it."""

CANCEL_GRACE: Final = 5.0
"""How long an `async def` handler may take to end once it was cancelled (seconds)."""


class AsyncExecutor:
    """Runs `async def` handlers, one task a job that runs.

    Args:
        handler: the user's function.
        settle: called with the outcome of each run, on the loop.
    """

    def __init__(self, handler: Handler, settle: Settle, reporter: Reporter) -> None:
        self._handler = handler
        self._settle = settle
        self._reporter = reporter
        self._loop = asyncio.get_running_loop()
        self._context = copy_context()
        self._running: dict[ActiveJob, asyncio.Task[None]] = {}

    def __len__(self) -> int:
        return len(self._running)

    def running(self) -> Iterable[ActiveJob]:
        """Return the jobs that run now."""
        return list(self._running)

    def start(self, job: ActiveJob) -> None:
        """Start a job."""
        job.reporter = self._reporter
        # Not the context of whoever starts it, which may be a job that just ended.
        context = self._context.copy()
        self._running[job] = self._loop.create_task(self._run(job), context=context)

    def resize(self, tasks: int) -> None:
        """Nothing to do: a task is made for each job."""

    def abandon(self, job: ActiveJob) -> None:
        """Cancel a running job; nobody will hear its outcome."""
        task = self._running.pop(job, None)
        if task is not None:
            job.cancelled = job.dropped = True
            task.cancel()

    def cancel(self, job: ActiveJob) -> None:
        """Cancel a running job; its outcome says so."""
        task = self._running.get(job)
        if task is not None and not job.cancelled:
            job.cancelled = True
            task.cancel()
            self._loop.call_later(CANCEL_GRACE, self._let_go, job)

    def _let_go(self, job: ActiveJob) -> None:
        """Settle a cancelled job whose handler goes on."""
        if job in self._running:
            self.abandon(job)
            tell("worker.abandoned", job)
            self._settle(job, CANCELLED, CANCEL_GRACE)

    def close(self) -> None:
        """Cancel what still runs."""
        for job in self.running():
            self.abandon(job)

    async def _run(self, job: ActiveJob) -> None:
        try:
            prepare(job)
            if job.options.timeout is None:
                result = await self._handler(job)
            else:
                result = await self._within(job, job.options.timeout)
            outcome = completed(job, result)
        except BaseException as error:  # noqa: BLE001  whatever a handler raises
            # SystemExit and KeyboardInterrupt of a handler fail its job, no more.
            outcome = failed(job, error)
        if job.cancelled:
            outcome = CANCELLED
        if self._running.pop(job, None) is not None:
            self._settle(job, outcome, time.perf_counter() - job.began)

    async def _within(self, job: ActiveJob, seconds: float) -> Any:
        limit = asyncio.timeout(seconds)
        # A handler may also swallow the cancellation and go on.
        deaf = self._loop.call_later(seconds + GRACE, self._give_up, job)
        try:
            async with limit:
                return await self._handler(job)
        except TimeoutError as error:
            if limit.expired():
                raise timed_out(seconds) from error
            raise
        finally:
            deaf.cancel()

    def _give_up(self, job: ActiveJob) -> None:
        if job in self._running:
            seconds = job.options.timeout or 0.0
            outcome = CANCELLED if job.cancelled else failed(job, timed_out(seconds))
            self.abandon(job)
            tell("worker.abandoned", job)
            self._settle(job, outcome, seconds + GRACE)


def prepare(job: ActiveJob) -> None:
    """Read a job's data, and see that it may still start.

    Raises:
        PayloadError: the data cannot be read.
        Unrecoverable: it was cancelled before it could start.
        Expired: it was to start earlier, or not at all.
    """
    job.began = time.perf_counter()
    if job.cancelled:
        raise Unrecoverable("cancelled")
    job.data = payload.decode(job.raw_data)
    if job.options.expires is not None and job.expired():
        raise Expired("expired before a worker could start it")


def timed_out(seconds: float) -> TimedOut:
    """Return the error of a run that took too long."""
    return TimedOut(f"took longer than its timeout of {seconds:g} s")


class ThreadExecutor:
    """Runs `def` handlers in threads of its own.

    A thread cannot be stopped: a job that times out or loses its lease is told by
    `job.cancelled`, and another thread takes the place of the one it occupies.
    """

    def __init__(
        self, handler: Handler, settle: Settle, reporter: Reporter, threads: int
    ) -> None:
        self._handler = handler
        self._settle = settle
        self._reporter = reporter
        self._wanted = threads
        self._loop = asyncio.get_running_loop()
        self._todo: SimpleQueue[ActiveJob | None] = SimpleQueue()
        self._done: deque[tuple[ActiveJob, Outcome, float]] = deque()
        self._noticed = True
        self._threads = 0
        self._lock = threading.Lock()
        self._running: dict[ActiveJob, asyncio.TimerHandle | None] = {}

    def __len__(self) -> int:
        return len(self._running)

    def running(self) -> Iterable[ActiveJob]:
        """Return the jobs that run now."""
        return list(self._running)

    def start(self, job: ActiveJob) -> None:
        """Hand a job to a thread; the caller keeps to the number of threads."""
        job.reporter = self._reporter
        timeout = job.options.timeout
        self._running[job] = (
            None
            if timeout is None
            else self._loop.call_later(timeout, self._expire, job)
        )
        # More than one, if threads were told to end and have not come to it.
        while self._threads < min(len(self._running), self._wanted):
            self._grow()
        self._todo.put(job)

    def resize(self, threads: int) -> None:
        """Keep so many threads; those that are too many end after their job."""
        self._wanted = threads
        while self._threads > threads:
            self._threads -= 1
            self._todo.put(None)

    def abandon(self, job: ActiveJob) -> None:
        """Tell a running job to stop; nobody will hear its outcome."""
        if job not in self._running:
            return
        timer = self._running.pop(job)
        if timer is not None:
            timer.cancel()
        with self._lock:
            job.cancelled = job.dropped = True
            ended = any(done[0] is job for done in self._done)
        if not ended:
            # Its thread may never come back: make room for another.
            self._threads -= 1
            tell("worker.abandoned", job)

    def close(self) -> None:
        """Let idle threads end; the process does not wait for the others."""
        for job in self.running():
            self.abandon(job)
        for _ in range(self._threads):
            self._todo.put(None)

    def cancel(self, job: ActiveJob) -> None:
        """Tell a running job to stop; its thread cannot be made to."""
        if job in self._running:
            job.cancelled = True

    def _grow(self) -> None:
        self._threads += 1
        threading.Thread(target=self._work, name="pgqueue-handler", daemon=True).start()

    def _work(self) -> None:
        """Run jobs until told to end, or until abandoned with one."""
        while (job := self._next()) is not None:
            try:
                prepare(job)
                result = copy_context().run(self._handler, job)
                outcome = completed(job, plain(result))
            except BaseException as error:  # noqa: BLE001  whatever a handler raises
                outcome = failed(job, error)
            # Abandoned or ended, never both: the threads are counted by it.
            with self._lock:
                if job.dropped:
                    return
                if job.cancelled:
                    outcome = CANCELLED
                ran = time.perf_counter() - job.began
                self._done.append((job, outcome, ran))
            # One wake-up for all that ends until the loop looks.
            if self._noticed:
                self._noticed = False
                try:
                    self._loop.call_soon_threadsafe(self._collect)
                except RuntimeError:
                    return

    def _next(self) -> ActiveJob | None:
        """Return the next job; None says that this thread is wanted no more."""
        job = self._todo.get()
        return None if job is None or job.dropped else job

    def _collect(self) -> None:
        self._noticed = True
        while self._done:
            job, outcome, ran = self._done.popleft()
            if job in self._running:
                timer = self._running.pop(job)
                if timer is not None:
                    timer.cancel()
                self._settle(job, outcome, ran)

    def _expire(self, job: ActiveJob) -> None:
        if job not in self._running:
            return
        timeout = job.options.timeout or 0.0
        outcome = CANCELLED if job.cancelled else failed(job, timed_out(timeout))
        self.abandon(job)
        self._settle(job, outcome, timeout)


def plain(result: Any) -> Any:
    """Return what a `def` handler returned, unless it is something to await.

    Raises:
        TypeError: it is; the worker would never await it.
    """
    if isinstance(result, Awaitable):
        if asyncio.iscoroutine(result):
            result.close()
        raise TypeError("a `def` handler returned an awaitable; make it `async def`")
    return result
