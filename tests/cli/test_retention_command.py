"""`pgqueue queue retention`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pgqueue import KeepJobs
from pgqueue.cli.output import span

if TYPE_CHECKING:
    from cli.conftest import Cli
    from pgqueue import Queue


def test_what_a_queue_keeps_is_shown_and_changed(cli: Cli, queue: Queue) -> None:
    queue.add("a")
    assert cli("queue", "retention", "paint").out == (
        "queue paint: completed jobs for 7 days; failed jobs for 30 days; "
        "events for 1 day, the newest 1000000\n"
    )
    rules = ("--completed", "age=1d,count=10", "--failed", "none", "--events", "age=1h")
    assert cli("queue", "retention", "paint", *rules, "--json").json == {
        "completed": {"age": 86400.0, "count": 10},
        "failed": {"age": None, "count": None},
        "events": {"age": 3600.0, "count": 1_000_000},
    }
    assert queue.retention().completed == KeepJobs(age=86400.0, count=10)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0 seconds"),
        (0.5, "0.5 seconds"),
        (1, "1 second"),
        (5400, "1 hour 30 minutes"),
        (90061.5, "1 day 1 hour 1 minute 1.5 seconds"),
        (31536000, "365 days"),
    ],
)
def test_a_duration_is_told_in_the_words_of_people(seconds: float, words: str) -> None:
    assert span(seconds) == words


def test_a_rule_that_is_none_is_refused_in_one_sentence(cli: Cli, queue: Queue) -> None:
    queue.add("a")
    for value in ("7d", "age=x", "count=-1", "size=3"):
        told = cli("queue", "retention", "paint", "--completed", value)
        assert "--completed" in told.complaint
