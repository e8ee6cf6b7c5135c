"""Limits of a queue hold over four worker processes."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import pytest

from pgqueue import NewJob, Queue
from runs import Run, most_at_once, most_within, prepare, recorders, runs
from waiting import SOON, until

if TYPE_CHECKING:
    from conftest import Sql

pytestmark = pytest.mark.slow

PROCESSES = 4


def add(queue: Queue, count: int) -> None:
    queue.add_bulk([NewJob("work")] * count)


def done(sql: Sql, count: int, within: float = 40) -> list[Run]:
    """Wait until so many runs have ended."""
    until(lambda: len(runs(sql)) >= count, within, message=f"{count} runs")
    return runs(sql)


def test_no_more_jobs_run_at_once_than_the_queue_allows(
    dsn: str, queue: Queue, sql: Sql
) -> None:
    prepare(sql)
    queue.set_concurrency(3)
    add(queue, 120)
    with recorders(dsn, PROCESSES, takes=0.02):
        found = done(sql, 120)
    assert most_at_once(found) == 3
    # Without gaps it takes 0.8 s; the slots must not lie idle.
    assert found[-1].ended - found[0].began < 2 * SOON
    assert len(found) == 120


def test_no_window_holds_more_starts_than_the_rate(
    dsn: str, queue: Queue, sql: Sql
) -> None:
    prepare(sql)
    queue.set_rate_limit(20, 1)
    add(queue, 100)
    with recorders(dsn, PROCESSES):
        found = done(sql, 100)
    assert most_within([one.claimed for one in found], 1) <= 20
    # Five windows' worth; four have to pass.
    assert 4 <= max(found).claimed - min(found).claimed < 4 + SOON


def test_limits_are_changed_while_jobs_run(dsn: str, queue: Queue, sql: Sql) -> None:
    prepare(sql)
    queue.set_concurrency(1)
    add(queue, 400)
    with recorders(dsn, PROCESSES, takes=0.02):
        assert most_at_once(done(sql, 20)) == 1
        queue.set_concurrency(4)
        before = len(runs(sql))
        until(lambda: most_at_once(runs(sql)[before:] or [Run(0, 0, 1)]) == 4)
        queue.set_concurrency(2)
        # Those that run go on; from then on there are two.
        settled = len(done(sql, len(runs(sql)) + 8))
        later = done(sql, settled + 40)[settled:]
        assert most_at_once(later) == 2
        queue.set_concurrency(None)
        done(sql, 400)


def test_the_slots_of_a_killed_worker_are_free_after_its_recovery(
    dsn: str, queue: Queue, sql: Sql
) -> None:
    prepare(sql)
    queue.set_concurrency(2)
    add(queue, 8)
    with recorders(dsn, 1, takes=60, lease=1) as (held,):
        until(lambda: queue.counts().active == 2)
        with recorders(dsn, 2, takes=0.01, lease=1):
            os.kill(held.pid, signal.SIGKILL)
            found = done(sql, 8)
            until(lambda: queue.counts().completed == 8)
    assert most_at_once(found) <= 2
