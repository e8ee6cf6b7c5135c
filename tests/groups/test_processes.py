"""What a group may do holds over four worker processes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pgqueue import NewJob, Queue
from runs import most_at_once, most_within, prepare, recorders, runs
from waiting import until

if TYPE_CHECKING:
    from conftest import Sql

pytestmark = pytest.mark.slow

PROCESSES = 4


def add(queue: Queue, groups: str, each: int) -> int:
    jobs = [NewJob("n", group=group) for _ in range(each) for group in groups]
    return len(queue.add_bulk(jobs))


def test_no_group_runs_more_at_once_than_it_may(
    dsn: str, queue: Queue, sql: Sql
) -> None:
    prepare(sql)
    queue.set_group_concurrency(None, 2)
    queue.set_group_concurrency("a", 1)
    count = add(queue, "abcd", 40)
    with recorders(dsn, PROCESSES, takes=0.02):
        until(lambda: len(runs(sql)) == count, 60)
    assert most_at_once(runs(sql, "a")) == 1
    assert [most_at_once(runs(sql, group)) for group in "bcd"] == [2, 2, 2]


def test_no_window_holds_more_starts_of_a_group_than_its_rate(
    dsn: str, queue: Queue, sql: Sql
) -> None:
    prepare(sql)
    queue.set_group_rate_limit(None, 5, 1)
    queue.set_group_rate_limit("a", 2, 1)
    count = add(queue, "abc", 12)
    with recorders(dsn, PROCESSES):
        until(lambda: len(runs(sql)) == count, 60)
    for group, most in (("a", 2), ("b", 5), ("c", 5)):
        found = runs(sql, group)
        assert most_within([one.claimed for one in found], 1) <= most


def test_four_processes_serve_a_small_group_among_large_ones(
    dsn: str, queue: Queue, sql: Sql
) -> None:
    prepare(sql)
    add(queue, "ab", 2000)
    small = add(queue, "c", 20)
    with recorders(dsn, PROCESSES, concurrency=4):
        until(lambda: len(runs(sql, "c")) == small, 60)
        last = max(runs(sql, "c")).claimed
    before = [len([r for r in runs(sql, g) if r.claimed <= last]) for g in "ab"]
    # In turn, so about as many of each; what was claimed together is not in order.
    assert all(abs(one - small) <= 40 for one in before), before
