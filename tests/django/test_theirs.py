"""Django's own tests of tasks, on our backend: `make test-tasks` runs them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import Sql

SOURCE = os.environ.get("PGQUEUE_DJANGO_SOURCE")
TESTS = Path(__file__).parents[1]

COLLECTING = "tasks.test_dummy_backend.DummyBackendTestCase."
AT_ONCE = "tasks.test_immediate_backend.ImmediateBackendTestCase."
NOT_OURS = {
    COLLECTING + "test_refresh_result": "writes into a list in memory",
    COLLECTING + "test_refresh_result_async": "the same",
    AT_ONCE + "test_cannot_get_result": "ours can",
    AT_ONCE + "test_cannot_refresh_result": "ours can",
    AT_ONCE + "test_cannot_pass_run_after": "ours can",
}
"""What is about the two backends that Django brings, and not about tasks."""


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.skipif(not SOURCE, reason="needs the source of Django 6, for its tests")
def test_djangos_own_tests_of_tasks_pass(site: Sql, site_dsn: str) -> None:
    ran = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("theirs.py")), str(SOURCE)],
        check=False,
        capture_output=True,
        text=True,
        env={
            **{k: v for k, v in os.environ.items() if not k.startswith("PGQUEUE_")},
            "DJANGO_SETTINGS_MODULE": "django_settings",
            "DJANGO_TEST_DSN": site_dsn,
            # Their `async def` tests call `refresh` too: their backends ask no database.
            "DJANGO_ALLOW_ASYNC_UNSAFE": "1",
            "PYTHONPATH": os.pathsep.join([str(TESTS.parent), str(TESTS)]),
        },
    )
    assert ran.returncode == 0, ran.stderr
    told = json.loads(ran.stdout.splitlines()[-1])
    assert told["failed"].keys() == NOT_OURS.keys(), told
    assert told["ran"] >= 71, told
