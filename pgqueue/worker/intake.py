"""What a worker knows about each of its queues between two round trips."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from pgqueue.ops import leases
from pgqueue.worker.seek import Seek

if TYPE_CHECKING:
    from pgqueue.ops.core import Row, Statement
    from pgqueue.worker.active_job import ActiveJob

GROUP: Final = 13
"""Where claim_grouped says the group; the other claims say none."""

LOOK_FOR_DUE: Final = 0.05
"""How often an awake worker asks for the next due job; a sleeping one is rung."""

LONGEST_POLL: Final = 0.5
STILL_DUE: Final = 0.02
"""When to look again for a due job that somebody else holds."""

JUST_DUE: Final = 0.002
"""One due for less than this became so between the two statements: nobody holds it."""

FALLBACK: Final = 5.0
"""The longest that a sleeping worker relies on being rung."""

DELAYED_TRAIL: Final = 1.0

SHY: Final = 0.25
SHY_FOR: Final = 10.0
"""A worker that held jobs which it does not handle comes up to `SHY` seconds late for due
ones, at random, until `SHY_FOR` seconds after them: or always the same worker would be
first to take them, and never the one that handles them."""

FIRST_NAP: Final = 0.02
LONGEST_NAP: Final = 1.0
"""How long a worker that never gets a start of a limited queue sleeps at least."""


@dataclass(slots=True)
class Intake:
    """One queue: where to look for waiting jobs, and when the next delayed one is due.

    Attributes:
        due_at: loop time at which to promote, or to ask when that will be.
        hungry: the last claim came back short.
        limited: the queue as a whole is, so it is claimed from in another way.
        grouped: it has groups, and so is limited too.
        full: it is at its limit, and jobs wait.
    """

    name: str
    queue_id: int
    seek: Seek = field(default_factory=Seek)
    due_at: float = 0.0
    due_low: float = 0.0
    looked_at: float = float("-inf")
    swept_due_at: float = float("-inf")
    hungry: bool = True
    sweeping: bool = False
    usual: float = 0.0
    limited: bool = False
    grouped: bool = False
    full: bool = False
    look_at: float = 0.0
    turn: int = 0
    nap: float = FIRST_NAP
    shy_until: float = float("-inf")
    claims_first: bool = False

    def rung(self, now: float) -> None:
        """Note that somebody added a job, or one that is due before the others.

        Most rings are for a job that waits, so the next round trip claims and no more;
        what to promote, and when, is asked in the one after it.
        """
        self.claims_first = self.due_at > now
        self.due_at = 0.0

    def claim(self, worker_id: int, limit: int, now: float) -> Statement:
        """Return the statement that claims up to *limit* jobs."""
        self.sweeping = self.seek.sweep_due(now, hungry=self.hungry)
        return leases.claim(
            self.queue_id,
            worker_id,
            limit,
            leases.WHOLE if self.sweeping else self.seek.stretches(),
            limited=self.limited,
            from_turn=self.turn if self.grouped else None,
        )

    def claimed(self, rows: list[Row], limit: int, now: float, took: float) -> None:
        """Learn from a claim; *took* is how long its round trip lasted."""
        if rows and len(rows[0]) > GROUP:
            # Those of groups stand elsewhere, and are found in another way.
            places = [(row[2], row[3]) for row in rows if row[GROUP] is None]
            # Turns are only ever given out at the end: what is below is dead for good.
            self.turn = rows[0][GROUP + 1] or self.turn
        else:
            places = [(row[2], row[3]) for row in rows]
        if self.sweeping:
            # What it cost more than a hinted one: the rest is not the sweep's.
            self.seek.swept(places, now, max(0.0, took - self.usual))
        else:
            self.usual += (took - self.usual) * 0.2
        self.seek.claimed(places, now)
        self.hungry = len(rows) < limit

    def certain(self) -> bool:
        """Whether there is nothing to claim: no job waits, or none may start."""
        return self.full or self.empty()

    def empty(self) -> bool:
        """Whether the last claim looked everywhere and found nothing."""
        return self.sweeping and self.hungry and not self.full

    def next_look(self) -> float:
        """When to look again, at the latest: for due jobs, or for room."""
        return min(self.due_at, self.look_at) if self.full else self.due_at

    def look(self, *, ring: bool) -> Statement:
        """Return what asks whether a job of a limited queue may start."""
        from_turn = self.turn if self.grouped else None
        return leases.look(self.queue_id, ring=ring, from_turn=from_turn)

    def looked(self, row: Row, now: float, *, peeked: bool) -> None:
        """Learn about the limits; *peeked*: without a claim before it."""
        self.limited, room, wait, waiting, _, *more = row
        self.full = self.limited and waiting and not room
        if self.full:
            # Room that others were quicker to take is looked for ever less often.
            self.nap = min(LONGEST_NAP, self.nap * 2) if peeked else FIRST_NAP
            # Without a time to wait for, whoever makes room rings.
            self.look_at = now + (float("inf") if wait is None else max(wait, self.nap))
        elif not waiting:
            self.sweeping = self.hungry = True
        elif peeked or any(more):
            self.hungry = False

    def put_back(self, job: ActiveJob, at: float) -> None:
        """Note that a job runs again; without a delay maybe where it was before."""
        if job.refused:
            self.shy_until = max(self.shy_until, at + SHY_FOR)
            at += random.uniform(0.0, SHY)  # noqa: S311
        self.due_at = min(self.due_at, at)
        if job.group is None:
            self.seek.returned(job.priority, job.seq)

    def promote(self, now: float, *, asleep: bool) -> list[Statement]:
        """Return what promotes due jobs and asks for the next one, if it is time.

        Args:
            now: seconds of the loop's clock.
            asleep: an added job rings; without that every poll looks.
        """
        if self.claims_first:
            self.claims_first = False
            return []
        polling = self.hungry and not (asleep or self.full)
        polling = polling and now - self.looked_at >= LOOK_FOR_DUE
        if now < self.due_at and not polling:
            return []
        self.looked_at = now
        # Past the hint once in a while: for jobs that were added late.
        if now - self.swept_due_at >= LONGEST_POLL:
            self.swept_due_at = now
            self.due_low = 0.0
        return leases.promote(self.queue_id, self.due_low)

    def promoted(self, answers: list[list[Row]], now: float, *, asleep: bool) -> int:
        """Learn from a promotion; return how many jobs became ready."""
        (count, last), (ahead, limited, grouped) = answers[0][0], answers[1][0]
        if last is not None:
            self.due_low = max(self.due_low, last - DELAYED_TRAIL)
        wait = LONGEST_POLL if self.hungry else LOOK_FOR_DUE
        if (asleep or self.full) and self.swept_due_at == self.looked_at:
            wait = FALLBACK
        self.limited, self.grouped = limited, grouped
        self.full = self.full and limited
        if ahead is not None:
            held = not count and ahead <= -JUST_DUE
            wait = min(wait, max(STILL_DUE if held else 0.0, ahead))
        if now < self.shy_until:
            wait += random.uniform(0.0, SHY)  # noqa: S311
        self.due_at = now + wait
        moved: int = count
        return moved
