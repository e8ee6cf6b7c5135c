"""`pgqueue queue retention`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pgqueue import KeepJobs

if TYPE_CHECKING:
    from cli.conftest import Cli
    from pgqueue import Queue


def test_what_a_queue_keeps_is_shown_and_changed(cli: Cli, queue: Queue) -> None:
    queue.add("a")
    assert cli("queue", "retention", "paint").out == (
        "queue paint: completed jobs for 604800 s; failed jobs for 2.592e+06 s; "
        "events for 86400 s, the newest 1000000\n"
    )
    rules = ("--completed", "age=1d,count=10", "--failed", "none", "--events", "age=1h")
    assert cli("queue", "retention", "paint", *rules, "--json").json == {
        "completed": {"age": 86400.0, "count": 10},
        "failed": {"age": None, "count": None},
        "events": {"age": 3600.0, "count": 1_000_000},
    }
    assert queue.retention().completed == KeepJobs(age=86400.0, count=10)


def test_a_rule_that_is_none_is_refused_in_one_sentence(cli: Cli, queue: Queue) -> None:
    queue.add("a")
    for value in ("7d", "age=x", "count=-1", "size=3"):
        told = cli("queue", "retention", "paint", "--completed", value)
        assert "--completed" in told.complaint
