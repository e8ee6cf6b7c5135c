"""Every mistake is one sentence on stderr and exit code 2."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from cli.calling import COMMAND, call, environment
from pgqueue.cli import main

if TYPE_CHECKING:
    from cli.conftest import Cli
    from pgqueue import Queue


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nope"], "no command 'nope'; there are: demo, worker"),
        (["queue", "nope"], "there are: limit, retention, groups, ls, show"),
        (["queue", "ls", "--nope"], "--nope"),
        (["job", "add", "paint"], "NAME"),
        (["job", "add", "paint", "x", "{bad"], "not JSON"),
        (["job", "add", "paint", "x", "[" * 100_000], "nested too deeply"),
        (["job", "add", "paint", "x", "NaN"], "not JSON"),
        (["job", "add", "paint", "x", "--delay", "1x"], "--delay takes a duration"),
        (["job", "add", "paint", "x", "--priority", "-1"], "from 0 to 2097151"),
        (["job", "add", "paint", "x", "--backoff=-3"], "--backoff takes a duration"),
        (["job", "add", "paint", "x", "--run-at", "2090-01-01"], "has no zone"),
        (["job", "add", "paint", "x", "--key", ""], "key takes text"),
        (["job", "add", "", "x"], "queue name"),
        (["job", "add", "q" * 256, "x"], "queue name"),
        (["job", "add", "paint", "x", '"\\u0000"'], "has a NUL character"),
        (["job", "add", "paint", "x", '"\\ud800"'], "has a lone surrogate"),
        (["job", "rm", "paint", "0", "--yes"], "job_id takes a whole number"),
        (["job", "retry", "paint", "1", "--all"], "ids of jobs, or --all"),
        (["queue", "clean", "paint", "--yes", "--limit=-1"], "limit takes a whole"),
        (["queue", "clean", "paint", "--yes", "--grace=-5"], "--grace takes a dur"),
        (["queue", "clean", "paint", "--yes", "--state", "x"], "'x' is not one of"),
        (["queue", "obliterate", "paint", "--yes", "--dsn", ""], "--dsn is empty"),
        (["--dsn", " ", "queue", "drain", "paint", "--yes"], "--dsn is empty"),
        (["worker", "json:dumps", "-q", "paint", "-c", "0"], "concurrency takes"),
        (["job", "show", "paint", "one"], "not a valid integer"),
        (["job", "ls", "paint", "--state", "lost"], "'lost' is not one of"),
        (["migrate", "--check", "--sql"], "exclude each other"),
    ],
)
def test_a_mistake_is_one_sentence(
    cli: Cli, queue: Queue, arguments: list[str], words: str
) -> None:
    queue.add("x")
    assert words in cli(*arguments).complaint
    assert queue.counts().total == 1, "nothing was added or removed"


def test_a_cursor_of_another_listing_is_refused(cli: Cli, queue: Queue) -> None:
    queue.add("x")
    assert "after=" in cli("job", "ls", "paint", "--after", "x/y").complaint


@pytest.mark.parametrize(
    ("dsn", "words"),
    [
        ("postgresql://127.0.0.1:1/x?connect_timeout=2", "cannot connect"),
        ("what://is this", "DSN cannot be read"),
    ],
)
@pytest.mark.parametrize(
    "command", [["queue", "ls"], ["job", "add", "a", "b"], ["migrate"], ["demo"]]
)
def test_a_wrong_dsn_is_one_sentence(
    cli: Cli, command: list[str], dsn: str, words: str
) -> None:
    assert words in cli(*command, "--dsn", dsn).complaint
    assert words in cli("--dsn", dsn, *command).complaint


@pytest.mark.parametrize(
    "command",
    [["queue", "ls"], ["job", "add", "a", "b"], ["migrate", "--check"], ["demo"]],
)
def test_without_the_schema_it_says_what_to_run(
    cli: Cli, fresh_database: str, command: list[str]
) -> None:
    result = cli("--dsn", fresh_database, *command)
    assert result.complaint.endswith("run: pgqueue migrate")


def test_an_unexpected_error_is_a_sentence_too(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError("on purpose")

    monkeypatch.setattr("pgqueue.cli.queue.list_queues", fail)
    result = cli("queue", "ls")
    assert result.code == 1
    assert result.err == (
        "pgqueue: unexpected ZeroDivisionError: on purpose; "
        "PGQUEUE_DEBUG=1 shows where\n"
    )
    monkeypatch.setenv("PGQUEUE_DEBUG", "1")
    assert "Traceback" in cli("queue", "ls").err


def test_ctrl_c_ends_quietly(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("pgqueue.cli.queue.list_queues", interrupt)
    result = cli("queue", "ls")
    # The newline ends the line on which the terminal has shown ^C.
    assert (result.code, result.out, result.err) == (130, "", "\n")


def test_without_the_extra_it_names_the_extra(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delitem(sys.modules, "pgqueue.cli.app", raising=False)
    monkeypatch.setitem(sys.modules, "click", None)
    assert main(["queue", "ls"]) == 2
    assert 'pip install "pgqueue-jobs[cli]"' in capsys.readouterr().err


def test_a_closed_pipe_is_quiet(dsn: str, queue: Queue) -> None:
    for _ in range(50):
        queue.add("x", {"text": "y" * 4000})
    process = subprocess.Popen(
        [*COMMAND, "job", "ls", "paint", "--limit", "50", "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(dsn),
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.readline()
    process.stdout.close()
    assert process.stderr.read() == ""
    process.stderr.close()
    assert process.wait(30) == 1


def test_help_and_version() -> None:
    assert call("--version").out.startswith("pgqueue, version ")
    shown = call("--help")
    assert shown.code == 0
    for name in ("demo", "worker", "migrate", "queue", "job"):
        assert f"\n  {name} " in shown.out
    assert call().code == 2


def test_a_dsn_of_another_database_says_where_it_comes_from(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PGQUEUE_DSN")
    monkeypatch.setenv("DATABASE_URL", "sqlite:///db.sqlite3")
    said = cli("queue", "ls").complaint
    assert "the DSN in DATABASE_URL cannot be read" in said
    assert "sqlite:// is the address of something else" in said
    monkeypatch.setenv("DATABASE_URL", "just words")
    said = cli("queue", "ls").complaint
    assert "it is neither a URL nor pairs of name=value" in said
    assert "…)" not in said
