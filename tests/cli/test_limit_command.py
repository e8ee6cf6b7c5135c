"""`pgqueue queue limit`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pgqueue import Limits

if TYPE_CHECKING:
    from cli.conftest import Cli
    from pgqueue import Queue


def test_limits_are_shown_and_changed(cli: Cli, queue: Queue) -> None:
    queue.add("a")
    assert cli("queue", "limit", "paint").out == "queue paint: no limits\n"
    changed = cli("queue", "limit", "paint", "--concurrency", "3", "--rate", "100/1m")
    assert changed.out == (
        "queue paint: at most 3 at once, at most 100 starts in 60 s\n"
    )
    assert queue.limits() == Limits(concurrency=3, max=100, per=60.0)
    none = ("--concurrency", "none", "--rate", "none", "--json")
    assert cli("queue", "limit", "paint", *none).json == {
        "concurrency": None,
        "max": None,
        "per": None,
        "limited_until": None,
    }


def test_a_queue_is_held_for_a_while(cli: Cli, queue: Queue) -> None:
    queue.add("a")
    held = cli("queue", "limit", "paint", "--hold", "1h").out
    until = queue.limits().limited_until
    assert until is not None
    assert held.endswith(f"starts before {until.astimezone():%Y-%m-%d %H:%M:%S}\n")
    assert "no limits" in cli("queue", "limit", "paint", "--hold", "0s").out


def test_a_limit_that_is_none_is_refused_in_one_sentence(
    cli: Cli, queue: Queue
) -> None:
    queue.add("a")
    for option, value in (
        ("--rate", "100"),
        ("--rate", "0/1s"),
        ("--concurrency", "x"),
    ):
        assert option in cli("queue", "limit", "paint", option, value).complaint
