"""Where a schedule goes on after an occurrence, however late or early it began."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from hypothesis import given, settings
from hypothesis import strategies as st

from pgqueue.cron import CATCH_UP, Rule
from pgqueue.ops.schedules import Standing, step

if TYPE_CHECKING:
    from pgqueue.cron import Missed

NOON = datetime(2026, 10, 25, 12, tzinfo=UTC)

rules = st.one_of(
    st.builds(Rule, every=st.integers(1, 10_000).map(lambda ms: ms / 1000)),
    st.builds(
        Rule,
        cron=st.sampled_from(["* * * * *", "*/5 * * * * *", "30 2 * * *"]),
        tz=st.sampled_from([None, "Europe/Berlin", "Australia/Lord_Howe"]),
    ),
)
lateness = st.integers(-10_000_000, 10_000_000).map(
    lambda ms: timedelta(seconds=ms / 1000)
)


def standing(late: timedelta, *, behind: int = 0, began: bool = True) -> Standing:
    """A schedule whose occurrence at noon is looked at so much later."""
    return Standing(1, "a", 7, NOON, 4, behind, "", began, NOON + late)


@settings(deadline=None)
@given(rule=rules, late=lateness)
def test_skipping_goes_on_in_the_future_and_never_back(
    rule: Rule, late: timedelta
) -> None:
    one = standing(late)
    to = step(rule, one)
    assert to.next_at is not None
    assert to.next_at > max(one.now, one.next_at)
    assert (to.iteration, to.behind) == (5, 0)


@settings(deadline=None)
@given(rule=rules, late=lateness, behind=st.integers(0, CATCH_UP))
def test_catching_up_takes_the_very_next_one_up_to_a_number(
    rule: Rule, late: timedelta, behind: int
) -> None:
    rule = replace(rule, missed="all")
    one = standing(late, behind=behind)
    to = step(rule, one)
    assert to.next_at is not None
    assert to.next_at > one.next_at
    if behind == CATCH_UP:
        assert to.next_at > one.now
    if to.next_at <= one.now:
        assert to.behind == behind + 1
    else:
        assert to.behind == 0


@settings(deadline=None, max_examples=30)
@given(days=st.integers(1, 30))
def test_catching_up_ends(days: int) -> None:
    rule, one = Rule(every=60, missed="all"), standing(timedelta(days=days))
    made = 0
    while (to := step(rule, one)).next_at is not None and to.next_at <= one.now:
        one = one._replace(next_at=to.next_at, behind=to.behind, iteration=to.iteration)
        made += 1
    assert made == min(CATCH_UP, days * 24 * 60)


def test_an_occurrence_that_was_removed_is_not_counted() -> None:
    missed: list[Missed] = ["skip", "all"]
    for each in missed:
        rule = Rule(every=60, limit=5, missed=each)
        gone = step(rule, standing(timedelta(0), began=False))
        assert (gone.iteration, gone.next_at) == (4, NOON + timedelta(minutes=1))
        assert step(rule, standing(timedelta(0))).next_at is None
