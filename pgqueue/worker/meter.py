"""Counts what a worker did, in memory; maintenance writes it down every few seconds."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from pgqueue.observed import BUCKETS
from pgqueue.ops.getters import save_metric

if TYPE_CHECKING:
    from collections.abc import Container, Sequence

    from pgqueue.ops.core import Op
    from pgqueue.worker.active_job import ActiveJob
    from pgqueue.worker.outcome import Outcome

ENDINGS: Final = frozenset({"completed", "failed"})


@dataclass(slots=True)
class Tally:
    """What happened in one queue since it was last written down."""

    completed: int = 0
    failed: int = 0
    latency: list[int] = field(default_factory=lambda: [0] * BUCKETS)
    duration: list[int] = field(default_factory=lambda: [0] * BUCKETS)

    def add(self, other: Tally) -> None:
        """Add what could not be written."""
        self.completed += other.completed
        self.failed += other.failed
        for n in range(BUCKETS):
            self.latency[n] += other.latency[n]
            self.duration[n] += other.duration[n]


class Meter:
    """The tallies of one worker, by queue."""

    def __init__(self) -> None:
        self._tallies: dict[int, Tally] = {}

    def note(
        self,
        ended: Sequence[tuple[ActiveJob, Outcome, float, bool]],
        written: Container[int],
    ) -> None:
        """Count the jobs that ended for good, and whose outcome was accepted."""
        # On the way of every job, so without calls.
        queue_id, tally = None, Tally()
        latency, duration = tally.latency, tally.duration
        waited, bucket = 0.0, 0
        for job, outcome, ran, _ in ended:
            ending = outcome.ending
            if ending not in ENDINGS or job.id not in written:
                continue
            if job.queue_id != queue_id:
                queue_id = job.queue_id
                tally = self._tallies.setdefault(queue_id, Tally())
                latency, duration = tally.latency, tally.duration
            if ending == "completed":
                tally.completed += 1
            else:
                tally.failed += 1
            n = int(ran * 1000).bit_length() if ran >= 0.001 else 0  # noqa: PLR2004
            duration[n if n < BUCKETS else -1] += 1
            # One that was put back, or delayed, has waited for something else.
            if job.seq == job.id and job.attempt == 1:
                was, waited = waited, job.claimed_epoch - job.created_epoch
                if waited != was:
                    # Those added and claimed together have all waited as long.
                    bucket = min(int(waited * 1000).bit_length(), BUCKETS - 1)
                latency[bucket] += 1

    def take(self, worker_id: int) -> list[tuple[int, Tally, Op[None]]]:
        """Return what writes the tallies down, and begin new ones."""
        taken, self._tallies = self._tallies, {}
        return [
            (
                queue_id,
                tally,
                save_metric(
                    worker_id,
                    queue_id,
                    tally.completed,
                    tally.failed,
                    latency=tally.latency,
                    duration=tally.duration,
                ),
            )
            for queue_id, tally in taken.items()
        ]

    def give_back(self, queue_id: int, tally: Tally) -> None:
        """Keep what could not be written."""
        self._tallies.setdefault(queue_id, Tally()).add(tally)
