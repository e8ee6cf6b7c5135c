"""A queue, and the test's own connection to it, whose transaction is never committed."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from pgqueue import Queue

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

ROOT = Path(__file__).parents[2]


@pytest.fixture
def queue(dsn: str) -> Iterator[Queue]:
    with Queue("mail", dsn=dsn) as made:
        yield made


@pytest.fixture
def connection(dsn: str) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(dsn) as made:
        yield made
        made.rollback()


@pytest.fixture
def apart(tmp_path: Path, dsn: str) -> Callable[..., str]:
    """Run pytest with the plugin on this text, and return what it printed."""

    def run(
        text: str,
        *arguments: str,
        fails: bool = False,
        plugins: Sequence[str] | None = None,
        **environment: str,
    ) -> str:
        (tmp_path / "test_it.py").write_text(text, "utf-8")
        loading = plugged() if plugins is None else plugins
        plain = ("-q", "-p", "no:cacheprovider", *loading, *arguments)
        done = subprocess.run(
            [sys.executable, "-m", "pytest", *plain],
            check=False,
            capture_output=True,
            text=True,
            cwd=tmp_path,
            env={
                **os.environ,
                "PYTHONPATH": str(ROOT),
                "PGQUEUE_TEST_DSN": dsn,
                **environment,
            },
        )
        said = done.stdout + done.stderr
        assert bool(done.returncode) is fails, said
        return said

    return run


def plugged() -> Sequence[str]:
    """Load the plugin, unless this checkout is installed with its entry point."""
    if any(one.name == "pgqueue" for one in entry_points(group="pytest11")):
        return ()
    return ("-p", "pgqueue.testing.plugin")
