"""What a worker knows about each of its queues between two round trips."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from pgqueue.ops.core import Row, Statement
from pgqueue.worker.seek import WHOLE, Seek, Stretches

PROMOTE_BATCH: Final = 1000
LOOK_FOR_DUE: Final = 0.05
"""How often an awake worker asks for the next due job; a sleeping one is rung."""

FALLBACK: Final = 5.0
"""The longest that a sleeping worker relies on being rung."""

DELAYED_TRAIL: Final = 1.0


@dataclass(slots=True)
class Intake:
    """One queue: where to look for waiting jobs, and when the next delayed one is due.

    Attributes:
        due_at: loop time at which to promote, or to ask when that will be.
        hungry: the last claim came back short.
    """

    name: str
    queue_id: int
    seek: Seek = field(default_factory=Seek)
    due_at: float = 0.0
    due_low: float = 0.0
    swept_due_at: float = float("-inf")
    hungry: bool = True
    sweeping: bool = False

    def claim(self, worker_id: int, limit: int, now: float) -> Statement:
        """Return the statement that claims up to *limit* jobs."""
        self.sweeping = self.seek.sweep_due(now, hungry=self.hungry)
        stretches: Stretches = WHOLE if self.sweeping else self.seek.stretches()
        return Statement(
            "claim_jobs",
            {
                "queue_id": self.queue_id,
                "worker_id": worker_id,
                "limit": limit,
                "from_priority": stretches[0],
                "from_seq": stretches[1],
                "to_priority": stretches[2],
                "to_seq": stretches[3],
            },
        )

    def claimed(self, rows: list[Row], limit: int, now: float, took: float) -> None:
        """Learn from a claim; *took* is how long its round trip lasted."""
        places = [(row[2], row[3]) for row in rows]
        if self.sweeping:
            self.seek.swept(places, now, took)
        self.seek.claimed(places, now)
        self.hungry = len(rows) < limit

    def certain(self) -> bool:
        """Whether the last claim looked everywhere and found the queue empty."""
        return self.sweeping and self.hungry

    def promote(self, now: float) -> list[Statement]:
        """Return what promotes due jobs and asks for the next one, if it is time."""
        if now < self.due_at:
            return []
        # Past the hint once in a while: for jobs that were added late.
        if now - self.swept_due_at > 0.5:  # noqa: PLR2004
            self.swept_due_at = now
            self.due_low = 0.0
        place: dict[str, object] = {"queue_id": self.queue_id, "low": self.due_low}
        return [
            Statement("promote_jobs", {**place, "limit": PROMOTE_BATCH}),
            Statement("next_due", place),
        ]

    def promoted(self, answers: list[list[Row]], now: float, *, asleep: bool) -> int:
        """Learn from a promotion; return how many jobs became ready."""
        (count, last), following = answers[0][0], answers[1]
        if last is not None:
            self.due_low = max(self.due_low, last - DELAYED_TRAIL)
        wait = FALLBACK if asleep else LOOK_FOR_DUE
        if following:
            wait = max(0.0, min(wait, following[0][0]))
        self.due_at = now + wait
        moved: int = count
        return moved
