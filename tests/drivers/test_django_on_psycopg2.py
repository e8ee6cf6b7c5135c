"""Django on psycopg2, which it takes where psycopg 3 is missing: in runs of their own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from server import Server

TESTS = Path(__file__).parents[1]
OURS = (
    "drivers/test_matrix.py",
    "drivers/test_every_method.py",
    "drivers/test_waking.py",
    "exactly_once/test_drivers.py",
    "testing/test_drivers.py",
)


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_all_that_holds_for_djangos_connections_holds_there(pg_server: Server) -> None:
    plugins = ("psycopg2_for_django", "no:cacheprovider", "no:xdist")
    given = [part for name in plugins for part in ("-p", name)]
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-q", *given),
            # The options of psycopg 3 mean nothing there.
            *("-k", "(Django or django) and not psycopg"),
            *(str(TESTS / name) for name in OURS),
        ],
        cwd=TESTS.parent,
        env={
            **{k: v for k, v in os.environ.items() if not k.startswith("PYTEST_")},
            "PYTHONPATH": os.pathsep.join([str(TESTS.parent), str(TESTS)]),
            "PGQUEUE_TEST_DSN": pg_server.dsn,
        },
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found = re.search(r"(\d+) passed", done.stdout)
    assert found is not None
    assert int(found[1]) >= 30, done.stdout
