"""Runs each job in a child process: what kills the process costs one job.

Children are started when they are first needed, and used again. A run that exceeds its
timeout, or whose lease is lost, is ended by killing its process.
"""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import pickle
import signal
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from pgqueue import payload
from pgqueue.errors import RateLimited, RetryLater, Unrecoverable, WaitForChildren
from pgqueue.worker.child import serve
from pgqueue.worker.completion import Completion
from pgqueue.worker.executor import prepare, timed_out
from pgqueue.worker.outcome import (
    CANCELLED,
    COMPLETED,
    BadResult,
    Outcome,
    RemoteError,
    completed,
    failed,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from multiprocessing.connection import Connection
    from multiprocessing.context import SpawnProcess

    from pgqueue.worker.active_job import ActiveJob
    from pgqueue.worker.committer import Terms
    from pgqueue.worker.emitter import Emitter
    from pgqueue.worker.executor import Settle
    from pgqueue.worker.handlers import Handlers

SPAWN: Final = multiprocessing.get_context("spawn")

STARTING: Final = 120.0
"""How long a child may take to be ready for a job (seconds): it imports the application."""


class ProcessDied(Exception):
    """The process that ran a job ended before the job did."""


def can_be_sent(handler: object) -> bool:
    """Whether a child process can import the handler: no lambda, nothing local."""
    return not hindrance(handler)


def hindrance(handler: object) -> str:
    """Return why a child process cannot import a handler; empty if it can."""
    try:
        pickle.dumps(handler)
    except Exception as error:  # noqa: BLE001  pickling calls the object's own code
        return str(error) or type(error).__name__
    return ""


@dataclass(slots=True, eq=False)
class Child:
    """One child process, and what it runs.

    Attributes:
        began: when the run did; before that, when it was asked for.
        starting: the run has not begun.
    """

    process: SpawnProcess
    pipe: Connection
    job: ActiveJob | None = None
    began: float = 0.0
    starting: bool = False
    timer: asyncio.TimerHandle | None = None


class ProcessExecutor:
    """Runs handlers, `async def` or `def`, in child processes.

    Args:
        handlers: functions that a child process can import.
        settle: called with the outcome of each run, on the loop.
        committed: called with a job that its handler has completed by a transaction.
    """

    def __init__(
        self,
        handlers: Handlers,
        settle: Settle,
        *,
        terms: Terms,
        emitter: Emitter,
        committed: Callable[[ActiveJob], None],
    ) -> None:
        self._committed = committed
        self._handlers = handlers
        self._settle = settle
        self._terms = terms
        self._emitter = emitter
        self._loop = asyncio.get_running_loop()
        self._idle: list[Child] = []
        self._running: dict[ActiveJob, Child] = {}

    def __len__(self) -> int:
        return len(self._running)

    def running(self) -> Iterable[ActiveJob]:
        """Return the jobs that run now."""
        return list(self._running)

    def start(self, job: ActiveJob) -> None:
        """Hand a job to a child that is free, or to a new one."""
        try:
            prepare(job)
        except Exception as error:  # noqa: BLE001  data or expiry of this job
            self._loop.call_soon(self._settle, job, failed(job, error), 0.0)
            return
        child = self._idle.pop() if self._idle else self._spawn()
        child.job, child.began, child.starting = job, time.perf_counter(), True
        self._running[job] = child
        # A new process imports the application first: the job's own timeout is not for
        # that, or every run of a job with a short one would fail.
        child.timer = self._loop.call_later(STARTING, self._expire, job)
        order = {
            "queue": job.queue,
            "queue_id": job.queue_id,
            "row": job.row(),
            "data": job.data,
        }
        try:
            child.pipe.send_bytes(json.dumps(order).encode())
        except OSError:
            # It died while it was idle; its end is noticed, and told, on the loop.
            self._loop.call_soon(self._ended, child)

    def resize(self, most: int) -> None:
        """End the children that are idle and too many."""
        while self._idle and len(self._idle) + len(self._running) > most:
            self._kill(self._idle.pop())

    def abandon(self, job: ActiveJob) -> None:
        """End a running job with its process; nobody will hear its outcome."""
        child = self._running.pop(job, None)
        if child is not None:
            job.cancelled = job.dropped = True
            self._kill(child)

    def cancel(self, job: ActiveJob) -> None:
        """End a running job with its process."""
        if child := self._running.get(job):
            self.abandon(job)
            self._settle(job, CANCELLED, time.perf_counter() - child.began)

    def close(self) -> None:
        """End all children."""
        for job in self.running():
            self.abandon(job)
        for child in self._idle:
            self._kill(child)
        self._idle.clear()

    def _spawn(self) -> Child:
        ours, theirs = SPAWN.Pipe()
        process = SPAWN.Process(
            target=serve,
            args=(theirs, self._handlers, self._terms),
            name="pgqueue-job",
            daemon=True,
        )
        process.start()
        theirs.close()
        child = Child(process, ours)
        self._loop.add_reader(ours.fileno(), self._readable, child)
        return child

    def _kill(self, child: Child) -> None:
        if child.pipe.closed:
            return
        if child.timer is not None:
            child.timer.cancel()
        self._loop.remove_reader(child.pipe.fileno())
        child.pipe.close()
        if child.process.exitcode is None:
            child.process.kill()
            self._loop.run_in_executor(None, child.process.join)

    def _readable(self, child: Child) -> None:
        try:
            # What is heard may end the child: when it was the last of its jobs.
            while not child.pipe.closed and child.pipe.poll():
                self._hear(child, json.loads(child.pipe.recv_bytes()))
        except (EOFError, OSError):
            self._ended(child)

    def _hear(self, child: Child, message: dict[str, Any]) -> None:
        job = child.job
        if job is None:
            return
        if "began" in message:
            self._began(child, job)
            return
        if "progress" in message:
            job.traces = True
            job.progress = message["progress"]
            if self._emitter.heard("progress"):
                self._emitter.emit("progress", job.snapshot(), job.progress)
            return
        if "completing" in message:
            # Before the commit, so that a child that dies in it leaves no riddle.
            job.completion = completion_of(message["completing"])
            return
        if "committed" in message:
            if job.completion is not None:
                job.completion.committed = True
                self._committed(job)
            return
        ran = time.perf_counter() - child.began
        if child.timer is not None:
            child.timer.cancel()
        child.job = child.timer = None
        # It may have logged, which only the child knows.
        job.traces = True
        del self._running[job]
        self._idle.append(child)
        if message["ended"] == "completed":
            outcome = completed(job, payload.decode(message["result"]))
        else:
            outcome = failed(job, remote_error(message))
        self._settle(job, outcome, ran)

    def _began(self, child: Child, job: ActiveJob) -> None:
        """The handler runs from now on."""
        child.began, child.starting = time.perf_counter(), False
        if child.timer is not None:
            child.timer.cancel()
            child.timer = None
        if job.options.timeout is not None:
            child.timer = self._loop.call_later(job.options.timeout, self._expire, job)

    def _ended(self, child: Child) -> None:
        """A process is gone: fail what it ran, if anything, and forget it."""
        if child.pipe.closed:
            return
        job = child.job
        # Its end of the pipe closed, so it is gone or about to be: reap it here, once.
        child.process.join(1.0)
        code = child.process.exitcode
        self._kill(child)
        if child in self._idle:
            self._idle.remove(child)
        if job is None or self._running.pop(job, None) is None:
            return
        error = ProcessDied(f"its process died: {how(code)}")
        self._settle(job, failed(job, error), time.perf_counter() - child.began)

    def _expire(self, job: ActiveJob) -> None:
        if (child := self._running.get(job)) is None:
            return
        ran = time.perf_counter() - child.began
        error: Exception = timed_out(job.options.timeout or 0.0)
        if child.starting:
            error = ProcessDied(f"its process did not start within {STARTING:g} s")
        self.abandon(job)
        self._settle(job, failed(job, error), ran)


def completion_of(told: dict[str, Any] | None) -> Completion | None:
    """Return what a child says of a completion; None if its commit was refused."""
    if told is None:
        return None
    result = payload.decode(told["result"])
    outcome = Outcome("completed", result, told["result"])
    if outcome.result is None:
        outcome = COMPLETED
    return Completion(outcome, told["ran"], told["answers"])


def remote_error(message: dict[str, Any]) -> Exception:
    """Return the exception that says what was raised in a child."""
    there = RemoteError(
        message["reason"], message["stack"], message.get("kind", BadResult.__name__)
    )
    match message["ended"]:
        case "later":
            return RetryLater(message["delay"], message["reason"])
        case "children":
            return WaitForChildren(message["reason"])
        case "limited":
            return RateLimited(message["delay"])
        case "final":
            final = Unrecoverable(message["reason"])
            final.__cause__ = there
            return final
        case _:
            return there


def how(exitcode: int | None) -> str:
    """Say how a process ended."""
    if exitcode is not None and exitcode < 0:
        try:
            name = signal.Signals(-exitcode).name
        except ValueError:
            name = "unknown"
        return f"signal {-exitcode} ({name})"
    return f"exit code {exitcode}"
