"""`pgqueue schedule …`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pgqueue import KeepJobs

if TYPE_CHECKING:
    from cli.conftest import Cli
    from conftest import Sql
    from pgqueue import Queue


def test_a_schedule_is_made_shown_and_listed(cli: Cli, queue: Queue) -> None:
    done = cli(
        *("schedule", "set", "paint", "nightly", '{"n": 1}', "--cron", "30 2 * * *"),
        *("--tz", "Europe/Berlin", "--attempts", "3", "--name", "report"),
    )
    assert done.code == 0
    assert "schedule nightly in queue paint fires next" in done.out
    made = queue.get_schedule("nightly")
    assert (made.rule.cron, made.name, made.data) == ("30 2 * * *", "report", {"n": 1})
    shown = cli("schedule", "show", "paint", "nightly")
    assert "30 2 * * * (Europe/Berlin)" in shown.out
    listed = cli("schedule", "ls", "paint").out
    assert "nightly" in listed
    assert "report" in listed


def test_json_says_everything(cli: Cli) -> None:
    made = cli("schedule", "set", "paint", "a", "--every", "1h", "--json").json
    assert made["every"] == 3600
    assert made["next_runs"][0] == made["next_at"]
    assert cli("schedule", "ls", "paint", "--json").json == [made]
    shown = cli("schedule", "show", "paint", "a", "--json", "--next", "2").json
    assert len(shown["next_runs"]) == 2


def test_every_option_of_a_rule_is_taken(cli: Cli) -> None:
    made = cli(
        *("schedule", "set", "paint", "a", "--every", "1h", "--offset", "5m"),
        *("--start", "2090-01-01T00:00:00Z", "--end", "2091-01-01T00:00:00Z"),
        *("--limit", "9", "--missed", "all", "--immediately", "--json"),
    ).json
    assert (made["offset"], made["limit"], made["missed"]) == (300, 9, "all")
    assert made["next_at"] == "2090-01-01T00:05:00+00:00"


def test_its_jobs_have_the_options_of_its_template(cli: Cli, queue: Queue) -> None:
    given = "--every 1h --group g --tag x --backoff mine --remove-on-complete count=5"
    cli("schedule", "set", "paint", "a", *given.split(), "--remove-on-fail", "age=1d")
    [job] = queue.jobs("delayed")
    assert (job.group, job.tags, job.backoff) == ("g", ("x",), "mine")
    assert job.remove_on_complete == KeepJobs(count=5)
    assert job.remove_on_fail == KeepJobs(age=86400)


def test_its_jobs_have_the_bounds_and_headers_of_its_template(
    cli: Cli, queue: Queue, sql: Sql
) -> None:
    given = "--every 1h --header trace=00-1 --keep-logs 3 --stack-limit 2"
    cli("schedule", "set", "paint", "a", *given.split())
    [job] = queue.jobs("delayed")
    assert job.headers == {"trace": "00-1"}
    stored = sql.one(
        "SELECT options ->> 'keep_logs' AS lines, options ->> 'stack_limit' AS stacks"
        " FROM pgqueue.job"
    )
    assert tuple(stored) == ("3", "2")
    large = ("schedule", "set", "paint", "b", '"four"', "--every", "1h")
    assert "over the limit of 5" in cli(*large, "--size-limit", "5").complaint


def test_a_schedule_is_paused_resumed_and_removed(cli: Cli, queue: Queue) -> None:
    queue.upsert_schedule("a", every=60)
    assert cli("schedule", "pause", "paint", "a").out.endswith("is paused\n")
    assert "paused" in cli("schedule", "ls", "paint").out
    assert cli("schedule", "resume", "paint", "a", "--json").json["paused"] is False
    assert cli("schedule", "rm", "paint", "a", "--yes").out == "schedule a is removed\n"
    assert cli("schedule", "ls", "paint").out == "no schedules\n"
    assert cli("schedule", "ls", "paint", "--json").json == []


def test_a_listing_goes_on_where_it_ended(cli: Cli, queue: Queue) -> None:
    for key in "abc":
        queue.upsert_schedule(key, every=60)
    first = cli("schedule", "ls", "paint", "--limit", "2", "--json")
    cursor = first.err.removeprefix("more: --after ").strip()
    second = cli("schedule", "ls", "paint", "--after", cursor, "--json")
    assert [one["key"] for one in first.json + second.json] == ["a", "b", "c"]


@pytest.mark.parametrize("verb", ["show", "pause", "resume"])
def test_an_unknown_schedule_is_said_so(cli: Cli, queue: Queue, verb: str) -> None:
    queue.count()
    assert cli("schedule", verb, "paint", "b").complaint == (
        "queue 'paint' has no schedule 'b'"
    )


def test_a_mistake_is_one_sentence(cli: Cli) -> None:
    assert "cron=" in cli("schedule", "set", "paint", "a", "--cron", "x").complaint
    assert "--cron or --every" in cli("schedule", "set", "paint", "a").complaint
    assert "--yes" in cli("schedule", "rm", "paint", "a").complaint


def test_set_speaks_of_its_own_options(cli: Cli) -> None:
    for given, words in (
        ((), "give either --cron or --every"),
        (("--cron", "0 9 * * *", "--every", "1h"), "give either --cron or --every"),
        (("--every", "1h", "--tz", "Europe/Berlin"), "--tz is the zone of --cron"),
        (("--cron", "0 9 * * *", "--offset", "5s"), "--offset shifts the grid"),
    ):
        told = cli("schedule", "set", "paint", "daily", *given).complaint
        assert words in told
        assert "cron=" not in told
