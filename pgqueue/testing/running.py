"""Runs what is due, one job after the other, by the statements that a worker uses.

Written once, as coroutines: `run_pending` and `arun_pending` give it a `Bench` each. The
sync bench never really waits, so its coroutine is run to its end without a loop.
"""

from __future__ import annotations

import asyncio
import inspect
import os
import secrets
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar, cast

import psycopg

from pgqueue.errors import ConfigError, NoHandler, PgQueueError, StatementTimeout
from pgqueue.ops import leases, maintenance, schedules
from pgqueue.ops.core import Atomic, Op, Row, Statement
from pgqueue.ops.releasing import FIRST, Parent, release, release_forgotten
from pgqueue.worker.active_job import ActiveJob, Reporter
from pgqueue.worker.batch import alone
from pgqueue.worker.completion import afterthought, instead
from pgqueue.worker.executor import prepare, timed_out
from pgqueue.worker.finisher import Finisher
from pgqueue.worker.handlers import is_async
from pgqueue.worker.outcome import Outcome, completed, failed
from pgqueue.worker.strategies import DEFAULT_DELAY, decide

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from pgqueue.types import Job, JsonValue
    from pgqueue.worker.committer import Committer
    from pgqueue.worker.completion import Completion
    from pgqueue.worker.emitter import Emitter
    from pgqueue.worker.worker import Worker

T = TypeVar("T")

ENDLESS: Final = 10_000
"""So many runs in one call are taken for a handler that always adds another job."""

HELD_FOR: Final = 1.0
"""How long a job that nobody handles is held, as by a worker (seconds)."""

PATIENCE: Final = 10
"""So long it waits for a lock that another transaction has (seconds)."""

STATES: Final = {
    "retry": "retry",
    "later": "retry",
    "released": "released",
    "limited": "released",
    "children": "waiting_children",
}


@dataclass(frozen=True, slots=True)
class Run:
    """One run of a job.

    Attributes:
        job: as it was when it started.
        ending: `completed`, `failed` (for good), `retry`, `waiting_children`, or
            `released`: it did not count as a run; `unhandled`: nobody handles its name.
        result: what the handler returned.
        error: what it raised.
    """

    job: Job
    ending: str
    result: JsonValue = None
    error: BaseException | None = None


class Bench(Protocol):
    """What differs between a sync and an async test."""

    emitter: Emitter
    own: bool
    """Whether all runs on connections of its own, not on the test's."""

    async def drive(self, op: Op[T] | Atomic[T]) -> T: ...
    async def call(self, function: Callable[..., Any], *args: object) -> Any: ...
    async def finish(self, answer: Awaitable[Any]) -> Any: ...
    def committer(self, worker_id: int, finisher: Finisher) -> Committer: ...
    def reporter(
        self, worker_id: int, committer: Committer, *, asynchronous: bool
    ) -> Reporter: ...


class Runner:
    """A worker of one job at a time, that never waits."""

    def __init__(self, worker: Worker, bench: Bench) -> None:
        self._worker = worker
        self._bench = bench
        self._id = secrets.randbits(62) + 1
        self._finisher = Finisher(
            bench.emitter, worker.remove_on_complete, worker.remove_on_fail
        )
        self._committer = bench.committer(self._id, self._finisher)
        self._queues: dict[str, int] = {}

    async def run(self, most: int | None, *, raise_errors: bool) -> list[Run]:
        """Run until nothing is due.

        Raises:
            ConfigError: a transaction that is still open holds what this needs.
        """
        try:
            return await self._run(most, raise_errors=raise_errors)
        except (psycopg.errors.LockNotAvailable, StatementTimeout) as error:
            locks = psycopg.errors.LockNotAvailable
            if not self._bench.own or not isinstance(error.__cause__ or error, locks):
                raise
            raise ConfigError(
                "a transaction that is still open holds what the worker needs; if it "
                "is the test's own, give it: connection=, or a queue of pgqueue.django"
            ) from error

    async def _drive(self, op: Op[T] | Atomic[T]) -> T:
        """Run an operation; on connections of its own it does not wait for ever."""
        return await (self._together(op) if self._bench.own else self._bench.drive(op))

    async def _together(self, op: Op[T] | Atomic[T]) -> T:
        """Run an operation in one transaction, which does not wait for ever."""
        whole = op if isinstance(op, Atomic) else Atomic(op)
        if self._bench.own:
            whole = replace(whole, op=bounded(whole.op))
        return await self._bench.drive(whole)

    async def _run(self, most: int | None, *, raise_errors: bool) -> list[Run]:
        worker = self._worker
        register = leases.register(
            self._id,
            lease=worker.lease,
            pid=os.getpid(),
            concurrency=1,
            host="test",
            name=worker.name,
            queues=worker.queues,
        )
        self._queues = await self._together(register)
        runs: list[Run] = []
        await self._recover()
        while most is None or len(runs) < most:
            job = await self._claim()
            if job is None:
                break
            if len(runs) >= ENDLESS:
                await self._settle(job, Outcome("released"), 0.0)
                raise PgQueueError(
                    f"{ENDLESS} jobs ran and one more is due: does a handler always "
                    "add another? Give max_jobs="
                )
            run = await self._work(job)
            runs.append(run)
            if raise_errors and run.error is not None and run.ending != "released":
                await self._end()
                raise run.error
        await self._end()
        return runs

    async def _end(self) -> None:
        """Prune what is too old by now, and sign off."""
        drive = self._drive
        for queue_id in self._queues.values():
            await drive(maintenance.prune(queue_id, 0.0))
            await drive(maintenance.trim(queue_id))
            await drive(maintenance.settle_queue(queue_id))
            await drive(maintenance.sweep_traces(queue_id, 0))
        await drive(leases.sign_off(self._id))

    async def _recover(self) -> None:
        """Put back what dead workers held, free ids, repair schedules."""
        drive = self._drive
        recovered = await drive(maintenance.recover(self._worker.max_stalled))
        await drive(release(maintenance.parents_of(recovered)))
        await drive(release_forgotten(FIRST))
        await drive(schedules.repair(self._queues.values()))
        for queue_id in self._queues.values():
            await drive(maintenance.settle_queue(queue_id))

    async def _claim(self) -> ActiveJob | None:
        for name, queue_id in self._queues.items():
            row = await self._together(claim(queue_id, self._id))
            if row is not None:
                return ActiveJob(name, queue_id, row)
        return None

    async def _work(self, job: ActiveJob) -> Run:
        if (key := job.options.schedule) is not None:
            begun = schedules.Begun(job.queue_id, key, job.id)
            await self._drive(schedules.advance([begun]))
        handler = self._worker.handlers.find(job.name)
        snapshot = job.loaded().snapshot()
        if handler is None:
            job.refused = True
            unhandled = NoHandler(job.id, job.queue, job.name)
            await self._settle(job, Outcome("released", delay=HELD_FOR), 0.0)
            return Run(snapshot, "unhandled", error=unhandled)
        began = time.perf_counter()
        if self._bench.emitter.heard("active"):
            self._bench.emitter.emit("active", snapshot)
        # Here a batch is always one job: what is due runs one after the other.
        handler = getattr(handler, "unguarded", handler)
        run = handler if self._worker.batch is None else alone(cast("Any", handler))
        outcome = instead(job, await self._execute(job, run))
        if job.completion is not None and job.completion.committed:
            return await self._committed(job, snapshot, job.completion, outcome)
        if outcome.strategy is not None:
            outcome = await self._ask(job, outcome)
        await self._settle(job, outcome, time.perf_counter() - began)
        ending = STATES.get(outcome.ending, outcome.ending)
        return Run(snapshot, ending, outcome.result, outcome.error)

    async def _committed(
        self, job: ActiveJob, snapshot: Job, done: Completion, outcome: Outcome
    ) -> Run:
        """Take in that a handler has completed its job by a transaction."""
        if error := afterthought(job, done, outcome):
            self._bench.emitter.error(error, f"job {job.id}, which had completed")
        if parents := self._finisher.tell(job, done):
            await self._drive(release(parents))
        return Run(snapshot, "completed", done.outcome.result)

    async def _execute(self, job: ActiveJob, handler: Callable[..., Any]) -> Outcome:
        asynchronous = is_async(handler)
        job.reporter = self._bench.reporter(
            self._id, self._committer, asynchronous=asynchronous
        )
        try:
            prepare(job)
            if asynchronous:
                result = await self._bench.finish(within(job, handler))
            else:
                result = await self._bench.call(handler, job)
        # Ctrl-C, and what pytest raises to end a test, are for the test.
        except (Exception, SystemExit) as error:  # noqa: BLE001  as in a worker
            return failed(job, error)
        return completed(job, result)

    async def _ask(self, job: ActiveJob, outcome: Outcome) -> Outcome:
        """Return the outcome with the delay that a strategy of the worker gives."""
        try:
            strategy = self._worker.backoffs[outcome.strategy or ""]
            error = outcome.error or RuntimeError(outcome.reason)
            delay: Any = strategy(job.attempt, error, job)
            if inspect.isawaitable(delay):
                delay = await self._bench.finish(delay)
            return decide(outcome, delay)
        except Exception as error:  # noqa: BLE001  whatever a strategy raises
            self._bench.emitter.error(error, f"backoff of job {job.id}")
            return replace(decide(outcome, DEFAULT_DELAY), strategy=None)

    async def _settle(self, job: ActiveJob, outcome: Outcome, ran: float) -> None:
        self._finisher.add(job, outcome, ran)
        taken = self._finisher.take()
        statements = self._finisher.statements(self._id, taken)
        answers = await self._together(together(statements))
        parents: set[Parent] = self._finisher.settle(taken, answers)
        if parents:
            await self._drive(release(parents))


async def within(job: ActiveJob, handler: Callable[..., Any]) -> Any:
    """Run an `async def` handler within the job's timeout."""
    limit = asyncio.timeout(job.options.timeout)
    try:
        async with limit:
            return await handler(job)
    except TimeoutError as error:
        if limit.expired():
            raise timed_out(job.options.timeout or 0.0) from error
        raise


def bounded(op: Op[T]) -> Op[T]:
    """Let an operation fail that would wait for a lock longer than `PATIENCE`."""
    yield Statement("bound_locks", {"timeout": f"{PATIENCE}s"})
    return (yield from op)


def together(statements: list[Statement]) -> Op[list[list[Row]]]:
    """Send statements one after the other and return the rows of each."""
    answers: list[list[Row]] = []
    for statement in statements:
        rows = yield statement
        answers.append(rows)
    return answers


def claim(queue_id: int, worker_id: int) -> Op[Row | None]:
    """Promote what is due and claim one job; of a limited queue if it has room.

    Of a queue with groups it is one of the group whose turn it is, if it has room.
    """
    promote, due = leases.promote(queue_id)
    yield promote
    [(_, limited, grouped)] = yield due
    if limited:
        yield leases.lock_limits([queue_id])
    if grouped:
        return (yield from claim_grouped(queue_id, worker_id))
    rows = yield leases.claim(queue_id, worker_id, 1, limited=limited)
    return rows[0] if rows else None


def claim_grouped(queue_id: int, worker_id: int) -> Op[Row | None]:
    """Claim one job of the first group in line that may start one."""
    while True:
        yield leases.form_line(queue_id)
        if rows := (yield leases.claim(queue_id, worker_id, 1, from_turn=0)):
            return rows[0]
        # The first in line may be one that is paused: that one has left it now.
        [look] = yield leases.look(queue_id, ring=False, from_turn=0)
        if not look[-1]:
            return None
