"""What must be true of the jobs, in plain Python: the rules, without a database."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from model.records import Record, Settled
from pgqueue.ops.maintenance import STALLED
from pgqueue.retention import Retention, resolve

if TYPE_CHECKING:
    from collections.abc import Iterable

WAITING = ("waiting", "delayed", "waiting_children")
FINISHED = ("completed", "failed")
AGES = {"completed": 604800.0, "failed": 2592000.0}


@dataclass
class Books:
    """Every job, and who waits for whom."""

    now: float = 0.0
    jobs: dict[int, Record] = field(default_factory=dict)
    waits: dict[int, tuple[int, str]] = field(default_factory=dict)
    left: set[int] = field(default_factory=set)
    settled: dict[tuple[int, int], Settled] = field(default_factory=dict)
    marks: set[int] = field(default_factory=set)
    paused: set[str] = field(default_factory=set)
    most: dict[str, int] = field(default_factory=dict)
    rate: dict[str, int] = field(default_factory=dict)
    until: dict[str, float] = field(default_factory=dict)
    starts: list[tuple[str, float]] = field(default_factory=list)
    told: Counter[tuple[int, str]] = field(default_factory=Counter)
    homes: dict[int, str] = field(default_factory=dict)

    def tell(self, job: Record, event: str) -> None:
        """Note an event; followers are told of it."""
        self.told[job.id, event] += 1

    def of(self, queue: str, *states: str) -> list[Record]:
        """Return the jobs of a queue in some states, in the order of their places."""
        found = [
            j for j in self.jobs.values() if j.queue == queue and j.state in states
        ]
        return sorted(found, key=lambda j: (j.place, j.id))

    def line(self, queue: str, group: str | None = None) -> list[Record]:
        """Return the waiting jobs of a group, or of none, as they will be claimed."""
        found = [job for job in self.of(queue, "waiting") if job.group == group]
        return sorted(found, key=lambda j: (j.priority, j.place))

    def keyed(self, queue: str, key: str | None) -> Record | None:
        """Return the job of a queue that has a key."""
        found = (j for j in self.jobs.values() if j.queue == queue and j.key == key)
        return None if key is None else next(found, None)

    def limited(self, queue: str) -> bool:
        """Whether a queue as a whole lets not everything start."""
        held = self.until.get(queue, self.now) > self.now
        return queue in self.most or queue in self.rate or held

    def room(self, queue: str) -> int:
        """Return how many jobs of a queue may start now."""
        if queue in self.paused or self.until.get(queue, self.now) > self.now:
            return 0
        room = self.most.get(queue, 1000) - len(self.of(queue, "active"))
        if queue in self.rate:
            room = min(room, self.rate[queue] - self.starts.count((queue, self.now)))
        return max(0, room)

    def start(self, jobs: list[Record], worker: int) -> None:
        """Let jobs run under a worker's lease."""
        for job in jobs:
            job.attempt += 1
            self.put(job, "active")
            job.holder, job.started_at = worker, self.now
            if job.queue in self.rate:
                self.starts.append((job.queue, self.now))

    def add(self, job: Record, policy: str | None = None) -> None:
        """Take in a job that was just added."""
        job.added_at = self.now
        self.jobs[job.id] = job
        self.homes[job.id] = job.queue
        self.tell(job, "added")
        self.tell(job, job.state)
        if job.parent is not None:
            assert policy is not None
            self.waits[job.id] = (job.parent, policy)
            self.jobs[job.parent].flow = True

    def put(self, job: Record, state: str, due: float | None = None) -> None:
        """Let a job stand in another state, at a fresh place."""
        job.state, job.due, job.fresh, job.holder = state, due, True, None
        self.tell(job, state)

    def ready(self, job: Record) -> None:
        """Let a job wait, until its time has come if that is later."""
        later = job.due is not None and job.due > self.now
        self.put(job, "delayed" if later else "waiting", job.due if later else None)

    def end(self, job: Record, state: str, rule: Retention | None) -> int | None:
        """Finish a job, and settle it; return the parent that may go on."""
        parent = self.settle(job, state)
        self.put(job, state)
        job.finished_at = self.now
        age = AGES[state] if rule is None else rule.age
        job.newest = None if rule is None else rule.newest
        if rule is not None and rule.remove:
            age = 0.0
        job.gone_at = None if age is None else self.now + age
        return parent

    def settle(self, job: Record, state: str) -> int | None:
        if job.id not in self.waits:
            return None
        parent, policy = self.waits.pop(job.id)
        if state == "completed" or policy != "remove":
            self.settled.setdefault((parent, job.id), Settled(state, policy))
        return parent

    def rule(self, job: Record, state: str) -> Retention | None:
        """Return the retention that a job gave for a state."""
        key = "remove_on_complete" if state == "completed" else "remove_on_fail"
        return resolve(job.rules.get(key), None)

    def finish(self, job: Record, state: str, reason: str = "") -> int | None:
        """Finish a job as a worker does; one that is not kept goes at once."""
        rule = self.rule(job, state)
        if state == "failed":
            job.fail(reason)
            if job.attempt >= job.attempts:
                self.tell(job, "retries_exhausted")
        parent = self.end(job, state, rule)
        if rule is not None and rule.remove:
            self.erase(job)
        return parent

    def failures(self, parent: int) -> list[Settled]:
        """Return what failed under a parent and has not done to it what it does."""
        return [s for (up, _), s in self.settled.items() if up == parent and s.counts]

    def release(self, parents: set[int]) -> None:
        """Let parents go on that wait for nothing; fail those whose child takes along."""
        self.left -= parents
        todo = sorted(parents)
        while todo:
            job = self.jobs.get(todo.pop())
            if job is None or job.state != "waiting_children":
                continue
            failures = self.failures(job.id)
            if any(s.policy == "fail" for s in failures):
                rule = self.rule(job, "failed")
                up = self.end(job, "failed", rule)
                self.settle_ids([job.id])
                if job.gone_at is not None and job.gone_at <= self.now:
                    self.forget([job], pruned=True)
                if up is not None:
                    todo.append(up)
            elif failures or not any(up == job.id for up, _ in self.waits.values()):
                for one in failures:
                    one.counted = True
                self.ready(job)

    def settle_ids(self, jobs: Iterable[int]) -> None:
        """Free what jobs that have ended stood for."""

    def erase(self, job: Record) -> None:
        """Take a job and what belongs to it out of the books."""
        del self.jobs[job.id]
        for child, (parent, _) in list(self.waits.items()):
            if parent == job.id:
                del self.waits[child]
        for place in [place for place in self.settled if place[0] == job.id]:
            del self.settled[place]

    def forget(self, jobs: list[Record], *, pruned: bool = False) -> None:
        """Remove jobs; parents that waited for them go on."""
        for job in jobs:
            if not pruned:
                self.tell(job, "removed")
            self.erase(job)
        parents = {self.waits.pop(job.id)[0] for job in jobs if job.id in self.waits}
        self.release(parents)

    def again(self, jobs: list[Record], *, reset: bool = False) -> None:
        """Put finished jobs back; parents that wait, failed or go with them wait."""
        going = {job.id for job in jobs}
        for job in jobs:
            for (parent, _), one in self.settled.items():
                if parent == job.id and one.counts:
                    one.counted = True
            up = self.jobs.get(job.parent or 0)
            if up is None:
                continue
            if up.id in going or up.state in ("waiting_children", "failed"):
                left = self.settled.pop((up.id, job.id), None)
                if left is not None:
                    self.waits[job.id] = (up.id, left.policy)
        for job in jobs:
            job.attempt, job.stalled = 0 if reset else job.attempt, 0
            self.put(job, "waiting")
            self.marks.discard(job.id)
            if any(parent == job.id for parent, _ in self.waits.values()):
                self.put(job, "waiting_children")

    def cancel(self, jobs: list[Record]) -> None:
        """Fail jobs that do not run."""
        parents = set()
        for job in jobs:
            up = self.end(job, "failed", self.rule(job, "failed"))
            self.marks.discard(job.id)
            parents |= set() if up is None else {up}
        self.settle_ids([job.id for job in jobs])
        self.release(parents)

    def recover(self, worker: int, max_stalled: int) -> set[int]:
        """Put back what a dead worker held; return the parents of what failed."""
        parents = set()
        for job in [j for j in self.jobs.values() if j.holder == worker]:
            self.tell(job, "stalled")
            job.stalled += 1
            if job.stalled > max_stalled:
                job.failures.append((job.attempt, STALLED))
                up = self.end(job, "failed", self.rule(job, "failed"))
                parents |= set() if up is None else {up}
            else:
                job.attempt -= 1
                self.put(job, "waiting")
        return parents
