"""The heart of a worker: one round trip after the other, outcomes out, jobs in.

Outcomes collect while a round trip is under way and leave with the next one, so the
batches grow with the load and nothing waits for a timer. An empty queue is left alone
only after the worker has said that it sleeps, and has looked everywhere once more.
"""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, Final

import psycopg

from pgqueue import telemetry
from pgqueue.db.translate import is_passing
from pgqueue.errors import PgQueueError
from pgqueue.ops.core import Row, Statement
from pgqueue.ops.flows import Parent, release
from pgqueue.worker.active_job import ActiveJob
from pgqueue.worker.doze import Doze
from pgqueue.worker.emptied import Emptied
from pgqueue.worker.occurrences import Occurrences
from pgqueue.worker.outcome import unwritable
from pgqueue.worker.plan import Visit, lock_limits, moves, plan
from pgqueue.worker.session import PLAN, Session, SessionLost

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pgqueue.worker.dispatch import Dispatch
    from pgqueue.worker.emitter import Emitter
    from pgqueue.worker.finisher import Ended, Finisher
    from pgqueue.worker.intake import Intake

FULL_FOR: Final = 0.25
"""With no slot free for so long, jobs claimed ahead go back, and nobody need ring."""

FIRST_PAUSE: Final = 0.05
LONGEST_PAUSE: Final = 5.0
"""How long to wait after the server refused a statement (seconds)."""


class Claimer:
    """Claims for one worker.

    Args:
        listening: whether the doorbell can be heard.
    """

    def __init__(
        self,
        *,
        session: Session,
        intakes: list[Intake],
        dispatch: Dispatch,
        finisher: Finisher,
        emitter: Emitter,
        worker_id: int,
        listening: Callable[[], bool],
    ) -> None:
        self._session = session
        self._intakes = {intake.queue_id: intake for intake in intakes}
        self._dispatch = dispatch
        self._finisher = finisher
        self._emitter = emitter
        self._worker_id = worker_id
        self._listening = listening
        self._loop = asyncio.get_running_loop()
        self._wake = asyncio.Event()
        self._bell = False
        self._starting = False
        self._stopping = False
        self._doze = Doze(list(self._intakes))
        self._took = 0.001
        self._turn = 0
        self._pause = FIRST_PAUSE
        self._adopting = False
        self._parents: set[Parent] = set()
        self._occurrences = Occurrences(session, emitter, self._wake.set)
        self._drained = False
        self.emptied = Emptied()

    # From outside: things that happen.

    def ended(self) -> None:
        """A run has ended, or more may run: start the next, and write the outcome."""
        # Once for all runs that end in this turn of the loop.
        if not self._starting:
            self._starting = True
            self._loop.call_soon(self._start)
        self._wake.set()

    def _start(self) -> None:
        self._starting = False
        if not self._stopping:
            self._dispatch.start()

    def rung(self, queue_id: int) -> None:
        """Somebody added a job while this worker slept."""
        if intake := self._intakes.get(queue_id):
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
        finisher, parents = self._finisher, self._parents
        owed = len(finisher) or finisher.expecting or self.emptied.owed or parents
        return self._drained and self._dispatch.idle and not owed

    # The loop.

    async def run(self) -> None:
        """Go on until stopped, and then until every outcome is written."""
        while not (self._stopping and self._nothing_left()):
            if self._stopping:
                self._dispatch.release()
            pressing = self._owed()
            if not pressing and self._want() <= 0:
                await self._until_room()
                continue
            if not pressing and await self._rest():
                continue
            self._wake.clear()
            await self._round()

    def _owed(self) -> bool:
        owed = len(self._finisher) or self._adopting or self._parents
        return bool(owed or self.emptied.owed) or self._occurrences.pressing

    def _nothing_left(self) -> bool:
        owed = self._owed() or self._finisher.expecting
        return self._dispatch.idle and not owed

    def _want(self) -> int:
        if self._stopping:
            return 0
        if all(intake.limited for intake in self._intakes.values()):
            return self._dispatch.free
        return self._dispatch.want(self._took)

    async def _until_room(self) -> None:
        """Wait for a run to end; hold neither jobs nor the bell for long meanwhile."""
        holding = len(self._dispatch) or self._doze.armed
        try:
            async with asyncio.timeout(FULL_FOR if holding else None):
                await self._wake.wait()
        except TimeoutError:
            self._dispatch.release()
            await self._round()
        else:
            self._wake.clear()

    async def _rest(self) -> bool:
        """Wait while there is nothing to do; True says to think again."""
        intakes = self._intakes.values()
        busy = self._dispatch.free <= 0
        if self._bell or not all(
            intake.hungry or (intake.limited and busy) for intake in intakes
        ):
            self._bell = False
            return False
        now = self._loop.time()
        timer = min(intake.next_look() for intake in intakes) - now
        if not all(intake.certain() for intake in intakes):
            sweep = max(intake.seek.next_sweep() for intake in intakes)
            timer = min(timer, sweep - now)
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

    async def _round(self) -> None:
        """Make one round trip: outcomes, then promotions and claims."""
        taken: list[Ended] = []
        try:
            if self._adopting:
                await self._adopt()
            if self._parents:
                await self._release()
            if self._occurrences.pressing:
                for queue_id in await self._occurrences.advance():
                    self._intakes[queue_id].due_at = 0.0
                    self._bell = True
            while self.emptied.owed:
                await self._session.exchange([PLAN, *self.emptied.statements()])
            taken = self._finisher.take()
            await self._exchange(taken)
            self._pause = FIRST_PAUSE
        except SessionLost as error:
            self._lost(taken, error)
        except psycopg.Error as error:
            await self._refused(taken, error)
        except PgQueueError as error:
            self._finisher.give_back(taken)
            await self._wait_out(error)

    async def _exchange(self, taken: list[Ended]) -> None:
        began = self._loop.time()
        want = self._want()
        put_back = sorted({one.job.queue_id for one in taken if one.puts_back})
        if put_back:
            self._drained = False
        finish = self._finisher.statements(self._worker_id, taken)
        rings = [Statement("ring_queue", {"queue_id": one}) for one in put_back]
        bedding = self._doze.statements(
            began,
            idle=want > 0 and all(one.hungry for one in self._intakes.values()),
            full=want <= 0,
            listening=self._listening(),
        )
        visits = self._plan(want, began, taken)
        claims = [one for visit in visits for one in visit.statements()]
        claims = [*lock_limits(visits), *claims]
        # A look at a limit alone is cheap enough without.
        head = [PLAN] if finish or rings or bedding or moves(visits) else []
        answers = iter(
            await self._session.exchange([*head, *finish, *rings, *bedding, *claims])
        )
        now = self._loop.time()
        self._took = now - began
        self._dispatch.measure(len(taken), now)
        if head:
            next(answers)
        settled = [next(answers) for _ in finish]
        self._parents |= self._finisher.settle(taken, settled)
        self._expect(taken, now)
        for _ in rings:
            next(answers)
        self._doze.learn([next(answers) for _ in bedding])
        if visits and claims[0].name == "lock_limits":
            next(answers)
        self._take_in(visits, answers, now)

    def _plan(self, want: int, now: float, taken: list[Ended]) -> list[Visit]:
        """Return what to do for each queue; another one comes first each time."""
        intakes = list(self._intakes.values())
        self._turn += 1
        first = self._turn % len(intakes)
        return plan(
            intakes[first:] + intakes[:first],
            self._worker_id,
            want=want,
            free=self._dispatch.free,
            now=now,
            asleep=self._doze.trusted,
            ended={one.job.queue_id for one in taken},
        )

    def _expect(self, taken: list[Ended], now: float) -> None:
        """Look for the jobs that were just put back, when their time comes."""
        for ended in taken:
            if ended.puts_back and (intake := self._intakes.get(ended.job.queue_id)):
                intake.put_back(ended.job, now + ended.outcome.delay)
                intake.limited |= ended.outcome.ending == "limited"
                self._bell = True

    def _take_in(
        self, visits: list[Visit], answers: Iterator[list[Row]], now: float
    ) -> None:
        """Start what was claimed, and learn from what was not."""
        found = 0
        for visit in visits:
            intake, before = visit.intake, visit.intake.limited
            rows = visit.learn(answers, now, self._took)
            found += len(rows)
            for row in rows:
                self._add(ActiveJob(intake.name, intake.queue_id, row))
            if intake.limited and not before:
                # What was claimed ahead of the limit must not start beyond it.
                self._dispatch.release()
        if not visits:
            return
        if any(visit.claim for visit in visits):
            self._doze.claimed(found)
        if found:
            self._drained = False
            if telemetry.wanted("worker.claimed"):
                telemetry.emit("worker.claimed", count=found)
            if not self._stopping:
                self._dispatch.start()
        elif not self._drained and all(one.empty() for one in self._intakes.values()):
            self._drained = True
            self.emptied.drained()
            telemetry.emit("worker.drained")
            self._emitter.emit("drained")

    def _add(self, job: ActiveJob) -> None:
        self._occurrences.note(job)
        self._dispatch.add(job)

    # Trouble.

    async def _adopt(self) -> None:
        """Take over what a claim took whose answer was lost with the connection."""
        params = {"worker_id": self._worker_id, "queue_ids": list(self._intakes)}
        [rows] = await self._session.exchange([Statement("list_leases", params)])
        # By lease too: the lost round may have put a job back and claimed it again.
        known = self._dispatch.held() | self._finisher.held()
        for *row, queue_id in rows:
            if (row[0], row[1]) not in known:
                name = self._intakes[queue_id].name
                self._add(ActiveJob(name, queue_id, tuple(row)))
        self._adopting = False
        if not self._stopping:
            self._dispatch.start()

    async def _release(self) -> None:
        """Let parents go on whose children settled in a transaction before this one."""
        parents = set(self._parents)
        await self._session.drive(release(parents))
        self._parents -= parents
        self._drained = False
        self._bell = True

    def _lost(self, taken: list[Ended], error: SessionLost) -> None:
        """Keep the outcomes; what the lost claim took is found through its lease."""
        self._finisher.give_back(taken, uncertain=True)
        self._doze.forget()
        self._adopting = True
        telemetry.emit("database.lost", during="claim", error=str(error))
        self.look()

    async def _refused(self, taken: list[Ended], error: psycopg.Error) -> None:
        """Write outcomes one by one, so that one that cannot be hurts no other."""
        self._doze.doubt()
        if not taken or is_passing(error):
            self._finisher.give_back(taken)
            await self._wait_out(error)
            return
        for index, ended in enumerate(taken):
            try:
                await self._write_alone(ended)
            except SessionLost as lost:
                self._lost(taken[index:], lost)
                return
            except (psycopg.Error, PgQueueError) as refused:
                self._finisher.give_back(taken[index:])
                await self._wait_out(refused)
                return

    async def _write_alone(self, ended: Ended) -> None:
        """Write one outcome; one that cannot be stored fails its job instead."""
        refused = await self._try_to_write(ended)
        if refused is not None:
            instead = ended._replace(outcome=unwritable(ended.job, refused))
            refused = await self._try_to_write(instead)
        if refused is not None:
            # Still active, so it must not be forgotten; nor may it hold up others.
            self._finisher.park(ended)
            self._loop.call_later(LONGEST_PAUSE, self._once_more)

    async def _try_to_write(self, ended: Ended) -> psycopg.Error | None:
        """Write one outcome, or return why it cannot be."""
        statements = self._finisher.statements(self._worker_id, [ended])
        try:
            _, *answers = await self._session.exchange([PLAN, *statements])
        except psycopg.Error as error:
            if is_passing(error):
                raise
            self._emitter.error(error, f"finish of job {ended.job.id}")
            return error
        self._parents |= self._finisher.settle([ended], answers)
        self._expect([ended], self._loop.time())
        return None

    def _once_more(self) -> None:
        self._finisher.unpark()
        self._wake.set()

    async def _wait_out(self, error: Exception) -> None:
        """Report what the server refused, and do not ask again at once."""
        self._emitter.error(error, "claim")
        await asyncio.sleep(self._pause * random.uniform(0.5, 1.0))  # noqa: S311
        self._pause = min(LONGEST_PAUSE, self._pause * 2)
