"""Flows that run again: who waits for whom once more."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from invariants import assert_consistent
from pgqueue import FlowNode, Queue

if TYPE_CHECKING:
    from collections.abc import Iterator

    from claims import HandWorker
    from conftest import Sql
    from pgqueue import FlowProducer
    from shells import Shells


@pytest.fixture
def flows(shells: Shells, sql: Sql) -> Iterator[FlowProducer]:
    yield shells.flows()
    assert_consistent(sql)


def page(n: int = 0, **options: Any) -> FlowNode:
    return FlowNode("page", {"n": n}, queue="paint", **options)


def report(*children: FlowNode, **options: Any) -> FlowNode:
    return FlowNode("report", queue="paint", children=children, **options)


def test_a_parent_waits_for_the_children_that_retry_all_puts_back_with_it(
    flows: FlowProducer, queue: Queue, worker: HandWorker, sql: Sql
) -> None:
    added = flows.add(report(page(1), page(2)))
    worker.fail(worker.claim())
    assert queue.get(added.job.id).state == "failed"
    worker.fail(worker.claim())
    assert queue.retry_all("failed") == 3
    assert queue.get(added.job.id).state == "waiting_children"
    worker.finish(worker.claim())
    assert queue.get(added.job.id).state == "waiting_children"
    worker.finish(worker.claim())
    assert queue.get(added.job.id).state == "waiting"
    states = sql.all("SELECT state, counted FROM pgqueue.settled")
    assert states == [("completed", False)] * 2


def test_a_child_that_was_to_leave_no_trace_is_not_waited_for_when_it_is_retried(
    flows: FlowProducer, queue: Queue, worker: HandWorker, sql: Sql
) -> None:
    added = flows.add(report(page(1, on_child_failure="remove"), page(2)))
    worker.fail(worker.claim())
    first, second = (child.job.id for child in added.children)
    assert queue.retry(first).state == "waiting"
    claimed = {job.id: job for job in worker.claim(2)}
    worker.finish([claimed[second]])
    assert queue.get(added.job.id).state == "waiting"
    worker.finish([claimed[first]])
    rows = sql.all("SELECT child_id FROM pgqueue.settled")
    assert rows == [(second,)]
