"""What a group may do holds over four worker processes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pgqueue import NewJob, Queue
from runs import Run, most_at_once, most_within, prepare, recorders, runs
from waiting import until

if TYPE_CHECKING:
    from conftest import Sql

pytestmark = pytest.mark.slow

PROCESSES = 4


def by_group(sql: Sql, ids: dict[int, str]) -> dict[str, list[Run]]:
    found: dict[str, list[Run]] = {}
    for row in sql.all("SELECT job_id, claimed, entered, ended FROM runs"):
        run = Run(*row[1:], row[0]) if len(Run._fields) == len(row) else Run(*row)
        found.setdefault(ids[row[0]], []).append(run)
    return found
