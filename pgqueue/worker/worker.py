"""`Worker`: runs the jobs of one or several queues with your handler."""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
import socket
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Literal, Never, TypeVar, cast, overload

from pgqueue import options, telemetry
from pgqueue.config import Settings
from pgqueue.db.pool import aprobe
from pgqueue.errors import ConfigError, UnknownOption
from pgqueue.worker.background import Background
from pgqueue.worker.batch import Batch, BatchHandler, check_batch, check_one_job
from pgqueue.worker.emitter import Emitter, Listener, check_event
from pgqueue.worker.handlers import Handlers, check_handler, decorated_name, queue_names
from pgqueue.worker.incarnation import Incarnation
from pgqueue.worker.pauses import Pauses
from pgqueue.worker.processes import can_be_sent, hindrance
from pgqueue.worker.running import check_place, run_to_end
from pgqueue.worker.shared import SharedNumber
from pgqueue.worker.strategies import Strategy, check_strategies
from pgqueue.worker.supervisor import Supervisor

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pgqueue.shells.tasks import AsyncTask, Task
    from pgqueue.types import Duration, Keep
    from pgqueue.worker.executor import Handler

L = TypeVar("L", bound=Listener)
H = TypeVar("H", bound=Callable[..., Any])

DEFAULT_CONCURRENCY: Final = 10
DEFAULT_LEASE: Final = 30.0
DEFAULT_SHUTDOWN: Final = 30.0
SHORTEST_LEASE: Final = 1.0
PATIENCE: Final = 5.0
"""How long a worker that has stopped waits for async listeners (seconds)."""


class Worker:
    """Claims jobs and runs them, until it is stopped.

    Args:
        queues: the name of a queue, or several names.
        handler: for all jobs without a handler of their own, see `Worker.handler`.
            `async def handler(job)` runs on the loop; `def handler(job)` runs in
            a thread. What it returns is the job's result; what it raises fails the
            run. `Unrecoverable` and `RetryLater` say what becomes of the job.
        batch: the handler takes a list of jobs, see `Batch`, and may settle each of
            them; it returns None, a list of results or `{job.id: result}`.
        concurrency: how many jobs, or batches, run at once; `worker.concurrency = 20`
            changes it.
        lease: how long a job stays this worker's without a heartbeat; a dead worker
            is noticed within this and five seconds.
        max_stalled: how often a job may lose its worker before it fails.
        shutdown_timeout: how long a stop waits for what runs.
        remove_on_complete: retention for jobs that do not say; see `KeepJobs`.
        remove_on_fail: the same for jobs that fail for good.
        backoffs: strategies that jobs name in `backoff=`: functions, sync or async,
            `fn(attempt, error, job) -> seconds`; 0 runs the job again at once, a
            negative number fails it now.
        isolation: `thread` runs handlers in this process; `process` runs each job in a
            child process, which costs a process for each job that runs at once, and
            limits what a crash, `os._exit` or a handler that never returns can cost
            to one job. The handler must then be a function of a module; a script
            needs `if __name__ == "__main__":`.
        processes: how many processes `run` starts, to use as many cores; each of them
            runs `concurrency` jobs, and one that dies is replaced.
        name: shown with its jobs; host and pid by default.
        dsn: as for `Queue`.

    Raises:
        ConfigError: an argument is out of its range. No I/O happens here.
    """

    alias: str | None = None
    """Django's connection that `job.transaction()` is on, in a worker of Django's."""

    def __init__(
        self,
        queues: str | Sequence[str],
        handler: Handler | BatchHandler | None = None,
        *,
        batch: Batch | None = None,
        concurrency: int = DEFAULT_CONCURRENCY,
        lease: Duration = DEFAULT_LEASE,
        max_stalled: int = 1,
        shutdown_timeout: Duration = DEFAULT_SHUTDOWN,
        remove_on_complete: Keep | None = None,
        remove_on_fail: Keep | None = None,
        backoffs: Mapping[str, Strategy] | None = None,
        isolation: Literal["thread", "process"] = "thread",
        processes: int = 1,
        name: str | None = None,
        dsn: str | None = None,
        **unknown: Never,
    ) -> None:
        if unknown:
            raise UnknownOption.of(type(self), unknown)
        self.queues = queue_names(queues)
        self.batch = check_batch(batch, check_concurrency(concurrency))
        if handler is not None:
            check_handler(handler, "the job" if batch is None else "a list of jobs")
        elif batch is not None:
            raise ConfigError.bad("handler", handler, "with batch= a function of lists")
        if isolation == "process" and batch is not None:
            raise ConfigError.bad("isolation", isolation, "thread if batch= is given")
        if isolation not in ("thread", "process"):
            raise ConfigError.bad("isolation", isolation, "thread or process")
        if isolation == "process" and not can_be_sent(handler):
            raise ConfigError.bad(
                "handler",
                handler,
                "with isolation='process' a function at the top of a module, which a "
                "child process can import",
            )
        self.isolation = isolation
        self.processes = options.check_int("processes", processes, 1, 1024)
        self.handlers = Handlers(cast("Handler | None", handler))
        self._concurrency = check_concurrency(concurrency)
        self.lease = options.check_duration("lease", lease, positive=True)
        if self.lease < SHORTEST_LEASE:
            raise ConfigError.bad("lease", lease, "one second or more")
        self.max_stalled = options.check_int("max_stalled", max_stalled, 0, 2**31 - 1)
        self.shutdown_timeout = options.check_duration(
            "shutdown_timeout", shutdown_timeout
        )
        for option, keep in (
            ("remove_on_complete", remove_on_complete),
            ("remove_on_fail", remove_on_fail),
        ):
            if keep is not None:
                options.check_keep(option, keep)
        self.remove_on_complete = remove_on_complete
        self.remove_on_fail = remove_on_fail
        self.backoffs = check_strategies(backoffs or {})
        self.name = name or f"{socket.gethostname()}:{os.getpid()}"
        self.settings = Settings.load(dsn)
        self.emitter = Emitter()
        self.pauses = Pauses(self.settings, self.emitter)
        self._pid = os.getpid()
        self._closing = False
        self._task: asyncio.Task[None] | None = None
        self._stop: asyncio.Event | None = None
        self._now: asyncio.Event | None = None
        self._incarnation: Incarnation | None = None
        self._background: Background | None = None
        self._shared: SharedNumber | None = None

    def handler(self, name: str) -> Callable[[H], H]:
        """Let the decorated function run the jobs of a name; before the worker runs.

        Jobs of other names go to the handler that the worker was made with. Without
        one they are held for other workers, and `error` listeners get `NoHandler`.

        Raises:
            ConfigError: another handler has the name, or this is a worker of batches.
        """
        decorated_name(name, '@worker.handler("{}")')
        check_one_job(self.batch, "a handler by name")

        def register(handler: H) -> H:
            self.handlers.register(name, handler)
            return handler

        return register

    def register(self, *tasks: Task[..., Any] | AsyncTask[..., Any]) -> None:
        """Run the jobs of functions decorated with `Queue.job`.

        Raises:
            ConfigError: one is of another queue, its name has a handler already, or
                this is a worker of batches.
        """
        check_one_job(self.batch, "a function that is a job")
        for task in tasks:
            if task.queue not in self.queues:
                raise ConfigError.bad(
                    "task", task.name, f"one of the queues {', '.join(self.queues)}"
                )
            self.handlers.register(task.name, task.handle)

    @property
    def concurrency(self) -> int:
        """How many jobs, or batches, run at once.

        May be set while the worker runs, in any thread. With less, what runs goes on
        and nothing starts until there is room. With `processes=N` each of them follows
        within a second or two, in whichever of them, or in the one that started them,
        it is set.
        """
        return self._concurrency

    @concurrency.setter
    def concurrency(self, concurrency: int) -> None:
        checked = check_concurrency(concurrency)
        check_batch(self.batch, checked)
        if self._shared is not None:
            self._shared.set(checked)
        self._resize(checked)

    def _follow(self) -> None:
        """Take over what another of the processes has set."""
        if self._shared is not None:
            self._resize(self._shared.get())

    def _resize(self, concurrency: int) -> None:
        if concurrency == self._concurrency:
            return
        self._concurrency = concurrency
        if self._incarnation is not None:
            self._incarnation.resize(concurrency)

    @overload
    def on(self, event: str) -> Callable[[L], L]: ...
    @overload
    def on(self, event: str, listener: L) -> L: ...
    def on(self, event: str, listener: L | None = None) -> L | Callable[[L], L]:
        """Call a listener, sync or async, on every *event*; usable as a decorator.

        Events and their arguments: `active(job)`, `completed(job, result)`,
        `failed(job, error)` for every failed run (`error.will_retry` tells),
        `retrying(job, error)`, `progress(job, value)`, `stalled(job_id)`,
        `drained()`, `paused(queue)`, `resumed(queue)`, `lease_lost(job_id)`,
        `error(exc)`, `closing()`, `closed()`.

        Raises:
            ConfigError: there is no such event.
        """
        if listener is not None:
            self.emitter.on(event, listener)
            return listener
        check_event(event)

        def register(function: L) -> L:
            self.emitter.on(event, function)
            return function

        return register

    def off(self, event: str, listener: Listener) -> None:
        """Stop calling a listener."""
        self.emitter.off(event, listener)

    def run(self, *, drain: bool = False) -> None:
        """Work until SIGTERM or SIGINT, and block until then.

        The first signal stops gracefully: what runs may finish within
        `shutdown_timeout`, what has not started is given back. A second one stops now.

        Args:
            drain: stop by itself once no job is waiting.

        Raises:
            ConfigError: a loop runs here, or this is not the main thread.
        """
        check_place()
        if self.processes > 1:
            self._shared = SharedNumber(self._concurrency)
            alone = partial(self._run_alone, drain=drain)
            Supervisor(alone, self.processes, self._follow).run()
        else:
            self._run_alone(drain=drain)

    def _run_alone(self, *, drain: bool) -> None:
        """Be one worker process; under a supervisor it was forked just now."""
        if self.processes > 1:
            self._pid = os.getpid()
            self.name = f"{self.name}/{self._pid}"
        run_to_end(self._run_with_signals(drain=drain))

    async def serve(self, *, drain: bool = False) -> None:
        """Work until `stop` is called, on the running loop, without touching signals."""
        self._check_idle()
        self._check_handlers()
        if self._pid != os.getpid():
            raise ConfigError(
                "this worker was made before a fork; make it in the child"
            )
        self._task = asyncio.current_task()
        self._stop, self._now = asyncio.Event(), asyncio.Event()
        self._closing = False
        try:
            await self._serve(self._stop, self._now, drain=drain)
        finally:
            self._task = None

    def stop(self, *, now: bool = False) -> None:
        """Begin to stop; `serve` and `run` return when it is done.

        Call it on the worker's loop.

        Args:
            now: do not wait for what runs: it is cut off and given back.
        """
        if self._stop is not None and not self._stop.is_set():
            telemetry.emit("worker.stopping", name=self.name)
            self._stop.set()
        if now and self._now is not None:
            self._now.set()

    def closing(self) -> None:
        """Tell listeners, once, that this worker takes no more jobs."""
        if not self._closing:
            self._closing = True
            self.emitter.emit("closing")

    def begun(self) -> None:
        """Note that the database knows this worker."""
        if self._background is not None:
            self._background.begun()

    async def __aenter__(self) -> Worker:
        """Return once the database knows it; raises what keeps it from that."""
        self._check_idle()
        self._background = Background(self)
        try:
            await self._background.start()
        except BaseException:
            self._background = None
            raise
        return self

    async def __aexit__(self, *exc: object) -> None:
        background, self._background = self._background, None
        if background is not None:
            await background.end()

    def _check_idle(self) -> None:
        if self._task is not None:
            raise ConfigError("this worker is running already")

    def _check_handlers(self) -> None:
        if not self.handlers.kinds():
            raise ConfigError(
                "this worker has no handler; give it one, or decorate functions with "
                "@worker.handler(name)"
            )
        if self.isolation == "process" and (why := hindrance(self.handlers)):
            allowed = (
                "with isolation='process' functions that a child process can import"
            )
            named = list(self.handlers.named)
            raise ConfigError.bad("handler", named, f"{allowed} ({why})")

    async def _run_with_signals(self, *, drain: bool) -> None:
        loop = asyncio.get_running_loop()

        def on_signal() -> None:
            again = self._stop is not None and self._stop.is_set()
            self.stop(now=again)

        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, on_signal)
        try:
            await self.serve(drain=drain)
        finally:
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.remove_signal_handler(number)

    async def _serve(
        self, stop: asyncio.Event, now: asyncio.Event, *, drain: bool
    ) -> None:
        """Live one life after the other: a fenced one is followed by a fresh start."""
        telemetry.emit("worker.started", name=self.name, queues=",".join(self.queues))
        # What is wrong from the start is said at once; later the worker is patient.
        await aprobe(self.settings)
        while not stop.is_set():
            self._incarnation = Incarnation(self, secrets.randbits(62) + 1)
            fenced = await self._incarnation.live(stop, now, drain=drain)
            if not fenced:
                break
        self.closing()
        self.emitter.emit("closed")
        await self.emitter.settle(PATIENCE)
        telemetry.emit("worker.stopped", name=self.name)


def check_concurrency(value: int) -> int:
    """Return how many jobs may run at once."""
    return options.check_int("concurrency", value, 1, 10_000)
