"""The wheel, installed where there is no checkout: its plugin, schema and commands."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    Run = Callable[..., str]

ROOT = Path(__file__).parents[2]

USING = """
from pathlib import Path
import pgqueue
from pgqueue import Queue
from pgqueue.testing import assert_added, run_pending, travel

def test_the_package_is_the_installed_one():
    assert Path(pgqueue.__file__).is_relative_to({site!r})

def test_a_new_user_is_welcomed(pgqueue_connection):
    mail = Queue("mail")
    mail.add("welcome", {{"user": 7}}, delay=60, connection=pgqueue_connection)
    assert_added("welcome", queue=mail, count=1, connection=pgqueue_connection)
    travel(minutes=1, connection=pgqueue_connection)
    [run] = run_pending(
        lambda job: job.data["user"], queue=mail, connection=pgqueue_connection
    )
    assert run.result == 7
"""


@pytest.fixture
def run(tmp_path: Path, dsn: str) -> Run:
    """Run this Python in a folder of its own, which sees the wheel before the checkout."""
    for each in ("dist", "site", "project"):
        (tmp_path / each).mkdir()
    env = {
        **{k: v for k, v in os.environ.items() if k != "PYTHONPATH"},
        "PGQUEUE_TEST_DSN": dsn,
        "PGQUEUE_DSN": dsn,
    }

    def run(*arguments: str, cwd: Path = tmp_path / "project", **more: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", *arguments],
            check=False,
            capture_output=True,
            text=True,
            cwd=cwd,
            env=env | more,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    run("hatchling", "build", "-t", "wheel", "-d", str(tmp_path / "dist"), cwd=ROOT)
    [wheel] = (tmp_path / "dist").iterdir()
    site = str(tmp_path / "site")
    offline = ("--quiet", "--no-deps", "--no-index", "--target", site)
    run("pip", "install", *offline, str(wheel))
    env["PYTHONPATH"] = site
    return run


@pytest.mark.slow
def test_its_plugin_migrates_a_database_and_gives_it_to_tests(
    run: Run, tmp_path: Path
) -> None:
    text = USING.format(site=str(tmp_path / "site"))
    (tmp_path / "project" / "test_it.py").write_text(text, "utf-8")
    alone = ("-p", "no:cacheprovider", "-p", "no:asyncio")
    said = run("pytest", "-q", "-W", "error", *alone)
    assert "2 passed" in said
    assert "migrat" in run("pgqueue", "--help")
    run("pgqueue", "migrate", "--check")
