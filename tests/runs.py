"""What ran when, by the database's clock, whichever process ran it."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

    from conftest import Sql

CHILD = Path(__file__).with_name("recorder.py")


class Run(NamedTuple):
    """One run: when it was claimed, when its handler began and ended (seconds).

    A rate holds for claims: a process that is halted may begin what it claimed late.
    """

    claimed: float
    began: float
    ended: float


def prepare(sql: Sql) -> None:
    """Make the table that the recorders write to."""
    sql.run("DROP TABLE IF EXISTS public.run")
    sql.run(
        "CREATE TABLE public.run (run uuid PRIMARY KEY, of text, claimed float8,"
        " began float8 DEFAULT date_part('epoch', clock_timestamp()), ended float8)"
    )


def runs(sql: Sql, group: str | None = None) -> list[Run]:
    """Return every run that has ended, of a group if asked, by its beginning."""
    rows = sql.all(
        "SELECT claimed, began, ended FROM public.run"
        " WHERE ended IS NOT NULL AND (%(of)s::text IS NULL OR of = %(of)s)"
        " ORDER BY began",
        {"of": group},
    )
    return [Run(*row) for row in rows]


def most_at_once(found: list[Run]) -> int:
    """Return how many ran at the same moment, at most."""
    # An end counts before a beginning at the same instant.
    steps = sorted(
        [(one.began, 1) for one in found] + [(one.ended, -1) for one in found]
    )
    return max(itertools.accumulate(step for _, step in steps))


def most_within(instants: list[float], window: float) -> int:
    """Return how many of the instants lie in a window, wherever it begins."""
    ordered, most, first = sorted(instants), 0, 0
    for index, instant in enumerate(ordered):
        while instant - ordered[first] >= window:
            first += 1
        most = max(most, index - first + 1)
    return most


@contextmanager
def recorders(
    dsn: str, count: int, *, takes: float = 0.0, **options: Any
) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Run so many worker processes; their handlers record what they run."""
    given = json.dumps({"dsn": dsn, "takes": takes, "options": options})
    processes = [
        subprocess.Popen([sys.executable, str(CHILD), given]) for _ in range(count)
    ]
    try:
        yield processes
    finally:
        for process in processes:
            process.kill()
        for process in processes:
            process.wait()
