"""What one round trip does for each queue: promote, claim, look at limits."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pgqueue.ops import leases

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pgqueue.ops.core import Row, Statement
    from pgqueue.worker.intake import Intake


@dataclass(slots=True)
class Visit:
    """What one round trip does for one queue.

    Attributes:
        form: puts the groups in line, before the claim.
        limit: how many jobs the claim asked for.
        look: asks whether a limited queue has room, after the claim if there is one.
    """

    intake: Intake
    promote: list[Statement] = field(default_factory=list)
    form: Statement | None = None
    claim: Statement | None = None
    limit: int = 0
    look: Statement | None = None
    asleep: bool = False

    @property
    def locks(self) -> bool:
        """Whether the claim must be the only one of its queue."""
        return self.claim is not None and self.claim.name != "claim_jobs"

    def statements(self) -> list[Statement]:
        """Return what to send."""
        last = [one for one in (self.form, self.claim, self.look) if one is not None]
        return [*self.promote, *last]

    def learn(self, answers: Iterator[list[Row]], now: float, took: float) -> list[Row]:
        """Take in the answers to `statements`; return the jobs that were claimed."""
        plain = self.claim is not None and not self.locks
        if self.promote:
            replies = [next(answers) for _ in self.promote]
            self.intake.promoted(replies, now, asleep=self.asleep)
        rows: list[Row] = []
        if self.form is not None:
            next(answers)
        if self.claim is not None:
            rows = next(answers)
            self.intake.claimed(rows, self.limit, now, took)
        if self.look is not None:
            row = next(answers)[0]
            self.intake.looked(row, now, peeked=self.claim is None and self.limit > 0)
        elif plain and self.intake.limited:
            # It was taken for an unlimited one: that it gave nothing says nothing.
            self.intake.hungry = False
        return rows


def moves(visits: Iterable[Visit]) -> bool:
    """Whether any of them does more than look at the limits of a queue."""
    return any(one.promote or one.claim or one.intake.grouped for one in visits)


def lock_limits(visits: Iterable[Visit]) -> list[Statement]:
    """Return what must precede the claims of limited queues, in the transaction."""
    queue_ids = [visit.intake.queue_id for visit in visits if visit.locks]
    return [leases.lock_limits(queue_ids)] if queue_ids else []


def plan(
    intakes: list[Intake],
    worker_id: int,
    *,
    want: int,
    free: int,
    now: float,
    asleep: bool,
    ended: set[int],
) -> list[Visit]:
    """Return what to do for each queue, in that order; fairly, if there are several.

    Queues that gave jobs last time share the room; the others are only looked at.

    Args:
        want: how many jobs to claim, some of them ahead.
        free: how many of them could start at once; limited queues give no more.
        now: seconds of the loop's clock.
        asleep: an added job rings.
        ended: the queues of which this round trip writes outcomes.
    """
    share = -(-want // max(1, sum(not intake.hungry for intake in intakes)))
    visits = []
    for intake in intakes:
        limit = min(want, share, free if intake.limited else want)
        left = intake.limited and intake.queue_id in ended
        if limit <= 0:
            # No claim follows that could fill the slot which has become free.
            if left:
                visits.append(Visit(intake, look=intake.look(ring=True)))
            continue
        visit = Visit(intake, limit=limit, asleep=asleep)
        visit.promote = intake.promote(now, asleep=asleep)
        if not intake.full or left:
            visit.claim = intake.claim(worker_id, limit, now)
            if intake.grouped:
                visit.form = leases.form_line(intake.queue_id)
        if intake.limited:
            visit.look = intake.look(ring=left)
        visits.append(visit)
        taken = limit if not intake.hungry or len(intakes) == 1 else 1
        want -= taken
        free -= taken if intake.limited else 0
    return visits
