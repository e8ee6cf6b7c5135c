"""When a schedule fires: cron patterns and fixed cadences, with zones; pure.

An occurrence is the instant at which a rule fires. In a zone with daylight saving a
wall-clock time that is skipped fires at the moment of the jump, one that happens twice
fires once; `cronsim` follows Debian's cron in this.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Final, Literal, TypeAlias
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError

from pgqueue.errors import ConfigError

SHORTEST: Final = 0.001
LONGEST: Final = 100 * 365 * 86400.0
LAST_YEAR: Final = 9998
"""The last one that a job may wait for."""

Missed: TypeAlias = Literal["skip", "all"]
"""What becomes of occurrences whose time passed while no worker could run them."""

CATCH_UP: Final = 1000
"""How many missed occurrences in a row get their job, at most."""


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
        immediately: the first occurrence is the moment at which the rule is made.
        missed: `skip` runs one late occurrence and goes on with the next in the
            future; `all` runs each of them.
        travelled: seconds that a test let pass since the rule was made. Its calendar
            is so far ahead of the clock.
    """

    cron: str | None = None
    every: float | None = None
    tz: str | None = None
    start: datetime | None = None
    end: datetime | None = None
    limit: int | None = None
    offset: float | None = None
    immediately: bool = False
    missed: Missed = "skip"
    travelled: float = 0.0

    @property
    def cadence(self) -> tuple[object, ...]:
        """What decides on which instants it fires, without its bounds."""
        return (self.cron, self.every, self.tz, self.start, self.offset)


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
        raise ConfigError.bad(
            "tz", name, "the name of a time zone, as 'Europe/Berlin'"
        ) from error


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
        check_pattern(rule)
    else:
        check_cadence(rule)
    if rule.limit is not None and rule.limit < 1:
        raise ConfigError.bad("limit", rule.limit, "a whole number from 1")
    for option in ("start", "end"):
        instant: datetime | None = getattr(rule, option)
        if instant is not None and instant.utcoffset() is None:
            raise ConfigError.bad(option, instant, "an aware datetime")
    if rule.start is not None and rule.end is not None and rule.end < rule.start:
        raise ConfigError.bad("end", rule.end, "an instant that is not before start")
    if rule.missed not in ("skip", "all"):
        raise ConfigError.bad("missed", rule.missed, "'skip' or 'all'")
    return rule


def check_pattern(rule: Rule) -> None:
    """Raise unless a cron pattern can be read."""
    if not isinstance(rule.cron, str):
        raise ConfigError.bad("cron", rule.cron, "a cron pattern, as text")
    try:
        CronSim(rule.cron, datetime.now(UTC))
    except CronSimError as error:
        allowed = (
            "a pattern of five fields, as '0 8 * * 1-5' (minute, hour, day, month, day "
            f"of the week), or of six with seconds in front ({error})"
        )
        raise ConfigError.bad("cron", rule.cron, allowed) from error
    if rule.offset is not None:
        raise ConfigError.bad("offset", rule.offset, "an every= beside it")


def check_cadence(rule: Rule) -> None:
    """Raise unless a fixed cadence is in range."""
    if not SHORTEST <= (rule.every or 0) <= LONGEST:
        allowed = "a duration from one millisecond to 100 years"
        raise ConfigError.bad("every", rule.every, allowed)
    if rule.tz is not None:
        raise ConfigError.bad("tz", rule.tz, "a cron= beside it")
    if rule.offset is not None and not 0 <= rule.offset <= LONGEST:
        raise ConfigError.bad("offset", rule.offset, "a duration, 0 or more")


def allowed(rule: Rule, at: datetime, made: int) -> bool:
    """Return whether a rule's bounds admit another occurrence at an instant."""
    if rule.limit is not None and made >= rule.limit:
        return False
    at = on_calendar(at, rule.travelled)
    return at.year <= LAST_YEAR and (rule.end is None or at <= rule.end)


def following(rule: Rule, after: datetime, made: int) -> datetime | None:
    """Return the first occurrence after an instant, or None if there is none.

    Args:
        after: the instant, aware; occurrences are strictly later.
        made: how many occurrences the schedule has had.
    """
    if rule.travelled:
        calendar = replace(rule, travelled=0.0)
        at = following(calendar, on_calendar(after, rule.travelled), made)
        return at and on_calendar(at, -rule.travelled)
    begin = after
    if rule.start is not None and rule.start > after:
        # The instant itself counts as an occurrence of a cadence that starts there.
        begin = rule.start - timedelta(microseconds=1)
    try:
        next_one = next_cron if rule.cron is not None else next_every
        found = next_one(rule, begin)
    except OverflowError:
        return None
    return found if found is not None and allowed(rule, found, made) else None


def next_cron(rule: Rule, after: datetime) -> datetime | None:
    """Return the next instant at which a pattern fires, in UTC."""
    assert rule.cron is not None  # noqa: S101
    simulated = CronSim(rule.cron, after.astimezone(zone(rule.tz)))
    for local in simulated:
        # In the second pass through an hour it may name an instant of the first.
        found = local.astimezone(UTC)
        if found > after:
            return found
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


def on_calendar(at: datetime, travelled: float | None) -> datetime:
    """Return an instant as a schedule's calendar has it, of which a test let time pass."""
    return at + timedelta(seconds=travelled) if travelled else at
