"""Operations on schedules: make one, let it go on, pause it, list them.

A schedule has at most one pending job, for its next occurrence. When that job begins,
its worker lets the schedule go on: `advance` makes the job of the occurrence after it.
"""

from __future__ import annotations

import json
import re
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, NamedTuple

from pgqueue import payload
from pgqueue.cron import CATCH_UP, Rule, allowed, following
from pgqueue.errors import ConfigError, ScheduleNotFound
from pgqueue.ops.core import Op, Row, Statement, atomic
from pgqueue.ops.jobs import find, removal
from pgqueue.ops.queues import queue_id
from pgqueue.schedule import (
    TRAVELLED,
    Schedule,
    SchedulePage,
    encode_rule,
    first_run,
    parse_rule,
)
from pgqueue.types import JobState

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

NEVER: Final = 2**62
CURSOR: Final = re.compile(r"([0-9]{1,19})/(.{1,255})", re.DOTALL)
BATCH: Final = 1000


class Begun(NamedTuple):
    """A job of a schedule that began."""

    queue_id: int
    key: str
    job_id: int


class Standing(NamedTuple):
    """A schedule whose pending job has begun or is gone."""

    queue_id: int
    key: str
    job_id: int
    next_at: datetime
    iteration: int
    behind: int
    rule: str
    began: bool
    now: datetime


class Step(NamedTuple):
    """Where a schedule goes on."""

    next_at: datetime | None
    iteration: int
    behind: int


@dataclass(frozen=True, slots=True)
class Held:
    """A schedule locked by this transaction."""

    next_at: datetime | None
    last_at: datetime | None
    job_id: int | None
    iteration: int
    paused: bool
    rule: str
    template: str
    now: datetime

    def begun(self) -> Held:
        """Return it after its pending job has begun."""
        return replace(
            self, last_at=self.next_at, next_at=None, iteration=self.iteration + 1
        )


def step(rule: Rule, one: Standing) -> Step:
    """Return where a schedule goes on after an occurrence; pure.

    Occurrences that passed meanwhile are skipped, or each gets its job, one after the
    other, up to a number in a row. An occurrence that was begun early is not repeated.
    """
    made = one.iteration + one.began
    if rule.missed == "all" and one.behind < CATCH_UP:
        at = following(rule, one.next_at, made)
        if at is not None and at <= one.now:
            return Step(at, made, one.behind + 1)
        return Step(at, made, 0)
    return Step(following(rule, max(one.now, one.next_at), made), made, 0)


def advance(begun: Iterable[Begun]) -> Op[tuple[set[Begun], set[int], list[str]]]:
    """Let schedules go on whose jobs began.

    Returns:
        Those that a caller holds, to be tried again; the queues that got a job; and
        what is wrong with rules that cannot be read here.
    """
    asked = sorted(begun)
    params = {
        "queue_ids": [one.queue_id for one in asked],
        "keys": [one.key for one in asked],
        "job_ids": [one.job_id for one in asked],
    }
    rows = yield Statement("read_schedules", params)
    return (yield from move(rows))


def repair(queue_ids: Iterable[int]) -> Op[list[str]]:
    """Let schedules go on whose pending job is gone; return what is wrong with rules."""
    params: dict[str, object] = {"queue_ids": list(queue_ids), "limit": BATCH}
    rows = yield Statement("find_stuck_schedules", params)
    problems: list[str] = []
    for row in rows:
        _, _, wrong = yield from move([row])
        problems += wrong
    return problems


def move(rows: list[Row]) -> Op[tuple[set[Begun], set[int], list[str]]]:
    """Move schedules on from where they stand, as `advance` says."""
    standing = [Standing(*row) for row in rows]
    steps: list[tuple[Standing, Step]] = []
    problems: list[str] = []
    for one in standing:
        try:
            steps.append((one, step(parse_rule(one.rule), one)))
        except (ConfigError, TypeError, ValueError) as error:
            problems.append(f"schedule {one.key!r}: {error}")
    if not steps:
        return set(), set(), problems
    rows = yield Statement(
        "advance_schedules",
        {
            "queue_ids": [one.queue_id for one, _ in steps],
            "keys": [one.key for one, _ in steps],
            "job_ids": [one.job_id for one, _ in steps],
            "instants": [to.next_at for _, to in steps],
            "iterations": [to.iteration for _, to in steps],
            "behinds": [to.behind for _, to in steps],
        },
    )
    moved = {Begun(*row[:3]) for row in rows}
    tried = {Begun(*one[:3]) for one, _ in steps}
    fed = {row[0] for row in rows if row[3] is not None}
    return tried - moved, fed, problems


@atomic
def upsert(queue: str, key: str, rule: Rule, template: str) -> Op[Schedule]:
    """Make a schedule, or give one another rule and template, with its pending job."""
    place: dict[str, object] = {"queue_id": (yield from queue_id(queue)), "key": key}
    while True:
        new = {"rule": encode_rule(rule), "template": template}
        yield Statement("make_schedule", {**place, **new})
        held = yield from hold(place)
        if held is not None:
            break
        # Removed since: make it anew.
    old: Rule | None = None
    if held.iteration >= 0:
        with suppress(ConfigError, TypeError, ValueError):
            old = parse_rule(held.rule)
    else:
        held = replace(held, iteration=0)
    if old is not None and old.travelled:
        rule = replace(rule, travelled=old.travelled)
        template = travelled(template, old.travelled)
    withdrawn, held = yield from withdraw(queue, held)
    if held.paused:
        at = None
    elif withdrawn and old is not None and old.cadence == rule.cadence:
        at = held.next_at
        if at is not None and not allowed(rule, at, held.iteration):
            at = None
    else:
        at = first_run(rule, old, held.now, held.last_at, held.iteration)
    held = replace(held, rule=encode_rule(rule), template=template)
    yield from save(place, replace(held, next_at=at))
    return (yield from get(queue, key))


def travelled(template: str, by: float) -> str:
    """Return a template whose jobs know that a test has let so much time pass."""
    job = payload.decode(template)
    return json.dumps({**job, "options": {**job.get("options", {}), TRAVELLED: by}})


def hold(place: dict[str, object]) -> Op[Held | None]:
    """Lock a schedule until the transaction ends."""
    rows = yield Statement("hold_schedule", place)
    return Held(*rows[0]) if rows else None


def save(place: dict[str, object], held: Held) -> Op[None]:
    """Write a schedule that is held, and add the job of its next occurrence."""
    yield Statement(
        "save_schedule",
        {
            **place,
            "next_at": held.next_at,
            "last_at": held.last_at,
            "iteration": held.iteration,
            "paused": held.paused,
            "rule": held.rule,
            "template": held.template,
        },
    )


def withdraw(queue: str, held: Held) -> Op[tuple[bool, Held]]:
    """Remove the pending job; one that has begun meanwhile counts as an occurrence."""
    if held.job_id is None:
        return False, held
    left = yield from take_away(queue, held.job_id)
    if left is None:
        return True, held
    return False, held.begun() if left else held


def take_away(queue: str, job_id: int) -> Op[bool | None]:
    """Remove a pending job; else return whether there is one, which has begun."""
    while True:
        params = removal(queue, [job_id], ["waiting", "delayed"])
        if (yield Statement("remove_jobs", params)):
            return None
        job = yield from find(queue, job_id)
        if job is None:
            return False
        if job.state not in (JobState.WAITING, JobState.DELAYED):
            return True
        # It was promoted between the two statements: look again.


@atomic
def pause(queue: str, key: str) -> Op[Schedule]:
    """Remove the pending job of a schedule and make no other one."""
    place: dict[str, object] = {"queue_id": (yield from queue_id(queue)), "key": key}
    held = yield from hold(place)
    if held is None:
        raise ScheduleNotFound(key, queue)
    if not held.paused:
        _, held = yield from withdraw(queue, held)
        yield from save(place, replace(held, paused=True, next_at=None))
    return (yield from get(queue, key))


@atomic
def resume(queue: str, key: str) -> Op[Schedule]:
    """Let a paused schedule go on with its next occurrence in the future."""
    place: dict[str, object] = {"queue_id": (yield from queue_id(queue)), "key": key}
    held = yield from hold(place)
    if held is None:
        raise ScheduleNotFound(key, queue)
    if held.paused:
        rule = parse_rule(held.rule)
        after = held.now if held.last_at is None else max(held.now, held.last_at)
        at = following(rule, after, held.iteration)
        yield from save(place, replace(held, paused=False, next_at=at))
    return (yield from get(queue, key))


@atomic
def remove(queue: str, key: str) -> Op[bool]:
    """Remove a schedule with its pending job; return whether there was one."""
    rows = yield Statement("remove_schedule", {"queue": queue, "key": key})
    for (job_id,) in rows:
        if job_id is not None:
            yield from take_away(queue, job_id)
    return bool(rows)


def from_row(queue: str, row: Row) -> Schedule:
    """Return the schedule that a row of a listing describes."""
    template = payload.decode(row[7])
    return Schedule(
        key=row[0],
        queue=queue,
        name=template["name"],
        data=template.get("data"),
        rule=parse_rule(row[6]),
        next_at=row[1],
        last_at=row[2],
        job_id=row[3],
        iteration=row[4],
        paused=row[5],
    )


def get(queue: str, key: str) -> Op[Schedule]:
    """Return a schedule, or raise `ScheduleNotFound`."""
    rows = yield Statement("get_schedule", {"queue": queue, "key": key})
    if not rows:
        raise ScheduleNotFound(key, queue)
    return from_row(queue, rows[0])


def list_page(queue: str, place: tuple[int, str], limit: int) -> Op[SchedulePage]:
    """Return up to *limit* schedules by their next occurrence, from a place on."""
    params = {
        "queue": queue,
        "never": NEVER,
        "micros": place[0],
        "key": place[1],
        "limit": limit + 1,
    }
    rows = yield Statement("list_schedules", params)
    found = tuple(from_row(queue, row) for row in rows[:limit])
    cursor = f"{rows[limit - 1][8]}/{found[-1].key}" if len(rows) > limit else None
    return SchedulePage(found, cursor)


def parse_cursor(after: object) -> tuple[int, str]:
    """Return the place that a cursor stands for.

    Raises:
        ConfigError: it is the cursor of no page of schedules.
    """
    if after is None:
        return -(2**62), ""
    match = CURSOR.fullmatch(after) if isinstance(after, str) else None
    if match is None or int(match[1]) > NEVER:
        raise ConfigError.bad("after", after, "the cursor of a page of schedules")
    return int(match[1]), match[2]
