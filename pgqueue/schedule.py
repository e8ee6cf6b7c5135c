"""`Schedule`: a rule that adds jobs on a cadence, as it was when it was read."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import TYPE_CHECKING, overload

from pgqueue import payload
from pgqueue.cron import Rule, allowed, following, on_calendar

if TYPE_CHECKING:
    from pgqueue.types import JsonValue

INSTANTS = ("start", "end")
TRAVELLED = "travelled"


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """A schedule with its next occurrence; instants are the database's.

    Attributes:
        key: what it is called in its queue.
        queue: the name of its queue.
        name: the name of its jobs.
        data: what its jobs get.
        rule: when it fires.
        next_at: the next occurrence; None while it is paused and when it has ended.
        last_at: the latest occurrence whose job began.
        job_id: the job of the next occurrence.
        iteration: how many occurrences there have been: jobs that began.
        paused: it makes no jobs.
    """

    key: str
    queue: str
    name: str
    data: JsonValue
    rule: Rule
    next_at: datetime | None
    last_at: datetime | None
    job_id: int | None
    iteration: int
    paused: bool

    @property
    def ended(self) -> bool:
        """Whether its limit or its end was reached: it stays, and makes no more jobs."""
        return self.next_at is None and not self.paused

    def next_runs(self, count: int = 5) -> list[datetime]:
        """Return the next occurrences, at most *count*, in UTC."""
        runs: list[datetime] = []
        at = self.next_at
        while at is not None and len(runs) < count:
            runs.append(at)
            at = following(self.rule, at, self.iteration + len(runs))
        return runs

    def to_dict(self) -> dict[str, JsonValue]:
        """Return the fields as plain values; instants as ISO 8601 text."""
        plain: dict[str, JsonValue] = {}
        for each in fields(self):
            value = getattr(self, each.name)
            if isinstance(value, Rule):
                plain |= rule_fields(value)
            else:
                plain[each.name] = plain_value(value)
        return plain


@dataclass(frozen=True, slots=True)
class SchedulePage(Sequence[Schedule]):
    """One page of schedules; `cursor` is passed as `after=`, None on the last page."""

    items: tuple[Schedule, ...]
    cursor: str | None = None

    @overload
    def __getitem__(self, index: int) -> Schedule: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Schedule]: ...
    def __getitem__(self, index: int | slice) -> Schedule | Sequence[Schedule]:
        return self.items[index]

    def __len__(self) -> int:
        return len(self.items)


def plain_value(value: object) -> JsonValue:
    """Return an instant as ISO 8601 text, anything else as it is."""
    return value.isoformat() if isinstance(value, datetime) else value


def rule_fields(rule: Rule) -> dict[str, JsonValue]:
    """Return the fields of a rule as plain values; what a test did to it is none."""
    return {
        each.name: plain_value(getattr(rule, each.name))
        for each in fields(rule)
        if each.name != TRAVELLED
    }


def encode_rule(rule: Rule) -> str:
    """Return a rule as the table keeps it: what is not given is left out."""
    everything = {**rule_fields(rule), TRAVELLED: rule.travelled}
    return json.dumps({name: value for name, value in everything.items() if value})


def parse_rule(text: str) -> Rule:
    """Return a rule that `encode_rule` wrote."""
    stored: dict[str, JsonValue] = payload.decode(text)
    for name in INSTANTS:
        if name in stored:
            stored[name] = datetime.fromisoformat(stored[name])
    return Rule(**stored)


def first_run(
    rule: Rule, old: Rule | None, now: datetime, last: datetime | None, made: int
) -> datetime | None:
    """Return the first occurrence under a rule that is new, or was paused.

    Args:
        old: the rule before, if there was one.
        last: the occurrence that was the latest to begin; it gets no second job.
        made: how many there have been.
    """
    same = old is not None and old.cadence == rule.cadence
    if same and last is not None:
        return following(rule, max(now, last), made)
    if (
        rule.immediately
        and not same
        and (rule.start is None or rule.start <= on_calendar(now, rule.travelled))
    ):
        return now if allowed(rule, now, made) else None
    at = following(rule, now, made)
    return following(rule, at, made) if at is not None and at == last else at
