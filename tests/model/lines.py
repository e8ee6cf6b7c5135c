"""What must be true of groups: the line that they stand in, and what each may do."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from model.deduplicating import DedupBooks

if TYPE_CHECKING:
    from model.records import Record

Place = tuple[str, str]
WINDOW = 1000
"""Of a rate, in seconds: once time has passed, all its starts are out of it."""
EVER = float("inf")


@dataclass
class Allowed:
    """What one group may do, or each that has no word of its own."""

    paused: bool = False
    most: int | None = None
    starts: int | None = None


@dataclass
class LineBooks(DedupBooks):
    """Books that know of groups.

    Attributes:
        grouped: the queues that have ever had a job of a group.
        lines: the groups that stand in line, the next one first; only claims write it.
        out: those that are out of line, and until when.
        holds: the groups whose jobs met a limit, and until when they are held.
        arrivals: what the next claim takes in: a group, or None for all, and whether it
            may do more than before.
    """

    grouped: set[str] = field(default_factory=set)
    own: dict[Place, Allowed] = field(default_factory=dict)
    common: dict[str, Allowed] = field(default_factory=dict)
    lines: dict[str, list[str]] = field(default_factory=dict)
    out: dict[Place, float] = field(default_factory=dict)
    arrivals: dict[str, list[tuple[str | None, bool]]] = field(default_factory=dict)
    group_starts: list[tuple[Place, float]] = field(default_factory=list)
    holds: dict[Place, float] = field(default_factory=dict)

    def arrive(self, queue: str, group: str | None, *, again: bool) -> None:
        """Note what the next claim is to take in, once, if it looks for groups."""
        coming = self.arrivals.setdefault(queue, [])
        if queue in self.grouped and (group, again) not in coming:
            coming.append((group, again))

    def add(self, job: Record, policy: str | None = None) -> None:
        super().add(job, policy)
        if job.group is not None:
            self.grouped.add(job.queue)
            if job.state == "waiting":
                self.arrive(job.queue, job.group, again=False)

    def put(self, job: Record, state: str, due: float | None = None) -> None:
        super().put(job, state, due)
        if job.group is not None and state == "waiting":
            self.arrive(job.queue, job.group, again=False)

    def allowed(self, queue: str, group: str) -> Allowed:
        """Return what a group may do, by its own word or by that for all."""
        own, common = self.own.get((queue, group), Allowed()), self.common.get(queue)
        if common is None:
            return own
        return Allowed(
            own.paused,
            common.most if own.most is None else own.most,
            common.starts if own.starts is None else own.starts,
        )

    def running_of(self, queue: str, group: str) -> int:
        return sum(job.group == group for job in self.of(queue, "active"))

    def hold(self, job: Record, delay: float) -> None:
        """Let nothing of a job's group start for a while; of its queue if it has none."""
        until = self.now + delay
        if job.group is None:
            self.until[job.queue] = max(until, self.until.get(job.queue, until))
        else:
            place = (job.queue, job.group)
            self.holds[place] = max(until, self.holds.get(place, until))

    def held(self) -> set[Place]:
        """Return the groups that are held now."""
        return {place for place, until in self.holds.items() if until > self.now}

    def starts_left(self, queue: str, group: str) -> float:
        """Return how many jobs of a group may start in this window."""
        if (queue, group) in self.held():
            return 0
        starts = self.allowed(queue, group).starts
        if starts is None:
            return EVER
        return starts - self.group_starts.count(((queue, group), self.now))

    def free(self, queue: str, group: str) -> float:
        """Return how many jobs of a group may start now."""
        allowed = self.allowed(queue, group)
        if allowed.paused:
            return 0
        most = EVER if allowed.most is None else allowed.most
        room = most - self.running_of(queue, group)
        return max(0, min(room, self.starts_left(queue, group)))

    def comes(self, queue: str) -> set[str]:
        """Put at the end of the line who comes, and who may start jobs again."""
        line, coming = self.lines.setdefault(queue, []), self.arrivals.pop(queue, [])
        out = {group for place, group in self.out if place == queue}
        fresh = {g for g, _ in coming if g is not None and g not in (*line, *out)}
        more = {group for group, again in coming if again}
        for group in out:
            until = self.out[queue, group]
            if (
                until <= self.now
                or {group, None} & more
                or (until == EVER and self.free(queue, group) > 0)
                or (until == EVER and (queue, group) in self.held())
            ):
                del self.out[queue, group]
                fresh.add(group)
        return fresh

    def serve(self, queue: str, limit: int) -> list[Record]:
        """Return the jobs of groups that a claim with so much room takes."""
        line = self.lines.setdefault(queue, [])
        visited = line[:limit]
        share = -(-limit // max(1, len(visited)))
        picked = [
            (nth, turn, job)
            for turn, group in enumerate(visited)
            for nth, job in enumerate(self.line(queue, group))
            if nth < min(share, self.free(queue, group))
        ]
        taken = [job for *_, job in sorted(picked, key=lambda one: one[:2])[:limit]]
        for group in visited:
            line.remove(group)
            count = sum(job.group == group for job in taken)
            if self.allowed(queue, group).paused:
                continue
            if len(self.line(queue, group)) > count:
                if self.starts_left(queue, group) <= count:
                    held = self.holds.get((queue, group), 0.0)
                    window = held if held > self.now else self.now + WINDOW
                    self.out[queue, group] = window
                elif self.free(queue, group) <= count:
                    self.out[queue, group] = EVER
                else:
                    line.append(group)
        return taken

    def start(self, jobs: list[Record], worker: int) -> None:
        super().start(jobs, worker)
        for job in jobs:
            if job.group is not None:
                allowed = self.allowed(job.queue, job.group)
                if allowed.starts is not None:
                    self.group_starts.append(((job.queue, job.group), self.now))
                # More may run only if the limit was lowered meanwhile, and then no more.
                most = EVER if allowed.most is None else allowed.most
                assert self.running_of(job.queue, job.group) <= most
                assert self.starts_left(job.queue, job.group) >= 0

    def forget_groups(self, queue: str) -> None:
        """Forget what the groups of a queue may do, and did; not the line."""
        self.own = {place: one for place, one in self.own.items() if place[0] != queue}
        self.common.pop(queue, None)
        self.group_starts = [s for s in self.group_starts if s[0][0] != queue]
        self.holds = {
            place: at for place, at in self.holds.items() if place[0] != queue
        }
