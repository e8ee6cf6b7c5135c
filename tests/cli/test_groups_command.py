"""`pgqueue queue groups`, and `--group` beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cli.conftest import Cli
    from pgqueue import Queue


def test_groups_are_listed_limited_and_paused(cli: Cli, queue: Queue) -> None:
    queue.add("n", group="a")
    queue.add("n", group="b")
    listed = cli("queue", "groups", "paint").out
    assert (
        listed == "a: waiting, 1 waiting, 0 active\nb: waiting, 1 waiting, 0 active\n"
    )
    given = ("--group", "a", "--concurrency", "3", "--rate", "100/1m")
    assert cli("queue", "limit", "paint", *given).out == (
        "a: waiting, 1 waiting, 0 active, at most 3 at once,"
        " at most 100 starts in 60 s\n"
    )
    cli("queue", "limit", "paint", "--all-groups", "--concurrency", "2")
    assert [one.concurrency for one in queue.groups()] == [3, 2]
    said = cli("queue", "pause", "paint", "--group", "b").out
    assert said == "group b of queue paint is paused; running jobs go on\n"
    [found] = cli("queue", "groups", "paint", "--state", "paused", "--json").json
    assert (found["name"], found["paused"], found["waiting"]) == ("b", True, 1)
    assert not queue.is_paused()
    cli("queue", "resume", "paint", "--group", "b")
    assert queue.group("b").state == "waiting"
    none = ("--group", "a", "--concurrency", "none", "--rate", "none", "--json")
    assert cli("queue", "limit", "paint", *none).json["concurrency"] == 2


def test_a_hold_is_for_the_whole_queue(cli: Cli, queue: Queue) -> None:
    queue.add("n", group="a")
    refused = cli("queue", "limit", "paint", "--group", "a", "--hold", "1m")
    assert refused.code == 2
    assert "exclude each other" in refused.err
