"""Mistakes that are told at once, in words that say what to write."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from pgqueue import ConfigError, Queue, RateLimited, RetryLater, Worker, current_job
from pgqueue.cron import Rule, check_rule

tasks = Queue("work", dsn="host=nowhere")


@tasks.job()
def charge(order: int) -> int:
    return order


def handle(job: Any) -> None: ...


def pair(first: Any, second: Any) -> None: ...


@pytest.mark.parametrize("signal", [RetryLater, RateLimited])
@pytest.mark.parametrize("delay", ["5s", "5", None, [], -1, float("nan"), b"5"])
def test_a_signal_takes_seconds_only(signal: Any, delay: Any) -> None:
    with pytest.raises(ConfigError, match="delay takes a timedelta or seconds"):
        signal(delay)
    assert signal(Decimal("1.5")).delay == 1.5


def test_the_current_job_outside_of_one_is_a_sentence() -> None:
    with pytest.raises(LookupError, match="the function was called, not run by"):
        current_job()


def test_a_task_as_a_handler_says_how_to_register_it() -> None:
    with pytest.raises(ConfigError, match=r"worker\.register\(charge\)"):
        Worker("work", charge)
    with pytest.raises(ConfigError, match=r"charge\.handle"):
        Worker("work").handler("charge")(charge)
    Worker("work", charge.handle)


def test_a_handler_in_the_place_of_the_queues_is_told() -> None:
    swapped: Any = (handle, "work")
    with pytest.raises(ConfigError, match="the handler comes after them"):
        Worker(*swapped)


@pytest.mark.parametrize(
    ("handler", "words"),
    [
        (
            lambda: None,
            r"takes a function of one argument, the job; this one takes \(\)",
        ),
        (pair, r"this one takes \(first: 'Any', second: 'Any'\)"),
    ],
)
def test_a_handler_of_other_arguments_is_shown_what_it_takes(
    handler: Any, words: str
) -> None:
    with pytest.raises(ConfigError, match=words):
        Worker("work", handler)


def test_a_handler_for_child_processes_is_told_where_to_be() -> None:
    with pytest.raises(ConfigError, match="a function at the top of a module"):
        Worker("work", lambda _job: None, isolation="process")


@pytest.mark.parametrize("cron", ["@daily", "every minute", "0 8 * *"])
def test_a_cron_pattern_is_shown_by_an_example(cron: str) -> None:
    with pytest.raises(ConfigError, match=r"of five fields, as '0 8 [*] [*] 1-5'"):
        check_rule(Rule(cron=cron))


def test_a_zone_is_shown_by_an_example() -> None:
    with pytest.raises(ConfigError, match="as 'Europe/Berlin'"):
        check_rule(Rule(cron="0 8 * * *", tz="Berlin"))
