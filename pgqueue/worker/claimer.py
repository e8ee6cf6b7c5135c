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

from pgqueue.db.translate import is_passing
from pgqueue.errors import PgQueueError
from pgqueue.worker.outcome import unwritable
from pgqueue.worker.session import Session, SessionLost
from pgqueue.worker.trip import RoundTrip

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from pgqueue.worker.active_job import ActiveJob
    from pgqueue.worker.completion import Completion
    from pgqueue.worker.dispatch import Dispatch
    from pgqueue.worker.emitter import Emitter
    from pgqueue.worker.emptied import Emptied
    from pgqueue.worker.finisher import Finisher
    from pgqueue.worker.finishing import Ended
    from pgqueue.worker.intake import Intake

FULL_FOR: Final = 0.25
"""With no slot free for so long, jobs claimed ahead go back, and nobody need ring."""

FIRST_PAUSE: Final = 0.05
LONGEST_PAUSE: Final = 5.0
"""How long to wait after the server refused a statement (seconds)."""


class Claimer:
    """Claims for one worker: says when to make a round trip, and mends what fails.

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
        self._intakes = {intake.queue_id: intake for intake in intakes}
        self._dispatch = dispatch
        self._finisher = finisher
        self._emitter = emitter
        self._loop = asyncio.get_running_loop()
        self._wake = asyncio.Event()
        self._starting = False
        self._stopping = False
        self._pause = FIRST_PAUSE
        self._adopting = False
        self._trip = RoundTrip(
            session=session,
            intakes=intakes,
            dispatch=dispatch,
            finisher=finisher,
            emitter=emitter,
            worker_id=worker_id,
            listening=listening,
            wake=self._wake.set,
        )

    @property
    def emptied(self) -> Emptied:
        """The notes about queues that ran empty."""
        return self._trip.emptied

    def cancel(self, job_ids: Collection[int]) -> None:
        """Stop those of the jobs that are here."""
        self._trip.cancelling.cancel(job_ids)
        self.ended()

    # From outside: things that happen.

    def ended(self) -> None:
        """A run has ended, or more may run: start the next, and write the outcome."""
        # Once for all runs that end in this turn of the loop.
        if not self._starting:
            self._starting = True
            self._loop.call_soon(self._start_soon)
        self._wake.set()

    def _start_soon(self) -> None:
        self._starting = False
        self._start()

    def _start(self) -> None:
        if not self._stopping:
            self._dispatch.start()

    def committed(self, job: ActiveJob, done: Completion) -> None:
        """The transaction of a handler has completed its job."""
        self._trip.committed(job, done)
        self._wake.set()

    def rung(self, queue_id: int) -> None:
        """Somebody added a job while this worker slept."""
        if intake := self._intakes.get(queue_id):
            now = self._loop.time()
            intake.rung(now)
            self._trip.bell = True
            self._trip.doze.rung(now)
            self._wake.set()

    def look(self) -> None:
        """Look for work now, whatever is believed about the queue."""
        self._trip.bell = True
        self._trip.doze.trusted = False
        self._wake.set()

    def listens(self) -> None:
        """The bell can be heard from now on; what rang before may have been missed."""
        self._trip.cancelling.pressing = True
        self.look()

    def stop(self) -> None:
        """Claim nothing more, and give back what has not started."""
        self._stopping = True
        self._wake.set()

    @property
    def drained(self) -> bool:
        """Whether the queues were empty at the last look, and nothing is under way."""
        finisher, trip = self._finisher, self._trip
        owed = len(finisher) or finisher.expecting or trip.emptied.owed or trip.parents
        return trip.drained and self._dispatch.idle and not owed

    def doubt(self) -> None:
        """Look at every queue once more: a handler may have added to any of them.

        A look at one queue says nothing of the others, and nobody rings for a worker
        that is awake.
        """
        self._trip.unseen = set(self._intakes)
        for intake in self._intakes.values():
            # Ask too whether it has got its first group: a plain claim shows none.
            intake.due_at = 0.0
            intake.seek.doubt()
        self.look()

    @property
    def certain(self) -> bool:
        """Whether every queue was found empty since it was doubted."""
        return not self._trip.unseen

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
        return bool(len(self._finisher) or self._adopting) or self._trip.pressing

    def _nothing_left(self) -> bool:
        owed = self._owed() or self._finisher.expecting
        return self._dispatch.idle and not owed

    def _want(self) -> int:
        """Return how many to claim; outcomes left for a later write take their room."""
        if self._stopping:
            return 0
        # Or claims outrun the writes, for as long as there are jobs.
        unwritten = len(self._finisher)
        if all(intake.limited for intake in self._intakes.values()):
            return self._dispatch.free - unwritten
        return self._dispatch.want(self._trip.took) - unwritten

    async def _until_room(self) -> None:
        """Wait for a run to end; hold neither jobs nor the bell for long meanwhile."""
        holding = len(self._dispatch) or self._trip.doze.armed
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
        if self._trip.bell or not all(
            intake.hungry or (intake.limited and busy) for intake in intakes
        ):
            self._trip.bell = False
            return False
        now = self._loop.time()
        timer = min(intake.next_look() for intake in intakes) - now
        if not all(intake.certain() for intake in intakes):
            sweep = max(intake.seek.next_sweep() for intake in intakes)
            timer = min(timer, sweep - now)
        elif not self._trip.doze.trusted:
            timer = min(timer, self._trip.doze.next_poll())
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
                await self._trip.adopt()
                self._adopting = False
                self._start()
            await self._trip.prelude()
            taken = self._finisher.take()
            if await self._trip.exchange(taken, self._want()):
                self._start()
                if all(intake.hungry for intake in self._intakes.values()):
                    # There is no more to fetch: first let begin what was fetched.
                    taken = []
                    await asyncio.sleep(0)
            self._pause = FIRST_PAUSE
        except SessionLost:
            self._lost(taken)
        except psycopg.Error as error:
            await self._refused(taken, error)
        except PgQueueError as error:
            self._finisher.give_back(taken)
            await self._wait_out(error)
        except asyncio.CancelledError:
            # The leases end, or the worker does: what was not written must be known.
            self._finisher.give_back(taken, uncertain=True)
            raise

    # Trouble.

    def _lost(self, taken: list[Ended]) -> None:
        """Keep the outcomes; what the lost claim took is found through its lease."""
        self._finisher.give_back(taken, uncertain=True)
        self._trip.doze.forget()
        self._adopting = True
        self.look()

    async def _refused(self, taken: list[Ended], error: psycopg.Error) -> None:
        """Write outcomes one by one, so that one that cannot be hurts no other."""
        self._trip.doze.doubt()
        if not taken or is_passing(error):
            self._finisher.give_back(taken)
            await self._wait_out(error)
            return
        for index, ended in enumerate(taken):
            try:
                await self._write_alone(ended)
            except SessionLost:
                self._lost(taken[index:])
                return
            except (psycopg.Error, PgQueueError) as refused:
                self._finisher.give_back(taken[index:])
                await self._wait_out(refused)
                return

    async def _write_alone(self, ended: Ended) -> None:
        """Write one outcome; one that cannot be stored fails its job instead."""
        refused = await self._trip.write(ended)
        if refused is not None:
            instead = ended._replace(outcome=unwritable(ended.job, refused))
            refused = await self._trip.write(instead)
        if refused is not None:
            # Still active, so it must not be forgotten; nor may it hold up others.
            self._finisher.park(ended)
            self._loop.call_later(LONGEST_PAUSE, self._once_more)

    def _once_more(self) -> None:
        self._finisher.unpark()
        self._wake.set()

    async def _wait_out(self, error: Exception) -> None:
        """Report what the server refused, and do not ask again at once."""
        self._emitter.error(error, "claim")
        await asyncio.sleep(self._pause * random.uniform(0.5, 1.0))  # noqa: S311
        self._pause = min(LONGEST_PAUSE, self._pause * 2)
