"""One round trip of a worker: outcomes out, jobs in, and what is learnt from the answers.

The statements of one are one transaction, so a claim comes with the outcomes that made
room for it, or neither happens. When to make one, and what to do if it fails, is the
claimer's to decide.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import psycopg

from pgqueue import telemetry
from pgqueue.db.translate import is_passing
from pgqueue.ops import leases
from pgqueue.ops.core import Row, Statement
from pgqueue.ops.releasing import Parent, release
from pgqueue.worker.active_job import ActiveJob
from pgqueue.worker.cancelling import Cancelling
from pgqueue.worker.doze import Doze
from pgqueue.worker.emptied import Emptied
from pgqueue.worker.occurrences import Occurrences
from pgqueue.worker.plan import Visit, lock_limits, moves, plan
from pgqueue.worker.session import PLAN, Session

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pgqueue.worker.completion import Completion
    from pgqueue.worker.dispatch import Dispatch
    from pgqueue.worker.emitter import Emitter
    from pgqueue.worker.finisher import Finisher
    from pgqueue.worker.finishing import Ended
    from pgqueue.worker.intake import Intake


class RoundTrip:
    """What one worker sends, and what it knows from the answers.

    Args:
        listening: whether the doorbell can be heard.
        wake: called when there is something to send.

    Attributes:
        took: how long the last one lasted, in seconds.
        bell: there is work to look for at once, whatever is believed of the queues.
        drained: the queues were empty at the last look.
        unseen: queues to look at before it is believed that they are empty.
        parents: what must go on because its last children settled.
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
        wake: Callable[[], None],
    ) -> None:
        self._session = session
        self._intakes = {intake.queue_id: intake for intake in intakes}
        self._dispatch = dispatch
        self._finisher = finisher
        self._emitter = emitter
        self._worker_id = worker_id
        self._listening = listening
        self._loop = asyncio.get_running_loop()
        self._turn = 0
        self._occurrences = Occurrences(session, emitter, wake)
        self.doze = Doze(list(self._intakes))
        self.emptied = Emptied()
        self.cancelling = Cancelling(session, dispatch, worker_id)
        self.parents: set[Parent] = set()
        self._left: set[int] = set()
        self._committed = 0
        self.took = 0.001
        self.bell = False
        self.drained = False
        self.unseen: set[int] = set()

    @property
    def pressing(self) -> bool:
        """Whether something other than outcomes and claims is to be sent."""
        owed = self.parents or self.emptied.owed or self._left
        pressing = self._occurrences.pressing or self.cancelling.pressing
        return bool(owed) or pressing

    def committed(self, job: ActiveJob, done: Completion) -> None:
        """Take in that a job completed in a transaction of its handler's own."""
        self._committed += not done.told
        self.parents |= self._finisher.tell(job, done)
        if self._intakes[job.queue_id].limited:
            # It left room, for this worker or for one that sleeps.
            self._left.add(job.queue_id)

    async def prelude(self) -> None:
        """Send what is due before the outcomes: each in a transaction of its own."""
        if self.parents:
            await self._release()
        if self.cancelling.pressing:
            await self.cancelling.look()
        if self._occurrences.pressing:
            for queue_id in await self._occurrences.advance():
                self._intakes[queue_id].due_at = 0.0
                self.bell = True
        while self.emptied.owed:
            await self._session.exchange([PLAN, *self.emptied.statements()])

    async def exchange(self, taken: list[Ended], want: int) -> int:
        """Write outcomes and claim, in one transaction; return how many jobs came.

        Raises:
            SessionLost: whether it happened is not known.
            psycopg.Error: the server refused a statement; nothing happened.
        """
        began = self._loop.time()
        put_back = sorted({one.job.queue_id for one in taken if one.puts_back})
        if put_back:
            self.drained = False
        finish = self._finisher.statements(self._worker_id, taken)
        rings = [Statement("ring_queue", {"queue_id": one}) for one in put_back]
        bedding = self.doze.statements(
            began,
            idle=want > 0 and all(one.hungry for one in self._intakes.values()),
            full=want <= 0,
            listening=self._listening(),
        )
        # Room that a handler's own commit makes meanwhile is told in the next one.
        owed, self._left = self._left, set()
        visits = self._plan(want, began, {one.job.queue_id for one in taken} | owed)
        claims = [one for visit in visits for one in visit.statements()]
        claims = [*lock_limits(visits), *claims]
        # A look at a limit alone is cheap enough without.
        head = [PLAN] if finish or rings or bedding or moves(visits) else []
        sent = [*head, *finish, *rings, *bedding, *claims]
        try:
            answers = iter(await self._session.exchange(sent))
        except BaseException:
            self._left |= owed
            raise
        now = self._loop.time()
        self.took = now - began
        ended, self._committed = len(taken) + self._committed, 0
        self._dispatch.measure(ended, now)
        if head:
            next(answers)
        settled = [next(answers) for _ in finish]
        self.parents |= self._finisher.settle(taken, settled)
        self._expect(taken, now)
        for _ in rings:
            next(answers)
        self.doze.learn([next(answers) for _ in bedding])
        if visits and claims[0].name == "lock_limits":
            next(answers)
        found = self._take_in(visits, answers, now)
        if ended and self.drained and self._dispatch.idle:
            # When nothing waited any more these still ran: only now all is done.
            self.emptied.drained()
        return found

    async def write(self, ended: Ended) -> psycopg.Error | None:
        """Write one outcome by itself, or return why it cannot be."""
        statements = self._finisher.statements(self._worker_id, [ended])
        try:
            _, *answers = await self._session.exchange([PLAN, *statements])
        except psycopg.Error as error:
            if is_passing(error):
                raise
            self._emitter.error(error, f"finish of job {ended.job.id}")
            return error
        self.parents |= self._finisher.settle([ended], answers)
        self._expect([ended], self._loop.time())
        return None

    async def adopt(self) -> None:
        """Take over what a claim took whose answer was lost with the connection."""
        held = leases.find(self._worker_id, list(self._intakes))
        [rows] = await self._session.exchange([held])
        # By lease too: the lost round may have put a job back and claimed it again.
        known = self._dispatch.held() | self._finisher.held()
        for *row, queue_id in rows:
            if (row[0], row[1]) not in known:
                name = self._intakes[queue_id].name
                self._add(ActiveJob(name, queue_id, tuple(row)))

    async def _release(self) -> None:
        """Let parents go on whose children settled in a transaction before this one."""
        # One whose last child commits meanwhile is noted anew: this look may miss it.
        parents, self.parents = self.parents, set()
        self.drained = False
        try:
            await self._session.drive(release(parents))
        except BaseException:
            self.parents |= parents
            raise
        self.bell = True

    def _plan(self, want: int, now: float, left: set[int]) -> list[Visit]:
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
            asleep=self.doze.trusted,
            ended=left,
        )

    def _expect(self, taken: list[Ended], now: float) -> None:
        """Look for the jobs that were just put back, when their time comes."""
        for ended in taken:
            if ended.puts_back and (intake := self._intakes.get(ended.job.queue_id)):
                intake.put_back(ended.job, now + ended.outcome.delay)
                intake.limited |= ended.outcome.ending == "limited"
                self.bell = True

    def _take_in(
        self, visits: list[Visit], answers: Iterator[list[Row]], now: float
    ) -> int:
        """Queue what was claimed to start, and learn from what was not."""
        found = 0
        for visit in visits:
            intake, before = visit.intake, visit.intake.limited
            rows = visit.learn(answers, now, self.took)
            found += len(rows)
            for row in rows:
                self._add(ActiveJob(intake.name, intake.queue_id, row))
            # A plain claim sees no groups: that there are none, the promotion says.
            sure = intake.empty() and (visit.promote or intake.grouped)
            if sure and intake.queue_id in self.unseen:
                self.unseen.remove(intake.queue_id)
                self.bell |= bool(self.unseen)
            if intake.limited and not before and not rows:
                # What was claimed ahead of the limit must not start beyond it. A plain
                # claim that gave jobs met no limit: the queue has groups, no more.
                self._dispatch.release()
        if not visits:
            return 0
        # At its limit a queue is only looked at; what it gave before says nothing now.
        if any(visit.claim or visit.intake.full for visit in visits):
            self.doze.claimed(found)
        if found:
            self.drained = False
            if telemetry.wanted("worker.claimed"):
                telemetry.emit("worker.claimed", count=found)
        elif not self.drained and all(one.empty() for one in self._intakes.values()):
            self.drained = True
            self.emptied.drained()
            telemetry.emit("worker.drained")
            self._emitter.emit("drained")
        return found

    def _add(self, job: ActiveJob) -> None:
        if job.options.schedule is not None:
            self._occurrences.note(job, job.options.schedule)
        self._dispatch.add(job)
