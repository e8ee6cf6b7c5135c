"""Every command that does or tells something says it as one JSON document too."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from pgqueue.cli.app import root
from pgqueue.schema import HEAD

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cli.conftest import Cli
    from pgqueue import Queue

# They run until somebody stops them; what they say is for the person who watches.
WATCHED = {"demo", "worker"}


def leaves(
    group: click.Group = root, path: tuple[str, ...] = ()
) -> Iterator[tuple[str, click.Command]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        found = group.get_command(context, name)
        assert found is not None
        if isinstance(found, click.Group):
            yield from leaves(found, (*path, name))
        else:
            yield " ".join((*path, name)), found


def test_every_command_takes_json() -> None:
    without = {
        name
        for name, command in leaves()
        if not any("--json" in option.opts for option in command.params)
    }
    assert without == WATCHED


def test_every_command_that_removes_takes_yes() -> None:
    asking = {
        name
        for name, command in leaves()
        if any("--yes" in option.opts for option in command.params)
    }
    assert asking == {
        *("queue drain", "queue clean", "queue obliterate"),
        *("job rm", "schedule rm"),
    }


def test_pausing_and_emptying_a_queue_is_told_as_json(cli: Cli, queue: Queue) -> None:
    queue.add("x")
    paused = {"queue": "paint", "paused": True}
    assert cli("queue", "pause", "paint", "--json").json == paused
    assert cli("queue", "pause", "paint", "--group", "g", "--json").json == {
        **paused,
        "group": "g",
    }
    assert cli("queue", "resume", "paint", "--json").json == {**paused, "paused": False}
    assert cli("queue", "obliterate", "paint", "--yes", "--json").json == {"removed": 1}


def test_what_became_of_jobs_is_told_as_json(cli: Cli, queue: Queue) -> None:
    ids = [str(queue.add("x", delay=3600).id) for _ in range(4)]
    (promoted,) = cli("job", "promote", "paint", ids[0], "--json").json
    assert promoted == json.loads(json.dumps(queue.get(int(ids[0])).to_dict()))
    assert cli("job", "promote", "paint", "--all", "--json").json == {"promoted": 3}
    cancelled = cli("job", "cancel", "paint", *ids[:2], "--json").json
    assert [job["state"] for job in cancelled] == ["failed", "failed"]
    (retried,) = cli("job", "retry", "paint", ids[0], "--json").json
    assert (retried["id"], retried["state"]) == (int(ids[0]), "waiting")
    assert cli("job", "retry", "paint", "--all", "--json").json == {"retried": 1}
    removed = cli("job", "rm", "paint", *ids[:2], "--yes", "--json").json
    assert removed == [int(one) for one in ids[:2]]
    assert queue.count() == 2


def test_removed_schedules_are_told_as_json(cli: Cli, queue: Queue) -> None:
    queue.upsert_schedule("nightly", every=3600)
    removed = cli("schedule", "rm", "paint", "nightly", "--yes", "--json").json
    assert removed == ["nightly"]


def test_a_migration_is_told_as_json(cli: Cli, fresh_database: str) -> None:
    migrate = ("--dsn", fresh_database, "migrate", "--json")
    assert cli(*migrate).json == {"before": None, "revision": HEAD}
    assert cli(*migrate).json == {"before": HEAD, "revision": HEAD}
    assert cli(*migrate, "--check").json == {"before": HEAD, "revision": HEAD}
    assert "exclude each other" in cli(*migrate, "--sql").complaint
