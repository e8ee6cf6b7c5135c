"""What must be true of schedules: when they fire, and which of their jobs is pending."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from model.lines import LineBooks, Place

if TYPE_CHECKING:
    from model.records import Record


@dataclass(frozen=True)
class Cadence:
    """When a schedule fires, in seconds since it was made."""

    every: int | None
    limit: int | None = None
    end: int | None = None
    immediately: bool = False
    missed: str = "skip"

    @property
    def grid(self) -> tuple[int, int]:
        """Return the seconds between occurrences, and before the first."""
        # By a pattern it is once an hour.
        return (3600, 650) if self.every is None else (self.every, self.every)


@dataclass
class Schedule:
    """A schedule; its instants are by the books' clock.

    Attributes:
        made_at: when its calendar begins; its rule is read from there.
        job: the pending one, for the occurrence `next`.
        count: how many occurrences have begun.
        behind: how many of them in a row were late.
    """

    made_at: float
    cadence: Cadence
    given: dict[str, Any]
    next: float | None = None
    last: float | None = None
    job: int | None = None
    count: int = 0
    behind: int = 0
    paused: bool = False

    def allows(self, at: float) -> bool:
        """Whether its bounds admit an occurrence."""
        limit, end = self.cadence.limit, self.cadence.end
        if limit is not None and self.count >= limit:
            return False
        return end is None or at <= self.made_at + end

    def following(self, after: float) -> float | None:
        """Return the first occurrence after an instant."""
        step, first = self.cadence.grid
        passed = (after - self.made_at - first) // step + 1
        at = self.made_at + first + max(0, passed) * step
        return at if self.allows(at) else None

    def first(self, old: Cadence | None, now: float) -> float | None:
        """Return where it begins under a rule that is new."""
        same = old is not None and old.every == self.cadence.every
        if same and self.last is not None:
            return self.following(max(now, self.last))
        if self.cadence.immediately and not same:
            return now if self.allows(now) else None
        at = self.following(now)
        return self.following(at) if at is not None and at == self.last else at


@dataclass
class ScheduleBooks(LineBooks):
    """Books that know of schedules.

    Attributes:
        due_jobs: the schedules that go on; the database has given their jobs ids.
    """

    schedules: dict[Place, Schedule] = field(default_factory=dict)
    due_jobs: list[Place] = field(default_factory=list)

    def pending(self, queue: str) -> set[int | None]:
        """Return the pending jobs of the schedules of a queue."""
        return {one.job for place, one in self.schedules.items() if place[0] == queue}

    def go_on(self, place: Place, at: float | None) -> None:
        """Let a schedule wait for an occurrence, or end."""
        one = self.schedules[place]
        one.next, one.job = at, None
        if at is not None:
            self.due_jobs.append(place)

    def withdraw(self, one: Schedule) -> bool:
        """Take its pending job away; one that has begun counts as an occurrence."""
        job = self.jobs.get(one.job or 0)
        if job is not None and job.state in ("waiting", "delayed"):
            self.forget([job])
            return True
        if job is not None:
            one.last, one.next, one.count = one.next, None, one.count + 1
        return False

    def upsert(self, place: Place, cadence: Cadence, given: dict[str, Any]) -> None:
        """Give a schedule another rule, and another job."""
        one = self.schedules.get(place)
        old = None if one is None else one.cadence
        if one is None:
            one = self.schedules[place] = Schedule(self.now, cadence, given)
        withdrawn = self.withdraw(one)
        one.cadence, one.given, one.behind = cadence, given, 0
        if one.paused:
            at = None
        elif withdrawn and old is not None and old.every == cadence.every:
            at = one.next if one.next is not None and one.allows(one.next) else None
        else:
            at = one.first(old, self.now)
        self.go_on(place, at)

    def pause(self, place: Place) -> None:
        one = self.schedules[place]
        if not one.paused:
            self.withdraw(one)
            one.paused, one.behind = True, 0
            self.go_on(place, None)

    def resume(self, place: Place) -> None:
        one = self.schedules[place]
        if one.paused:
            one.paused, one.behind = False, 0
            after = self.now if one.last is None else max(self.now, one.last)
            self.go_on(place, one.following(after))

    def advance(self, place: Place, *, began: bool) -> None:
        """Let a schedule go on whose pending job has begun, or is gone."""
        one = self.schedules[place]
        assert one.next is not None
        one.count += began
        one.last = one.next
        late = one.following(one.next)
        if one.cadence.missed == "all" and late is not None and late <= self.now:
            one.behind += 1
            self.go_on(place, late)
        else:
            one.behind = 0
            self.go_on(place, one.following(max(self.now, one.next)))

    def begun(self, jobs: list[Record]) -> None:
        """Let the schedules go on whose pending jobs a worker has begun."""
        ids = {job.id for job in jobs}
        for place, one in self.schedules.items():
            if one.job in ids:
                self.advance(place, began=True)

    def stuck(self) -> list[Place]:
        """Return the schedules whose pending job is gone."""
        held = [(place, one.job) for place, one in self.schedules.items() if one.job]
        return [place for place, job in held if job not in self.jobs]

    def repair(self) -> None:
        """Do what maintenance does for schedules that nobody let go on."""
        for place, one in self.schedules.items():
            if one.job is not None and self.over(one.job):
                self.advance(place, began=one.job in self.jobs)
