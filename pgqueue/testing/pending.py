"""`run_pending` and `arun_pending`: run what is due, on the test's own connection."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextvars import copy_context
from functools import partial
from threading import Thread
from typing import TYPE_CHECKING, Any, TypeVar

from pgqueue import options
from pgqueue.db.django import by_alias
from pgqueue.errors import ConfigError
from pgqueue.ops.leases import save_progress
from pgqueue.shells import site
from pgqueue.testing.committing import TestCommitter
from pgqueue.testing.guarding import aguard, guard
from pgqueue.testing.reaching import (
    acaller,
    caller,
    django_alias,
    in_django,
    name_of,
    refuse_loop,
    wait_in_django,
)
from pgqueue.testing.running import Run, Runner
from pgqueue.worker.active_job import Done
from pgqueue.worker.committer import Terms
from pgqueue.worker.emitter import Emitter
from pgqueue.worker.executor import plain
from pgqueue.worker.reporter import ThreadReporter
from pgqueue.worker.worker import Worker

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Generator

    from pgqueue.ops.core import Atomic, Op
    from pgqueue.shells.base import AsyncCaller, Caller
    from pgqueue.worker.active_job import ActiveJob, Reporter
    from pgqueue.worker.committer import Committer
    from pgqueue.worker.finisher import Finisher

T = TypeVar("T")


def run_pending(
    worker: Worker | Callable[[ActiveJob], Any] | Mapping[str, Any],
    *,
    queue: Any = None,
    connection: Any = None,
    max_jobs: int | None = None,
    raise_errors: bool = False,
    dsn: str | None = None,
) -> list[Run]:
    """Run jobs until none is due, in this thread, by a worker's own statements.

    Jobs that handlers add run too, and so do retries, parents and occurrences that are
    due by then; what is delayed waits for `travel`. `async def` handlers run on a loop of
    their own, `def` handlers without one. Job timeouts bound `async def` handlers only.

    A worker or a queue of `pgqueue.django` is on Django's connection of this thread, so
    in a `TestCase` all of it is a part of the test's transaction.

    Args:
        worker: a `Worker`, which is not started; or a handler, or handlers by job name.
        queue: with handlers: the queue, its name, or several; the first one given as a
            `Queue` says which database to use.
        connection: the test's own; nothing is committed. Without it and without Django
            all is committed, on connections of the queue or the worker.
        max_jobs: stop after so many runs.
        raise_errors: raise what the first failing handler raised, once that run is
            written down; otherwise look at `Run.error`.

    Raises:
        ConfigError: an argument is out of its range, or a transaction that is still open,
            such as the test's, holds what a connection of its own needs.
        PgQueueError: it does not come to an end.
    """
    made, via = prepared(worker, queue, max_jobs, dsn)
    return run_made(made, via, connection, dsn, max_jobs, raise_errors=raise_errors)


def run_made(
    made: Worker,
    via: Any,
    connection: Any,
    dsn: str | None,
    max_jobs: int | None,
    *,
    raise_errors: bool,
) -> list[Run]:
    """Do what `run_pending` does, by a worker whose queues are known."""
    to = caller(via, dsn, made)
    guard(to, connection)
    if django_alias(to, connection) is not None:
        refuse_loop()
    bench = SyncBench(to, connection, made.emitter)
    try:
        return bench.complete(
            Runner(made, bench).run(max_jobs, raise_errors=raise_errors)
        )
    finally:
        bench.close()
        if to is not via:
            to.close()


async def arun_pending(
    worker: Worker | Callable[[ActiveJob], Any] | Mapping[str, Any],
    *,
    queue: Any = None,
    connection: Any = None,
    max_jobs: int | None = None,
    raise_errors: bool = False,
    dsn: str | None = None,
) -> list[Run]:
    """Do what `run_pending` does, on an async connection and the running loop.

    `async def` handlers run on this loop, `def` handlers in a thread, as in a worker.
    On Django's connection all is done in the thread in which Django's async calls are.
    """
    made, via = prepared(worker, queue, max_jobs, dsn)
    to = acaller(via, dsn, made)
    if django_alias(to, connection) is not None:
        run = partial(run_made, raise_errors=raise_errors)
        runs: list[Run] = await in_django(run, made, via, connection, dsn, max_jobs)
        return runs
    await aguard(to, connection)
    bench = AsyncBench(to, connection, made.emitter)
    try:
        return await Runner(made, bench).run(max_jobs, raise_errors=raise_errors)
    finally:
        await bench.emitter.settle(5.0)
        if to is not via:
            await to.close()


def prepared(
    worker: object, queue: Any, max_jobs: int | None, dsn: str | None
) -> tuple[Worker, Any]:
    """Return the worker that is meant, and the queue whose database is."""
    if max_jobs is not None:
        options.check_int("max_jobs", max_jobs, 1, 2**31 - 1)
    if isinstance(worker, Worker):
        if queue is not None:
            raise ConfigError.bad("queue", queue, "none with a worker: it has its own")
        made, via = worker, None
    elif not isinstance(worker, Mapping) and not callable(worker):
        raise ConfigError.bad(
            "worker", worker, "a Worker, a handler, or {name: handler}"
        )
    else:
        several = list(queue) if isinstance(queue, (list, tuple)) else [queue]
        names = [name for name in map(name_of, several) if name is not None]
        if not names:
            raise ConfigError.bad("queue", queue, "a queue, with handlers")
        via = next((one for one in several if not isinstance(one, str)), None)
        if isinstance(worker, Mapping):
            made = Worker(names, dsn=dsn)
            for name, handler in worker.items():
                made.handlers.register(name, handler)
        else:
            made = Worker(names, worker, dsn=dsn)
        if via is None and dsn is None and (place := site.place()) is not None:
            made.settings, made.alias = place
    if not made.handlers.kinds():
        raise ConfigError.bad("worker", worker, "with a handler")
    return made, via


class Ready(Done):
    """An answer that is there already, for `async def` handlers to await."""

    def __init__(self, value: Any) -> None:
        self._value = value

    def __await__(self) -> Generator[None, None, Any]:
        yield from ()
        return self._value


class Inline:
    """How a running job's own calls reach the test's sync connection."""

    def __init__(
        self,
        bench: SyncBench,
        worker_id: int,
        committer: Committer,
        *,
        asynchronous: bool,
    ) -> None:
        self.committer = committer
        self._bench = bench
        self._worker_id = worker_id
        self._asynchronous = asynchronous

    def progress(self, job: ActiveJob, value: str) -> Awaitable[None]:
        place = (self._worker_id, job.queue_id, job.lease_id, job.id)
        self._bench.run(save_progress(*place, value))
        if self._bench.emitter.heard("progress"):
            self._bench.emitter.emit("progress", job.snapshot(), job.progress)
        return Done()

    def call(self, job: ActiveJob, op: Op[Any] | Atomic[Any]) -> Any:  # noqa: ARG002
        found = self._bench.run(op)
        if self._asynchronous:
            return Ready(found)
        return Done() if found is None else found


class InlineInDjango(Inline):
    """The same for `async def` handlers, whose loop must not use Django's connection."""

    async def progress(self, job: ActiveJob, value: str) -> None:
        await in_django(super().progress, job, value)

    async def call(self, job: ActiveJob, op: Op[Any] | Atomic[Any]) -> Any:  # noqa: ARG002
        return await in_django(self._bench.run, op)


class InlineEmitter(Emitter):
    """The listeners of a worker, each finished before the next thing happens."""

    def __init__(
        self, listeners: Emitter, complete: Callable[[Awaitable[Any]], Any]
    ) -> None:
        self._listeners = listeners._listeners  # noqa: SLF001
        self._complete = complete

    def emit(self, event: str, *args: object) -> None:
        for listener in self._listeners.get(event, ()):
            try:
                answer = listener(*args)
                if hasattr(answer, "__await__"):
                    self._complete(answer)
            except Exception as error:  # noqa: BLE001  a listener is user code
                self._complain(event, error)


class SyncBench:
    """Does everything at once, in this thread."""

    def __init__(self, via: Caller, connection: Any, listeners: Emitter) -> None:
        self._via = via
        self._django = django_alias(via, connection) is not None
        if isinstance(connection, str):
            connection = by_alias(connection)
        self._connection = connection
        self.own = connection is None and not self._django
        self._loop: asyncio.Runner | None = None
        self.emitter: Emitter = InlineEmitter(listeners, self.wait)

    def run(self, op: Op[T] | Atomic[T]) -> T:
        return self._via._run(op, self._connection)  # noqa: SLF001

    async def drive(self, op: Op[T] | Atomic[T]) -> T:
        return self.run(op)

    async def call(self, function: Callable[..., Any], *args: object) -> Any:
        return plain(copy_context().run(function, *args))

    async def finish(self, answer: Awaitable[Any]) -> Any:
        return self.wait(answer)

    def wait(self, answer: Awaitable[Any]) -> Any:
        """Wait for something awaitable, on a loop beside the one that runs, if any."""
        if self._django:
            return wait_in_django(finished, answer)
        if asyncio._get_running_loop() is None:  # noqa: SLF001
            self._loop = self._loop or asyncio.Runner()
            return self._loop.run(finished(answer))
        ended: list[Any] = []

        def elsewhere() -> None:
            try:
                ended.append((asyncio.run(finished(answer)), None))
            except BaseException as error:  # noqa: BLE001  it is raised below
                ended.append((None, error))

        thread = Thread(target=copy_context().run, args=(elsewhere,))
        thread.start()
        thread.join()
        [(value, error)] = ended
        if error is not None:
            raise error
        return value

    def committer(self, worker_id: int, finisher: Finisher) -> Committer:
        via, lent = self._via, self._connection
        alias = via._alias  # noqa: SLF001
        if lent is None and alias is not None:
            wrapper = by_alias(alias)
            lent = None if wrapper.get_autocommit() else wrapper
        return TestCommitter(
            Terms(via._settings, worker_id, alias=alias),  # noqa: SLF001
            finisher,
            pool=via._pool,  # noqa: SLF001
            lent=lent,
            asynchronous=False,
        )

    def reporter(
        self, worker_id: int, committer: Committer, *, asynchronous: bool
    ) -> Reporter:
        kind = InlineInDjango if asynchronous and self._django else Inline
        return kind(self, worker_id, committer, asynchronous=asynchronous)

    def complete(self, course: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine that never waits to its end."""
        try:
            course.send(None)
        except StopIteration as stop:
            value: T = stop.value
            return value
        course.close()
        raise AssertionError("a sync run does not wait")

    def close(self) -> None:
        if self._loop is not None:
            self._loop.close()


async def finished(answer: Awaitable[Any]) -> Any:
    """Return what something awaitable comes to."""
    return await answer


class AsyncBench:
    """Awaits everything, on the loop that runs."""

    def __init__(self, via: AsyncCaller, connection: Any, listeners: Emitter) -> None:
        self._via = via
        self._connection = connection
        self.own = connection is None
        self._lock = asyncio.Lock()
        self.emitter = listeners

    async def drive(self, op: Op[T] | Atomic[T]) -> T:
        # One at a time: a handler's tasks share the test's connection.
        async with self._lock:
            return await self._via._run(op, self._connection)  # noqa: SLF001

    async def call(self, function: Callable[..., Any], *args: object) -> Any:
        return plain(await asyncio.to_thread(partial(function, *args)))

    async def finish(self, answer: Awaitable[Any]) -> Any:
        return await answer

    def committer(self, worker_id: int, finisher: Finisher) -> Committer:
        via = self._via
        return TestCommitter(
            Terms(via._settings, worker_id),  # noqa: SLF001
            finisher,
            pool=via._pool,  # noqa: SLF001
            lent=self._connection,
            asynchronous=True,
        )

    def reporter(
        self, worker_id: int, committer: Committer, *, asynchronous: bool
    ) -> Reporter:
        mine = Awaited(self, worker_id, committer)
        if asynchronous:
            return mine
        return ThreadReporter(mine, asyncio.get_running_loop())  # type: ignore[arg-type]


class Awaited:
    """How a running job's own calls reach the test's async connection."""

    def __init__(self, bench: AsyncBench, worker_id: int, committer: Committer) -> None:
        self.committer = committer
        self._bench = bench
        self._worker_id = worker_id

    async def progress(self, job: ActiveJob, value: str) -> None:
        place = (self._worker_id, job.queue_id, job.lease_id, job.id)
        await self._bench.drive(save_progress(*place, value))
        if self._bench.emitter.heard("progress"):
            self._bench.emitter.emit("progress", job.snapshot(), job.progress)

    async def call(self, job: ActiveJob, op: Op[Any] | Atomic[Any]) -> Any:  # noqa: ARG002
        return await self._bench.drive(op)
