"""`pgqueue job change`, and that no option of the queue is missing on the command line."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING

import click
import pytest

from claims import HandWorker
from pgqueue import Queue
from pgqueue.cli.app import root

if TYPE_CHECKING:
    from cli.conftest import Cli

METHODS = {
    "add": "job add",
    "retry_all": "job retry",
    "upsert_schedule": "schedule set",
    "change_priority": "job change",
    "change_delay": "job change",
    "update_data": "job change",
    "set_concurrency": "queue limit",
    "set_rate_limit": "queue limit",
    "pause": "queue pause",
    "groups": "queue groups",
}
OTHER_WORDS = {"set_rate_limit": {"max", "per"}}


@pytest.mark.parametrize("method", METHODS)
def test_a_command_takes_every_option_of_its_method(method: str) -> None:
    found: click.Command = root
    for name in METHODS[method].split():
        assert isinstance(found, click.Group)
        known = found.get_command(click.Context(found), name)
        assert known is not None
        found = known
    parameters = inspect.signature(getattr(Queue, method)).parameters
    named = {one.name for one in parameters.values() if one.kind is not one.VAR_KEYWORD}
    named -= {"self", "connection", *OTHER_WORDS.get(method, ())}
    assert named <= {one.name for one in found.params}


def test_priority_delay_and_data_are_changed(cli: Cli, queue: Queue) -> None:
    first, second = queue.add("x", delay=3600), queue.add("x")
    third = queue.add("x")
    changed = "job 2 in queue paint is changed\n"
    assert cli("job", "change", "paint", "2", "--priority", "5").out == changed
    more = cli("job", "change", "paint", "3", "--priority", "5", "--lifo", "--json")
    assert (more.json["id"], more.json["priority"]) == (third.id, 5)
    assert [job.id for job in queue.jobs("prioritized")] == [third.id, second.id]
    cli("job", "change", "paint", "1", "--delay", "2h")
    run_at = queue.get(first.id).run_at
    assert run_at
    assert first.run_at
    assert 3500 < (run_at - first.run_at).total_seconds() < 3700
    cli("job", "change", "paint", "1", "--data", "-", stdin='{"a": 1}')
    assert queue.get(first.id).data == {"a": 1}
    cli("job", "change", "paint", "1", "--data", "null")
    assert queue.get(first.id).data is None


def test_what_cannot_be_changed_is_said_in_one_sentence(cli: Cli, queue: Queue) -> None:
    queue.add("x")
    call = ("job", "change", "paint", "1")
    assert "give one of --priority" in cli(*call).complaint
    both = cli(*call, "--priority", "1", "--delay", "5s").complaint
    assert "give one of --priority" in both
    assert "--priority" in cli(*call, "--data", "1", "--lifo").complaint
    assert "delayed" in cli(*call, "--delay", "5s").complaint
    assert "no job 9" in cli("job", "change", "paint", "9", "--data", "1").complaint


def test_a_child_is_added_to_a_job_that_is_there(
    cli: Cli, queue: Queue, dsn: str
) -> None:
    parent = queue.add("report", delay=3600)
    child = ("job", "add", "pages", "page", "--parent", "paint", str(parent.id))
    added = cli(*child, "--on-child-failure", "ignore", "--json").json
    assert added["parent_id"] == parent.id
    worker = HandWorker(dsn, "pages")
    worker.fail(worker.claim())
    worker.close()
    assert queue.get(parent.id).state == "delayed"
    assert "no job 99" in cli(*child[:-1], "99").complaint


def test_completed_jobs_are_put_back_too(cli: Cli, queue: Queue, dsn: str) -> None:
    for _ in range(2):
        queue.add("x")
    worker = HandWorker(dsn)
    worker.finish(worker.claim(2))
    worker.close()
    every = ("job", "retry", "paint", "--all", "--json")
    assert cli(*every).json == {"retried": 0}
    assert cli(*every, "--state", "completed").json == {"retried": 2}
    one = cli("job", "retry", "paint", "1", "--state", "completed")
    assert "--all" in one.complaint
    assert queue.counts().waiting == 2
