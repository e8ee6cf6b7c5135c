"""What the getters tell about workers and about the last minutes, as snapshots."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

if TYPE_CHECKING:
    from datetime import datetime

BUCKETS: Final = 32

GroupState: TypeAlias = Literal["waiting", "full", "limited", "paused", "idle"]
"""What holds a group up: nothing, its concurrency, its rate, a pause, having no jobs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """A group of a queue that has jobs which wait or run, or a limit of its own.

    Attributes:
        waiting: how many of its jobs wait, whatever their priority.
        concurrency: how many may be active at once; None: any number. Its own limit, or
            else that of all groups of the queue.
        max: how many may start in any window of `per` seconds; the same.
    """

    name: str
    state: GroupState
    waiting: int
    active: int
    paused: bool
    concurrency: int | None = None
    max: int | None = None
    per: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupCounts:
    """How many groups of a queue are in each state."""

    waiting: int = 0
    full: int = 0
    limited: int = 0
    paused: int = 0
    idle: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerInfo:
    """A worker that has not signed off.

    Attributes:
        active: how many jobs of this queue it holds.
        alive: whether its leases are valid; a dead one is shown until it is recovered.
    """

    id: int
    name: str
    host: str
    pid: int
    queues: tuple[str, ...]
    concurrency: int
    started_at: datetime
    heartbeat_at: datetime
    active: int
    alive: bool


@dataclass(frozen=True, slots=True)
class Histogram:
    """How often something took how long.

    Attributes:
        counts: number n tells how many took less than 2 ** n milliseconds, and not
            less than half of that.
    """

    counts: tuple[int, ...] = (0,) * BUCKETS

    @property
    def total(self) -> int:
        """How many there were."""
        return sum(self.counts)

    def quantile(self, share: float) -> float | None:
        """Return the seconds that *share* of them did not exceed, None without any.

        It is the upper bound of a bucket, so at most twice the true value.
        """
        wanted, seen = share * self.total, 0
        for n, count in enumerate(self.counts):
            seen += count
            if count and seen >= wanted:
                return float(2**n) / 1000
        return None

    def __add__(self, other: Histogram) -> Histogram:
        pairs = zip(self.counts, other.counts, strict=True)
        return Histogram(tuple(a + b for a, b in pairs))


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """One minute of a queue, over all its workers.

    Attributes:
        minute: its begin, by the database's clock.
        completed: how many jobs completed.
        failed: how many failed for good.
        latency: from add to claim, of jobs that never waited for anything else.
        duration: how long the runs of the jobs that ended took.
    """

    minute: datetime
    completed: int = 0
    failed: int = 0
    latency: Histogram = field(default_factory=Histogram)
    duration: Histogram = field(default_factory=Histogram)
