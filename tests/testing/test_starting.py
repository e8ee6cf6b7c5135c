"""`pgqueue_from_start`: the test database is there before the application is imported."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pgqueue import Queue

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from conftest import Sql

    Apart = Callable[..., str]

APPLICATION = """
from pgqueue import Queue

mail = Queue("mail")
"""

CONFTEST = """
import application
"""

USING = """
import os
from pathlib import Path
import pytest
from psycopg.conninfo import conninfo_to_dict
from application import mail
from pgqueue.testing import assert_added, assert_nothing_added, run_pending, travel

def note():
    name = conninfo_to_dict(mail._settings.dsn)["dbname"]
    assert mail._settings.dsn == os.environ["PGQUEUE_DSN"]
    with Path(f"seen-{os.getpid()}").open("a") as file:
        file.write(name + "\\n")

@pytest.mark.parametrize("turn", range(4))
def test_what_commits(turn, pgqueue_dsn):
    note()
    mail.add("welcome", delay=60)
    travel(minutes=1, queue=mail)
    assert_added("welcome", queue=mail, count=1)
    [run] = run_pending(lambda job: turn, queue=mail)
    assert run.result == turn

@pytest.mark.parametrize("turn", range(4))
def test_what_is_rolled_back(turn, pgqueue_connection):
    note()
    assert_nothing_added(queue=mail)
    mail.add("welcome", connection=pgqueue_connection)
    assert_added("welcome", queue=mail, count=1, connection=pgqueue_connection)
    assert pgqueue_connection.info.dbname == conninfo_to_dict(mail._settings.dsn)["dbname"]

def test_without_a_fixture():
    note()
    mail.add("welcome")
"""


@pytest.fixture
def application(tmp_path: Path) -> None:
    """Make a queue in a module that the initial conftest imports."""
    (tmp_path / "application.py").write_text(APPLICATION, "utf-8")
    (tmp_path / "conftest.py").write_text(CONFTEST, "utf-8")


def ini(folder: Path, *lines: str) -> None:
    text = "\n".join(["[pytest]", "pythonpath = .", *lines])
    (folder / "pytest.ini").write_text(text, "utf-8")


def seen(folder: Path) -> list[set[str]]:
    """Return the databases that each process had."""
    return [set(file.read_text("utf-8").split()) for file in folder.glob("seen-*")]


def left(sql: Sql, names: set[str]) -> int:
    query = "SELECT count(*) FROM pg_database WHERE datname = ANY (%s)"
    return int(sql.value(query, [list(names)]))


@pytest.mark.parametrize("way", ["ini", "flag"])
@pytest.mark.usefixtures("application")
def test_queues_of_modules_are_in_the_test_database(
    apart: Apart, tmp_path: Path, dsn: str, sql: Sql, way: str
) -> None:
    ini(tmp_path, *(["pgqueue_from_start = true"] if way == "ini" else []))
    flags = [] if way == "ini" else ["--pgqueue-from-start"]
    assert "9 passed" in apart(USING, *flags, PGQUEUE_DSN=dsn)
    [[name]] = seen(tmp_path)
    assert name.startswith("pgqueue_")
    assert left(sql, {name}) == 0
    assert sql.value("SELECT count(*) FROM pgqueue.queue") == 0


@pytest.mark.usefixtures("application")
def test_each_worker_of_xdist_has_a_database_on_one_server(
    apart: Apart, tmp_path: Path, dsn: str, sql: Sql
) -> None:
    ini(tmp_path, "pgqueue_from_start = true")
    arguments = ("-n", "2", "--dist", "load")
    assert "9 passed" in apart(USING, *arguments, PGQUEUE_DSN=dsn)
    one, other = seen(tmp_path)
    assert len(one) == len(other) == 1
    assert one != other
    # Both have the token of the server that the first process found.
    tokens = {name.split("_")[1] for name in one | other}
    assert len(tokens) == 1
    assert left(sql, one | other) == 0
    assert sql.value("SELECT count(*) FROM pgqueue.queue") == 0


@pytest.mark.usefixtures("application")
def test_without_the_option_queues_of_modules_are_where_they_were(
    apart: Apart, tmp_path: Path, dsn: str, sql: Sql
) -> None:
    ini(tmp_path)
    text = "from application import mail\n\ndef test_it():\n    mail.add('welcome')\n"
    nowhere = "postgresql://nowhere.invalid/x"
    assert "1 passed" in apart(text, PGQUEUE_DSN=dsn, PGQUEUE_TEST_DSN=nowhere)
    with Queue("mail", dsn=dsn) as queue:
        assert queue.count() == 1


@pytest.mark.usefixtures("application")
def test_without_a_server_nothing_runs(apart: Apart, tmp_path: Path, dsn: str) -> None:
    ini(tmp_path, "pgqueue_from_start = true")
    nowhere = "postgresql://127.0.0.1:1/x"
    said = apart(USING, PGQUEUE_DSN=dsn, PGQUEUE_TEST_DSN=nowhere, fails=True)
    assert "pgqueue_from_start: no database:" in said
    assert "passed" not in said
    assert not seen(tmp_path)


def test_help_needs_no_server(apart: Apart, tmp_path: Path) -> None:
    ini(tmp_path, "pgqueue_from_start = true")
    said = apart("", "--help", PGQUEUE_TEST_DSN="postgresql://127.0.0.1:1/x")
    assert "--pgqueue-from-start" in said


def test_a_plugin_that_is_loaded_too_late_says_so(apart: Apart, tmp_path: Path) -> None:
    ini(tmp_path, "pgqueue_from_start = true")
    (tmp_path / "conftest.py").write_text(
        'pytest_plugins = ["pgqueue.testing.plugin"]', "utf-8"
    )
    said = apart("", plugins=(), PYTEST_DISABLE_PLUGIN_AUTOLOAD="1", fails=True)
    assert "the plugin was loaded after conftest.py" in said
