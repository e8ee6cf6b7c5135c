"""What claiming 10 000 jobs costs when a million wait, and when only those do.

Runs the worker's own statements and seek hints on one connection, without handlers.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from benchmarks import bare
from benchmarks.drain import SMALL
from benchmarks.lab import QUEUE, Run, alternate, compare, connect, reset, timed
from pgqueue import sql
from pgqueue.worker.intake import Intake
from pgqueue.worker.session import PLAN

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.lab import Connection, Lab, Report

BACKLOG: Final = 1_000_000
CLAIMED: Final = 10_000
BATCH: Final = 100
BOUND: Final = 1.5

PLANS_SETTLE: Final = 10
"""A prepared statement gets its lasting plan at the sixth execution."""


def run(lab: Lab) -> Iterator[Report]:
    """Compare claims from a long and from a short queue."""
    yield measure(lab, "backlog", old_plans=False)
    yield measure(lab, "backlog.old_plans", old_plans=True)


def measure(lab: Lab, name: str, *, old_plans: bool) -> Report:
    """Compare claims whose plans know the tables, or were made when those were empty.

    The latter is every worker that starts before the backlog does.
    """
    claimed = lab.jobs(CLAIMED)
    with (
        connect(lab.make(f"{name}_short")) as short,
        connect(lab.make(f"{name}_long")) as long,
    ):
        long_id = reset(long)
        if old_plans:
            for connection in (short, long):
                make_plans(connection, reset(connection))
        bare.fill(long, long_id, lab.jobs(BACKLOG), SMALL, analyze=not old_plans)

        def from_short() -> Run:
            queue_id = reset(short)
            bare.fill(short, queue_id, claimed, SMALL, analyze=not old_plans)
            short.execute("CHECKPOINT")
            return timed(short, claimed, lambda: claim(short, queue_id, claimed))

        def from_long() -> Run:
            long.execute("CHECKPOINT")
            return timed(long, claimed, lambda: claim(long, long_id, claimed))

        runs = alternate(
            max(5, lab.rounds), {"backlog": from_long, "short": from_short}
        )
    report = compare(name, runs, "short", "backlog", BOUND)
    report.at_least = False
    return report


def make_plans(connection: Connection, queue_id: int) -> None:
    """Let the server settle on its plans, on whatever the tables hold now."""
    for _ in range(PLANS_SETTLE):
        bare.fill(connection, queue_id, 1, SMALL, analyze=False)
        claim(connection, queue_id, 1)


def claim(connection: Connection, queue_id: int, jobs: int) -> None:
    """Claim as a worker does, and finish nothing."""
    intake = Intake(QUEUE, queue_id)
    plan = sql.load(PLAN.name)
    claimed = 0
    while claimed < jobs:
        began = time.monotonic()
        statement = intake.claim(1, BATCH, began)
        text = sql.load(statement.name)
        with connection.transaction(), connection.pipeline():
            connection.execute(plan)
            cursor = connection.execute(text, statement.params)
        rows = cursor.fetchall()
        now = time.monotonic()
        intake.claimed(rows, BATCH, now, now - began)
        claimed += len(rows)
