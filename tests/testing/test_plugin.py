"""The plugin, in pytest runs of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]

USING = """
from pgqueue import Queue
from pgqueue.testing import assert_added, assert_nothing_added, run_pending, travel

def test_first(pgqueue_connection):
    mail = Queue("mail")
    mail.add("welcome", {"user": 7}, delay=300, connection=pgqueue_connection)
    assert_added("welcome", queue=mail, connection=pgqueue_connection)
    travel(minutes=5, connection=pgqueue_connection)
    [run] = run_pending(lambda job: 1, queue=mail, connection=pgqueue_connection)
    assert run.result == 1

def test_nothing_is_left_of_it(pgqueue_connection):
    assert_nothing_added(connection=pgqueue_connection)

def test_what_is_committed(pgqueue_dsn):
    with Queue("mail") as mail:
        mail.add("welcome")
        assert_added("welcome", queue=mail)

def test_is_gone(pgqueue_dsn):
    assert_nothing_added(dsn=pgqueue_dsn)
"""


def run(folder: Path, text: str, *arguments: str, dsn: str) -> str:
    (folder / "test_it.py").write_text(text, "utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments],
        check=False,
        capture_output=True,
        text=True,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PGQUEUE_TEST_DSN": dsn},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def plugged() -> list[str]:
    """Load the plugin, unless this checkout is installed with its entry point."""
    from importlib.metadata import entry_points  # noqa: PLC0415

    if any(one.name == "pgqueue" for one in entry_points(group="pytest11")):
        return []
    return ["-p", "pgqueue.testing.plugin"]


def test_its_fixtures_give_a_migrated_database(tmp_path: Path, dsn: str) -> None:
    assert "4 passed" in run(tmp_path, USING, *plugged(), dsn=dsn)


def test_the_entry_point_names_the_plugin() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert project["entry-points"]["pytest11"] == {"pgqueue": "pgqueue.testing.plugin"}


def test_who_does_not_use_it_starts_no_server(tmp_path: Path) -> None:
    nowhere = "postgresql://nowhere.invalid/x"
    text = "def test_nothing():\n    pass\n"
    assert "1 passed" in run(tmp_path, text, *plugged(), dsn=nowhere)
