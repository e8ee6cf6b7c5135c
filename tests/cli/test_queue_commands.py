"""`pgqueue queue …`."""

from __future__ import annotations

import os
import pty
import subprocess
from typing import TYPE_CHECKING

import pytest

from cli.calling import COMMAND, environment

if TYPE_CHECKING:
    from cli.conftest import Cli
    from conftest import Sql
    from pgqueue import Queue

EMPTY = {
    "name": "paint",
    "paused": False,
    "waiting": 0,
    "prioritized": 0,
    "delayed": 0,
    "active": 0,
    "waiting_children": 0,
    "completed": 0,
    "failed": 0,
}


def make_active(sql: Sql, job_id: int) -> None:
    """Put a waiting job under the lease of a worker that is alive."""
    sql.run(
        "INSERT INTO pgqueue.worker (id, lease, pid, concurrency, host, name, queues)"
        " VALUES (7, 30, 1, 1, 'h', 'n', '{paint}')"
    )
    sql.run("DELETE FROM pgqueue.ready WHERE job_id = %s", [job_id])


def test_ls_without_any_queue_is_an_empty_list(cli: Cli) -> None:
    assert cli("queue", "ls", "--json").json == []
    assert "no queues yet" in cli("queue", "ls").out


def test_ls_counts_the_jobs_of_every_queue(cli: Cli, queue: Queue) -> None:
    queue.add("a")
    queue.add("b", priority=1)
    queue.add("c", delay=60)
    cli("job", "add", "other", "x")
    other, paint = cli("queue", "ls", "--json").json
    assert other["name"] == "other"
    assert paint == {**EMPTY, "waiting": 1, "prioritized": 1, "delayed": 1}


def test_ls_prints_a_table_without_control_codes(cli: Cli, queue: Queue) -> None:
    queue.add("a")
    header, line = cli("queue", "ls").out.splitlines()
    assert header.split() == [
        "queue",
        "waiting",
        "prioritized",
        "delayed",
        "active",
        "completed",
        "failed",
    ]
    assert line.split() == ["paint", "1", "0", "0", "0", "0", "0"]


def test_a_long_name_is_not_cut_off_in_a_pipe(cli: Cli) -> None:
    name = "q" * 200
    cli("job", "add", name, "x")
    assert name in cli("queue", "ls").out


def test_show_is_one_object(cli: Cli, queue: Queue) -> None:
    queue.add("a")
    told = cli("queue", "show", "paint", "--json").json
    assert told.pop("workers") == []
    assert told.pop("last_hour")["completed"] == 0
    assert told == {**EMPTY, "waiting": 1}
    assert "paint" in cli("queue", "show", "paint").out


@pytest.mark.parametrize(
    "command", ["show", "pause", "resume", "drain", "clean", "obliterate"]
)
def test_a_queue_that_does_not_exist_is_a_mistake(
    cli: Cli, command: str, sql: Sql
) -> None:
    result = cli("queue", command, "piant")
    assert result.complaint == "there is no queue 'piant'; see: pgqueue queue ls"
    assert sql.value("SELECT count(*) FROM pgqueue.queue") == 0


def test_pause_and_resume(cli: Cli, queue: Queue) -> None:
    queue.add("a")
    assert cli("queue", "pause", "paint").code == 0
    assert queue.is_paused()
    assert cli("queue", "show", "paint", "--json").json["paused"]
    assert "paused" in cli("queue", "ls").out
    assert cli("queue", "resume", "paint").code == 0
    assert not queue.is_paused()


def test_drain_removes_what_waits(cli: Cli, queue: Queue) -> None:
    queue.add("a")
    queue.add("b", delay=60)
    assert (
        cli("queue", "drain", "paint", "--keep-delayed", "--yes").out
        == "removed 1 job\n"
    )
    assert queue.count() == 1
    assert cli("queue", "drain", "paint", "--yes", "--json").json == {"removed": 1}


def test_clean_takes_grace_limit_and_state(cli: Cli, queue: Queue) -> None:
    ids = [queue.add("a").id for _ in range(3)]
    clean = ("queue", "clean", "paint", "--state", "waiting", "--yes", "--json")
    assert cli(*clean, "--grace", "1h").json == []
    assert cli(*clean, "--limit", "2").json == ids[:2]
    assert queue.count() == 1


def test_obliterate_empties_the_queue(cli: Cli, queue: Queue) -> None:
    queue.add("a")
    assert "1 job removed" in cli("queue", "obliterate", "paint", "--yes").out
    assert queue.counts().total == 0


@pytest.mark.parametrize("command", ["drain", "clean", "obliterate"])
def test_nothing_is_removed_unasked_without_a_terminal(
    cli: Cli, queue: Queue, command: str
) -> None:
    queue.add("a")
    result = cli("queue", command, "paint", stdin="y\n")
    assert "--yes" in result.complaint
    assert queue.count() == 1


@pytest.mark.parametrize(("answer", "code", "left"), [("y", 0, 0), ("", 1, 1)])
def test_on_a_terminal_it_asks(
    dsn: str, queue: Queue, answer: str, code: int, left: int
) -> None:
    queue.add("a")
    ours, theirs = pty.openpty()
    os.write(ours, f"{answer}\n".encode())
    done = subprocess.run(
        [*COMMAND, "queue", "drain", "paint"],
        check=False,
        stdin=theirs,
        capture_output=True,
        text=True,
        env=environment(dsn),
    )
    os.close(ours)
    os.close(theirs)
    assert done.returncode == code
    assert "Remove 1 waiting and 0 delayed jobs of queue paint?" in done.stderr
    assert queue.count() == left
