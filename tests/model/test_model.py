"""Whatever is done to jobs, in whatever order, the database does what the books say.

Hypothesis chooses the steps; after each the whole database is compared with the books.
Everything goes over one connection, so a step may stand in a transaction that is rolled
back. `PGQUEUE_HYPOTHESIS=2000` plays that many games instead of a few. With
`PGQUEUE_HYPOTHESIS_SHRINK=1` a game that fails is made as short as possible, which takes
minutes.
"""

from __future__ import annotations

import os

import psycopg
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from model.committing import Committing
from model.grouping import Grouping
from model.passing import Passing
from model.running import Running
from model.scheduling import Scheduling
from model.steering import Steering
from model.sweeping import Sweeping

EXAMPLES = int(os.environ.get("PGQUEUE_HYPOTHESIS", "40"))
SHRINKS = bool(os.environ.get("PGQUEUE_HYPOTHESIS_SHRINK"))


class Game(Running, Passing, Steering, Sweeping, Grouping, Scheduling, Committing):
    """All rules together."""


@pytest.mark.slow
@pytest.mark.timeout(0 if SHRINKS or EXAMPLES > 100 else 900)
def test_the_database_does_what_the_books_say(dsn: str) -> None:
    with psycopg.connect(dsn, autocommit=True) as connection:

        class Played(Game):
            """On the database of this test."""

        Played.connection = connection
        run_state_machine_as_test(
            Played,
            settings=settings(
                max_examples=EXAMPLES,
                stateful_step_count=40 if EXAMPLES > 100 else 32,
                deadline=None,
                derandomize=EXAMPLES <= 100,
                database=None,
                report_multiple_bugs=False,
                phases=(
                    Phase.explicit,
                    Phase.generate,
                    *([Phase.shrink] if SHRINKS else []),
                ),
                suppress_health_check=list(HealthCheck),
            ),
        )
