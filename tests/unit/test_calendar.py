"""A rule whose calendar is ahead of the clock, because a test let time pass."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgqueue.cron import Rule, following
from pgqueue.schedule import encode_rule, parse_rule

RULES = (
    Rule(every=3600.0),
    Rule(every=0.25, offset=0.1),
    Rule(cron="30 2 * * *", tz="Europe/Berlin"),
    Rule(cron="0 9 * * MON", tz="America/New_York"),
    Rule(cron="0 0 29 2 *", end=datetime(2040, 1, 1, tzinfo=UTC)),
)
INSTANTS = st.datetimes(
    datetime(2024, 1, 1),  # noqa: DTZ001  (the zone is given beside it)
    datetime(2035, 1, 1),  # noqa: DTZ001
    timezones=st.just(UTC),
)
PASSED = st.timedeltas(timedelta(microseconds=1), timedelta(days=2000))


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: str(rule.cron or rule.every))
@given(now=INSTANTS, passed=PASSED)
def test_it_fires_as_if_the_clock_had_moved(
    rule: Rule, now: datetime, passed: timedelta
) -> None:
    moved = replace(rule, travelled=passed.total_seconds())
    expected = following(rule, now + passed, 0)
    found = following(moved, now, 0)
    assert found == (None if expected is None else expected - passed)
    if found is not None:
        again = following(moved, found, 1)
        assert again is None or again > found


def test_it_is_stored_with_the_rule() -> None:
    rule = Rule(every=60.0, travelled=90.5)
    assert parse_rule(encode_rule(rule)) == rule
    assert "travelled" not in encode_rule(Rule(every=60.0))
