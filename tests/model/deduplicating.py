"""Which job stands for a deduplication id, in plain Python."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from model.books import FINISHED, Books

if TYPE_CHECKING:
    from collections.abc import Iterable

    from model.records import Record
    from pgqueue import Dedup

Place = tuple[str, str]


@dataclass
class Standing:
    """The job of an id, until when if that is a time, and the add that is kept back."""

    job: int
    until: float | None
    kept_back: dict[str, Any] | None = None


@dataclass
class DedupBooks(Books):
    """Books that know of deduplication ids.

    Attributes:
        owed: adds that were kept back and are due; the database has given them ids.
    """

    ids: dict[Place, Standing] = field(default_factory=dict)
    owed: list[tuple[Place, dict[str, Any]]] = field(default_factory=list)

    def over(self, job: int) -> bool:
        """Whether a job has finished or is gone."""
        return job not in self.jobs or self.jobs[job].state in FINISHED

    def running(self) -> list[Place]:
        """Return the ids whose jobs run."""
        active = {job.id for job in self.jobs.values() if job.state == "active"}
        return sorted(place for place, one in self.ids.items() if one.job in active)

    def standing(self, place: Place) -> Standing | None:
        """Return who takes an id from an add that comes now."""
        held = self.ids.get(place)
        if held is None:
            return None
        if held.until is not None:
            return held if held.until > self.now else None
        return None if self.over(held.job) else held

    def dedup(self, new: Record, rule: Dedup, given: dict[str, Any]) -> int:
        """Take in an add with an id; return the id of the job that is to stand."""
        keyed = self.keyed(new.queue, new.key)
        if keyed is not None:
            self.tell(keyed, "duplicated")
            return keyed.id
        place = (new.queue, rule.id)
        until = None if rule.ttl is None else self.now + float(rule.ttl)
        held = self.standing(place)
        if held is None:
            self.ids[place] = Standing(new.id, until)
            self.add(new)
            return new.id
        if rule.extend and until is not None:
            held.until = until
        before = self.jobs.get(held.job)
        if rule.replace and before is not None and before.state == "delayed":
            held.job = new.id
            self.forget([before])
            self.add(new)
            return new.id
        active = before is not None and before.state == "active"
        if rule.keep_last_if_active and (held.kept_back is not None or active):
            held.kept_back = {**given, "key": new.key}
        self.told[held.job, "deduplicated"] += 1
        return held.job

    def settle_ids(self, jobs: Iterable[int]) -> None:
        """Free the ids of jobs that have ended, or let what was kept back come in."""
        for place in sorted(
            place for place, one in self.ids.items() if one.job in jobs
        ):
            held = self.ids[place]
            ends = held.until is None or held.kept_back is not None
            if self.over(held.job) and ends:
                del self.ids[place]
                if held.kept_back is not None:
                    self.owed.append((place, held.kept_back))

    def settle_late(self, queue: str) -> None:
        """Do what maintenance does for ids of a queue."""
        for place, held in list(self.ids.items()):
            over = held.until is not None and held.until <= self.now
            if place[0] == queue and over and held.kept_back is None:
                del self.ids[place]
        kept = [
            held.job
            for place, held in self.ids.items()
            if place[0] == queue and held.kept_back is not None
        ]
        self.settle_ids(kept)

    def settle_gone(self, queue: str) -> None:
        """Forget the times of a queue whose jobs are gone."""
        for place, held in list(self.ids.items()):
            if place[0] == queue and held.job not in self.jobs:
                del self.ids[place]

    def forget(self, jobs: list[Record], *, pruned: bool = False) -> None:
        """Remove jobs, and with them their ids; a time outlives one that is pruned."""
        gone = {job.id for job in jobs}
        for place, held in list(self.ids.items()):
            runs = held.until is not None and held.until > self.now
            if held.job in gone and not (pruned and runs):
                del self.ids[place]
        super().forget(jobs, pruned=pruned)
