"""Where claims begin to look, so that dead index entries cost nothing; pure.

Entries of claimed jobs cannot leave the claim index while an old snapshot is open
anywhere, and a claim that starts at the head walks all of them. So a worker remembers,
for each priority, below which position it has seen everything claimed, and starts
there. The bound trails: jobs of transactions that commit a little late are above it.
Later ones, and jobs put back where they were, are found by a sweep from the head, which
runs as often as its own cost allows.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from pgqueue.ops.leases import END, LOWEST, WHOLE, Stretches

if TYPE_CHECKING:
    from collections.abc import Sequence

TRAIL: Final = 0.3
"""Seconds by which the bound stays behind what was claimed."""

GRAIN: Final = 0.02
BUSY_SWEEP: Final = 0.5
DUTY: Final = 20.0
"""A sweep runs at most every 20 times its own cost: 5 % of the time."""

MAX_LANES: Final = 32
UNUSED: Final = 5.0
"""A lane without a claim for so many seconds makes room for another priority."""


@dataclass(slots=True)
class Lane:
    """One priority: start at `low`; `recent` holds (time, highest position claimed)."""

    low: int = 0
    used_at: float = 0.0
    recent: deque[tuple[float, int]] = field(default_factory=deque)

    def claimed(self, seq: int, now: float) -> None:
        """Note that everything up to *seq* was claimed, and let the bound follow."""
        self.used_at = now
        if self.recent and now - self.recent[-1][0] < GRAIN:
            began, highest = self.recent[-1]
            self.recent[-1] = (began, max(highest, seq))
        else:
            self.recent.append((now, seq))
        self.follow(now)

    def follow(self, now: float) -> None:
        """Raise the bound to what was claimed long enough ago."""
        while self.recent and now - self.recent[0][0] > TRAIL + GRAIN:
            self.low = max(self.low, self.recent.popleft()[1] + 1)

    def found(self, seq: int) -> None:
        """A job is at *seq* after all: start no later than there, now or soon."""
        if seq < self.low or any(seq <= highest for _, highest in self.recent):
            self.low = min(self.low, seq)
            self.recent.clear()


@dataclass(slots=True)
class Seek:
    """The lanes of one queue, as one worker knows them."""

    lanes: dict[int, Lane] = field(default_factory=dict)
    swept_at: float = float("-inf")
    cost: float = 0.0
    last_cost: float = 0.0

    def sweep_due(self, now: float, *, hungry: bool) -> bool:
        """Whether to look from the head.

        Args:
            now: seconds of a monotonic clock.
            hungry: the last claim came back short, so there is nothing better to do.
        """
        pause = DUTY * self.cost
        return now - self.swept_at >= (pause if hungry else max(BUSY_SWEEP, pause))

    def doubt(self) -> None:
        """Look from the head next, whatever that costs."""
        self.swept_at = float("-inf")

    def next_sweep(self) -> float:
        """When a hungry worker may look from the head again."""
        return self.swept_at + DUTY * self.cost

    def stretches(self) -> Stretches:
        """Return the parts of the index to look at, in claim order.

        For each known priority, first its lifo jobs (negative positions, no bound),
        then from the bound up to the next known priority, unknown ones included.
        """
        if not self.lanes:
            return WHOLE
        starts: list[tuple[int, int]] = []
        ends: list[tuple[int, int]] = []
        known = sorted(self.lanes)
        if known[0] > 0:
            starts.append((0, LOWEST))
            ends.append((known[0], LOWEST))
        for index, priority in enumerate(known):
            after = known[index + 1] if index + 1 < len(known) else END
            starts += [(priority, LOWEST), (priority, self.lanes[priority].low)]
            ends += [(priority, 0), (after, LOWEST)]
        return (
            [start[0] for start in starts],
            [start[1] for start in starts],
            [end[0] for end in ends],
            [end[1] for end in ends],
        )

    def claimed(self, places: Sequence[tuple[int, int]], now: float) -> None:
        """Note the (priority, position) of jobs that a claim took, in claim order."""
        highest = {priority: seq for priority, seq in places if seq > 0}
        for priority, seq in highest.items():
            lane = self.lanes.get(priority)
            if lane is None:
                if len(self.lanes) >= MAX_LANES and not self._evict(now):
                    continue
                lane = self.lanes[priority] = Lane()
            lane.claimed(seq, now)
        for lane in self.lanes.values():
            lane.follow(now)

    def _evict(self, now: float) -> bool:
        """Drop the lane that was unused for longest, if that is long enough."""
        used = {priority: lane.used_at for priority, lane in self.lanes.items()}
        oldest = min(used, key=used.__getitem__)
        if now - used[oldest] < UNUSED:
            return False
        del self.lanes[oldest]
        return True

    def returned(self, priority: int, seq: int) -> None:
        """Note that a job may stand at *seq* again."""
        if seq > 0 and priority in self.lanes:
            self.lanes[priority].found(seq)

    def swept(self, places: Sequence[tuple[int, int]], now: float, cost: float) -> None:
        """Note what a look from the head found, and what it cost in seconds."""
        self.swept_at = now
        # One that was slow alone met a machine that halted, a lock, or a server that had
        # everything to read and plan for the first time; not its own cost.
        self.cost = min(cost, self.last_cost)
        self.last_cost = cost
        lowest = {priority: seq for priority, seq in reversed(places) if seq > 0}
        for priority, seq in lowest.items():
            if priority in self.lanes:
                self.lanes[priority].found(seq)
