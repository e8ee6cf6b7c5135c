"""When rules fire: held against an independent walk over wall-clock time."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pgqueue.cron import Rule, check_rule, following
from pgqueue.errors import ConfigError
from pgqueue.schedule import encode_rule, first_run, parse_rule

ZONES = sorted(zone for zone in available_timezones() if "/" in zone)
BERLIN = "Europe/Berlin"

zones = st.sampled_from(ZONES)
instants = st.datetimes(
    min_value=datetime(2020, 1, 1),  # noqa: DTZ001  hypothesis wants naive bounds
    max_value=datetime(2040, 12, 31),  # noqa: DTZ001
    timezones=st.just(UTC),
)


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def runs(rule: Rule, after: datetime, count: int) -> list[datetime]:
    found: list[datetime] = []
    while len(found) < count:
        at = following(rule, found[-1] if found else after, len(found))
        if at is None:
            break
        found.append(at)
    return found


def exists(local: datetime) -> bool:
    """Whether a wall-clock time is not skipped."""
    back = local.astimezone(UTC).astimezone(local.tzinfo)
    return back.replace(tzinfo=None) == local.replace(tzinfo=None)


@settings(max_examples=300, deadline=None)
@given(zone=zones, after=instants, hour=st.integers(0, 23), minute=st.integers(0, 59))
@example(zone=BERLIN, after=utc("2026-10-25T00:30:00"), hour=2, minute=45)
@example(zone=BERLIN, after=utc("2026-10-25T01:30:00"), hour=2, minute=45)
@example(zone=BERLIN, after=utc("2026-03-29T00:59:59"), hour=2, minute=30)
@example(
    zone="Australia/Lord_Howe", after=utc("2026-04-04T15:10:00"), hour=1, minute=45
)
def test_a_daily_pattern_fires_once_a_day_at_its_time_or_at_the_end_of_the_gap(
    zone: str, after: datetime, hour: int, minute: int
) -> None:
    rule = Rule(cron=f"{minute} {hour} * * *", tz=zone)
    found = runs(rule, after, 4)
    assert len(found) == 4
    assert after < found[0]
    assert found == sorted(set(found))
    days = [at.astimezone(ZoneInfo(zone)) for at in found]
    for at in days:
        wanted = at.replace(hour=hour, minute=minute, second=0, fold=0)
        if exists(wanted):
            assert at == wanted
        else:
            # The first minute that exists: one before it was skipped, too.
            before = at.replace(tzinfo=None) - timedelta(minutes=1)
            assert not exists(before.replace(tzinfo=ZoneInfo(zone)))
    dates = [at.date() for at in days]
    steps = {(b - a).days for a, b in itertools.pairwise(dates)}
    # Two days only where a zone skipped a whole one.
    assert steps <= {1, 2}


@settings(max_examples=200, deadline=None)
@given(zone=zones, after=instants)
def test_an_hourly_pattern_fires_in_real_time_through_every_transition(
    zone: str, after: datetime
) -> None:
    found = runs(Rule(cron="*/15 * * * *", tz=zone), after, 12)
    assert all(b - a == timedelta(minutes=15) for a, b in itertools.pairwise(found))
    assert timedelta(0) < found[0] - after <= timedelta(minutes=15)


@settings(max_examples=200, deadline=None)
@given(
    zone=zones,
    after=instants,
    pattern=st.sampled_from(
        [
            "30 2 * * *",
            "0,30 1,2,3 * * *",
            "15 */2 * * 1-5",
            "0 0 1 * *",
            "0 0 29 2 *",
            "*/7 * * * *",
            "*/10 * * * * *",
            "5 30 2 * * *",
            "0 12 L * *",
            "0 0 * * 5#2",
        ]
    ),
)
def test_occurrences_are_strictly_later_whatever_the_zone_does(
    zone: str, after: datetime, pattern: str
) -> None:
    found = runs(Rule(cron=pattern, tz=zone), after, 6)
    assert len(found) == 6
    assert all(a < b for a, b in zip([after, *found], found, strict=False))


def test_a_skipped_time_fires_when_the_clock_jumps() -> None:
    found = runs(Rule(cron="30 2 * * *", tz=BERLIN), utc("2026-03-28T12:00:00"), 2)
    assert found == [utc("2026-03-29T01:00:00"), utc("2026-03-30T00:30:00")]


@pytest.mark.parametrize("after", ["00:00:00", "00:29:59"])
def test_a_time_that_comes_twice_fires_the_first_time(after: str) -> None:
    rule = Rule(cron="30 2 * * *", tz=BERLIN)
    found = runs(rule, utc(f"2026-10-25T{after}"), 2)
    assert found == [utc("2026-10-25T00:30:00"), utc("2026-10-26T01:30:00")]


def test_with_seconds_a_pattern_follows_the_clock_as_it_runs() -> None:
    """As the documentation says: no 02:30 in spring, two of them in autumn."""
    rule = Rule(cron="0 30 2 * * *", tz=BERLIN)
    assert runs(rule, utc("2026-03-28T12:00:00"), 1) == [utc("2026-03-30T00:30:00")]
    twice = [utc("2026-10-25T00:30:00"), utc("2026-10-25T01:30:00")]
    assert runs(rule, utc("2026-10-24T12:00:00"), 2) == twice


def test_nothing_fires_in_the_past_from_within_the_second_pass_of_an_hour() -> None:
    """At 02:15 for the second time, 02:45 of the first time is over."""
    at = following(Rule(cron="45 2 * * *", tz=BERLIN), utc("2026-10-25T01:15:00"), 0)
    assert at == utc("2026-10-26T01:45:00")


def test_the_29th_of_february_is_waited_for() -> None:
    found = runs(Rule(cron="0 0 29 2 *"), utc("2021-01-01T00:00:00"), 3)
    assert [at.year for at in found] == [2024, 2028, 2032]


def test_a_sixth_field_in_front_says_seconds() -> None:
    found = runs(Rule(cron="*/20 * * * * *"), utc("2026-01-01T00:00:05"), 3)
    assert [at.second for at in found] == [20, 40, 0]


@settings(max_examples=300, deadline=None)
@given(
    every=st.integers(1, 10_000_000),
    offset=st.integers(0, 100_000_000),
    start=st.none() | instants,
    after=instants,
)
def test_a_cadence_stays_on_its_grid_for_ever(
    every: int, offset: int, start: datetime | None, after: datetime
) -> None:
    rule = Rule(every=every / 1000, offset=offset / 1000, start=start)
    found = runs(rule, after, 3)
    origin = start or datetime(1970, 1, 1, tzinfo=UTC)
    step = timedelta(milliseconds=every)
    for at in found:
        assert (at - origin - timedelta(milliseconds=offset)) % step == timedelta(0)
        assert start is None or at >= start
    assert found[0] > after
    assert found[0] - max(after, origin) <= step
    assert [b - a for a, b in itertools.pairwise(found)] == [step, step]


def test_a_cadence_begins_at_its_start() -> None:
    start = utc("2030-01-01T09:07:00")
    found = runs(Rule(every=60, start=start), utc("2026-01-01T00:00:00"), 2)
    assert found == [start, start + timedelta(seconds=60)]


def test_the_end_is_the_last_instant() -> None:
    end = utc("2026-01-01T00:02:00")
    found = runs(Rule(every=60, end=end), utc("2026-01-01T00:00:00"), 9)
    assert found == [utc("2026-01-01T00:01:00"), end]


def test_a_limit_counts_occurrences() -> None:
    assert len(runs(Rule(every=60, limit=3), utc("2026-01-01T00:00:00"), 9)) == 3


def test_the_end_of_the_calendar_is_an_end() -> None:
    late = utc("9998-12-31T23:59:59")
    assert following(Rule(every=3600.0 * 24 * 365 * 99), late, 0) is None
    assert following(Rule(cron="0 0 1 1 *"), late, 0) is None


@pytest.mark.parametrize(
    ("rule", "complaint"),
    [
        (Rule(), "either cron= or every="),
        (Rule(cron="* * * * *", every=1), "either cron= or every="),
        (Rule(cron="* * * *"), "cron="),
        (Rule(cron="61 * * * *"), "cron="),
        (Rule(cron="0 0 30 2 *"), "cron="),
        (Rule(cron=5), "cron="),  # type: ignore[arg-type]
        (Rule(cron="* * * * *", tz="Mars/Olympus"), "tz="),
        (Rule(every=60, tz="Europe/Berlin"), "tz="),
        (Rule(cron="* * * * *", offset=5), "offset="),
        (Rule(every=0), "every="),
        (Rule(every=0.0001), "every="),
        (Rule(every=float("nan")), "every="),
        (Rule(every=float("inf")), "every="),
        (Rule(every=1, limit=0), "limit="),
        (Rule(every=1, offset=-1), "offset="),
        (Rule(every=1, start=datetime(2026, 1, 1)), "start="),  # noqa: DTZ001
        (Rule(every=1, missed="some"), "missed="),  # type: ignore[arg-type]
        (
            Rule(
                every=1,
                start=datetime(2026, 1, 2, tzinfo=UTC),
                end=datetime.min.replace(tzinfo=UTC),
            ),
            "end=",
        ),
    ],
)
def test_a_rule_that_cannot_fire_is_refused(rule: Rule, complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        check_rule(rule)


@given(
    start=st.none() | instants,
    immediately=st.booleans(),
    limit=st.none() | st.integers(1),
)
def test_a_rule_is_read_back_as_it_was_written(
    start: datetime | None, immediately: bool, limit: int | None
) -> None:
    rule = Rule(
        every=1.5, start=start, immediately=immediately, limit=limit, missed="all"
    )
    assert parse_rule(encode_rule(rule)) == rule


def test_immediately_means_the_moment_a_cadence_is_new() -> None:
    now = utc("2026-01-01T00:00:30")
    rule = Rule(every=60, immediately=True)
    assert first_run(rule, None, now, None, 0) == now
    assert first_run(rule, rule, now, now, 1) == utc("2026-01-01T00:01:00")
    assert first_run(rule, Rule(every=30), now, None, 7) == now


def test_the_latest_occurrence_gets_no_second_job_from_a_new_cadence() -> None:
    now, promoted = utc("2026-01-01T00:00:30"), utc("2026-01-01T00:01:00")
    at = first_run(Rule(every=30), Rule(every=60), now, promoted, 1)
    assert at == utc("2026-01-01T00:01:30")
