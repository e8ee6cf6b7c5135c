"""When a schedule fires: cron patterns and fixed cadences, with zones; pure.

An occurrence is the instant at which a rule fires. In a zone with daylight saving a
wall-clock time that is skipped fires at the moment of the jump, one that happens twice
fires once; `cronsim` follows Debian's cron in this.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError

from pgqueue.errors import ConfigError

SHORTEST: Final = 0.001


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """When a schedule fires.

    Attributes:
        cron: a cron pattern of five fields, or six with seconds in front.
        every: seconds between occurrences; exactly one of the two is given.
        tz: the zone of the pattern, UTC by default.
        start: no occurrence before this instant.
        end: none after this one.
        limit: how many occurrences there are in all.
        offset: seconds by which an `every` cadence is shifted from the epoch's grid.
        immediately: an `every` cadence fires at once when it is made.
    """

    cron: str | None = None
    every: float | None = None
    tz: str | None = None
    start: datetime | None = None
    end: datetime | None = None
    limit: int | None = None
    offset: float | None = None
    immediately: bool = False


def zone(name: str | None) -> tzinfo:
    """Return a time zone by its IANA name; UTC for none.

    Raises:
        ConfigError: there is no such zone.
    """
    if name is None:
        return UTC
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ConfigError.bad("tz", name, "the name of a time zone") from error


def check_rule(rule: Rule) -> Rule:
    """Return a rule that can fire.

    Raises:
        ConfigError: both or neither of cron and every, a pattern or zone that cannot
            be read, a bound out of range.
    """
    if (rule.cron is None) == (rule.every is None):
        raise ConfigError(
            "a schedule takes either cron= or every=, exactly one of them"
        )
    zone(rule.tz)
    if rule.cron is not None:
        try:
            CronSim(rule.cron, datetime.now(UTC))
        except CronSimError as error:
            allowed = f"a cron pattern ({error})"
            raise ConfigError.bad("cron", rule.cron, allowed) from error
    elif not SHORTEST <= (rule.every or 0) < math.inf:
        raise ConfigError.bad("every", rule.every, "a duration above one millisecond")
    if rule.limit is not None and rule.limit < 1:
        raise ConfigError.bad("limit", rule.limit, "a whole number from 1")
    for option in ("start", "end"):
        instant: datetime | None = getattr(rule, option)
        if instant is not None and instant.utcoffset() is None:
            raise ConfigError.bad(option, instant, "an aware datetime")
    return rule


def following(rule: Rule, after: datetime, made: int) -> datetime | None:
    """Return the first occurrence after an instant, or None if there is none.

    Args:
        after: the instant, aware; occurrences are strictly later.
        made: how many occurrences the schedule has had.
    """
    if rule.limit is not None and made >= rule.limit:
        return None
    begin = after
    if rule.start is not None and rule.start > after:
        # The instant itself counts as an occurrence of a cadence that starts there.
        begin = rule.start - timedelta(microseconds=1)
    found = next_cron(rule, begin) if rule.cron is not None else next_every(rule, begin)
    if found is None or (rule.end is not None and found > rule.end):
        return None
    return found


def next_cron(rule: Rule, after: datetime) -> datetime | None:
    """Return the next instant at which a pattern fires, in UTC."""
    assert rule.cron is not None  # noqa: S101
    local = after.astimezone(zone(rule.tz))
    try:
        return next(CronSim(rule.cron, local)).astimezone(UTC)
    except StopIteration:
        return None


def next_every(rule: Rule, after: datetime) -> datetime:
    """Return the next point of a cadence's grid, which begins at start or the epoch."""
    assert rule.every is not None  # noqa: S101
    origin = rule.start or datetime(1970, 1, 1, tzinfo=UTC)
    origin += timedelta(seconds=rule.offset or 0.0)
    # In whole microseconds: years of a short cadence lose nothing to rounding.
    step = round(rule.every * 1_000_000)
    passed = (after - origin) // timedelta(microseconds=1)
    return origin + timedelta(microseconds=(passed // step + 1) * step)
