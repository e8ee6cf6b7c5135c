"""The heart of a worker: one round trip after the other, outcomes out, jobs in.

Outcomes collect while a round trip is under way and leave with the next one, so the
batches grow with the load and nothing waits for a timer. An empty queue is left alone
only after the worker has said that it sleeps, and has looked everywhere once more.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

import psycopg

from pgqueue import telemetry
from pgqueue.db.translate import CONFLICT, sqlstate
from pgqueue.errors import PgQueueError
from pgqueue.ops.core import Row, Statement
from pgqueue.worker.active_job import ActiveJob
from pgqueue.worker.doze import Doze
from pgqueue.worker.outcome import RELEASED
from pgqueue.worker.session import Session, SessionLost

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from pgqueue.worker.emitter import Emitter
    from pgqueue.worker.finisher import Ended, Finisher
    from pgqueue.worker.intake import Intake

PLAN: Final = Statement("plan_by_index", {})

MAX_PREFETCH: Final = 500
PREFETCH_AHEAD: Final = 0.05
"""Jobs are claimed ahead by at most as many as start within this many seconds."""


class Executor(Protocol):
    """What starts the jobs that are claimed."""

    def __len__(self) -> int: ...
    def start(self, job: ActiveJob) -> None: ...
    def running(self) -> Iterable[ActiveJob]: ...


class Visit(NamedTuple):
    """What one round trip does for one queue."""

    intake: Intake
    promote: list[Statement]
    claim: Statement
    limit: int


class Claimer:
    """Claims for one worker.

    Args:
        limit: returns how many jobs may run at once, now.
        listening: whether the doorbell can be heard.
    """

    def __init__(
        self,
        *,
        session: Session,
        intakes: list[Intake],
        executor: Executor,
        finisher: Finisher,
        emitter: Emitter,
        worker_id: int,
        limit: Callable[[], int],
        listening: Callable[[], bool],
    ) -> None:
        self._session = session
        self._intakes = intakes
        self._executor = executor
        self._finisher = finisher
        self._emitter = emitter
        self._worker_id = worker_id
        self._limit = limit
        self._listening = listening
        self._loop = asyncio.get_running_loop()
        self._buffer: deque[ActiveJob] = deque()
        self._wake = asyncio.Event()
        self._bell = False
        self._stopping = False
        self._doze = Doze([intake.queue_id for intake in intakes])
        self._rate = 0.0
        self._ended_at = self._loop.time()
        self._took = 0.001
        self._turn = 0
        self._adopting = False
        self._drained = False

    # From outside: things that happen.

    def ended(self) -> None:
        """A run has ended: start the next, and write the outcome."""
        self._start_buffered()
        self._wake.set()

    def rung(self, queue_id: int) -> None:
        """Somebody added a job while this worker slept."""
        for intake in self._intakes:
            if intake.queue_id == queue_id:
                intake.due_at = 0.0
                self._bell = True
                self._doze.rung(self._loop.time())
                self._wake.set()

    def look(self) -> None:
        """Look for work now, whatever is believed about the queue."""
        self._bell = True
        self._doze.trusted = False
        self._wake.set()

    def stop(self) -> None:
        """Claim nothing more, and give back what has not started."""
        self._stopping = True
        self._wake.set()

    @property
    def drained(self) -> bool:
        """Whether the queues were empty at the last look, and nothing is under way."""
        return self._drained and not self._buffer and not len(self._executor)

    # The loop.

    async def run(self) -> None:
        """Go on until stopped, and then until every outcome is written."""
        while not (self._stopping and self._nothing_left()):
            if self._stopping:
                self._release_buffered()
            want = self._want()
            pressing = len(self._finisher) or self._adopting
            if not pressing and want <= 0:
                await self._wake.wait()
                self._wake.clear()
                continue
            if not pressing and await self._rest():
                continue
            self._wake.clear()
            await self._round(self._want())

    def _nothing_left(self) -> bool:
        under_way = self._buffer or len(self._executor) or len(self._finisher)
        return not (under_way or self._adopting)

    def _want(self) -> int:
        """Return how many jobs to claim: the free slots, and a few to follow them."""
        if self._stopping:
            return 0
        ahead = min(self._rate * self._took * 1.5, self._rate * PREFETCH_AHEAD)
        room = self._limit() + min(MAX_PREFETCH, int(ahead))
        return room - len(self._executor) - len(self._buffer)

    async def _rest(self) -> bool:
        """Wait while there is nothing to do; True says to think again."""
        if self._bell or not all(intake.hungry for intake in self._intakes):
            self._bell = False
            return False
        now = self._loop.time()
        timer = min(intake.due_at for intake in self._intakes) - now
        if not all(intake.certain() for intake in self._intakes):
            timer = min(
                timer, max(intake.seek.next_sweep() for intake in self._intakes) - now
            )
        elif not self._doze.trusted:
            timer = min(timer, self._doze.next_poll())
        if timer <= 0:
            return False
        try:
            async with asyncio.timeout(timer):
                await self._wake.wait()
        except TimeoutError:
            return False
        self._wake.clear()
        return True

    def _expect(self, taken: list[Ended], now: float) -> None:
        """Look for the jobs that were just put back, when their time comes."""
        for ended in taken:
            if ended.puts_back:
                for intake in self._intakes:
                    if intake.queue_id == ended.job.queue_id:
                        intake.due_at = min(intake.due_at, now + ended.outcome.delay)
                        self._bell = True

    async def _adopt(self) -> None:
        """Take over what a claim took whose answer was lost with the connection."""
        params = {
            "worker_id": self._worker_id,
            "queue_ids": [intake.queue_id for intake in self._intakes],
        }
        [rows] = await self._session.exchange([Statement("list_leases", params)])
        names = {intake.queue_id: intake.name for intake in self._intakes}
        known = {job.id for job in self._executor.running()}
        known.update(job.id for job in self._buffer)
        for *row, queue_id in rows:
            if row[1] not in known and not self._finisher.holds(row[1]):
                self._buffer.append(ActiveJob(names[queue_id], queue_id, tuple(row)))
        self._adopting = False
        self._start_buffered()

    async def _round(self, want: int) -> None:
        """Make one round trip: outcomes, then promotions and claims."""
        began = self._loop.time()
        taken = self._finisher.take()
        statements: list[Statement] = []
        if taken:
            statements.append(self._finisher.statement(self._worker_id, taken))
        put_back = sorted({one.job.queue_id for one in taken if one.puts_back})
        statements += [Statement("ring_queue", {"queue_id": one}) for one in put_back]
        generation = self._session.generation
        bedding = self._bed(began) if want > 0 else []
        plan = self._plan(want, began) if want > 0 else []
        statements += bedding
        for visit in plan:
            statements += [*visit.promote, visit.claim]
        try:
            if self._adopting:
                await self._adopt()
            answers = await self._session.exchange([PLAN, *statements])
        except SessionLost as error:
            self._lost(taken, error)
            return
        except psycopg.Error as error:
            await self._refused(taken, error)
            return
        except PgQueueError as error:
            self._finisher.give_back(taken)
            self._emitter.error(error, "claim")
            await asyncio.sleep(1.0)
            return
        now = self._loop.time()
        self._took = now - began
        self._measure(len(taken), now)
        rest = iter(answers[1:])
        if taken:
            self._finisher.settle(taken, next(rest))
            self._expect(taken, now)
        for _ in put_back:
            next(rest)
        if bedding:
            self._doze.learn([next(rest) for _ in bedding], generation)
        self._take_in(plan, rest, now)

    def _bed(self, now: float) -> list[Statement]:
        return self._doze.statements(
            now,
            self._session.generation,
            idle=all(intake.hungry for intake in self._intakes),
            listening=self._listening(),
        )

    def _plan(self, want: int, now: float) -> list[Visit]:
        """Return what to send for each queue; fairly, if there are several.

        Queues that gave jobs last time share the room; the others are only looked at.
        """
        self._turn += 1
        first = self._turn % len(self._intakes)
        order = self._intakes[first:] + self._intakes[:first]
        share = -(-want // max(1, sum(not intake.hungry for intake in order)))
        plan = []
        for intake in order:
            limit = min(want, share)
            if limit <= 0:
                break
            promote = intake.promote(now)
            claim = intake.claim(self._worker_id, limit, now)
            plan.append(Visit(intake, promote, claim, limit))
            want -= limit if not intake.hungry or len(order) == 1 else 1
        return plan

    def _take_in(
        self, plan: list[Visit], answers: Iterator[list[Row]], now: float
    ) -> None:
        """Start what was claimed, and learn from what was not."""
        found = 0
        for intake, promote, _, limit in plan:
            if promote:
                replies = [next(answers) for _ in promote]
                intake.promoted(replies, now, asleep=self._doze.trusted)
            rows = next(answers)
            intake.claimed(rows, limit, now, self._took)
            found += len(rows)
            for row in rows:
                self._buffer.append(ActiveJob(intake.name, intake.queue_id, row))
        if not plan:
            return
        self._doze.claimed(found)
        if found:
            self._drained = False
            if telemetry.wanted("worker.claimed"):
                telemetry.emit("worker.claimed", count=found)
            self._start_buffered()
        elif not self._drained and all(one.certain() for one in self._intakes):
            self._drained = True
            telemetry.emit("worker.drained")
            self._emitter.emit("drained")

    def _start_buffered(self) -> None:
        free = self._limit() - len(self._executor)
        while free > 0 and self._buffer and not self._stopping:
            free -= 1
            job = self._buffer.popleft()
            if self._emitter.heard("active"):
                self._emitter.emit("active", job.snapshot())
            self._executor.start(job)

    def _release_buffered(self) -> None:
        while self._buffer:
            self._finisher.add(self._buffer.popleft(), RELEASED, 0.0)

    def _measure(self, ended: int, now: float) -> None:
        """Follow how many runs end in a second."""
        passed = max(now - self._ended_at, 1e-6)
        self._ended_at = now
        weight = min(1.0, passed / 0.05)
        self._rate += (ended / passed - self._rate) * weight

    # Trouble.

    def _lost(self, taken: list[Ended], error: SessionLost) -> None:
        """Keep the outcomes; what the lost claim took is found through its lease."""
        self._finisher.give_back(taken, uncertain=True)
        self._doze.forget()
        self._adopting = True
        telemetry.emit("database.lost", during="claim", error=str(error))
        self.look()

    async def _refused(self, taken: list[Ended], error: psycopg.Error) -> None:
        """Write outcomes one by one, so that one that cannot be hurts no other."""
        if sqlstate(error) in CONFLICT or len(taken) == 0:
            self._finisher.give_back(taken)
            telemetry.emit("worker.error", during="claim", error=str(error).strip())
            await asyncio.sleep(0.05)
            return
        self._emitter.error(error, "finish")
        for index, ended in enumerate(taken):
            try:
                statement = self._finisher.statement(self._worker_id, [ended])
                answers = await self._session.exchange([PLAN, statement])
            except SessionLost as lost:
                self._lost(taken[index:], lost)
                return
            except (psycopg.Error, PgQueueError) as refused:
                self._emitter.error(refused, f"finish of job {ended.job.id}")
                self._finisher.lost(ended.job)
            else:
                self._finisher.settle([ended], answers[1])
