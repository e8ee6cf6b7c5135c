"""Flows that run again: who waits for whom once more."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from invariants import assert_consistent
from pgqueue import FlowNode, NewJob, Queue

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


def fail_many(queue: Queue, worker: HandWorker, count: int) -> None:
    """Fill a batch of `retry_all` with failed jobs of no flow."""
    queue.add_bulk([NewJob("alone")] * count)
    while claimed := worker.claim(500):
        worker.fail(claimed)


def test_a_parent_waits_for_failed_children_that_retry_all_comes_to_later(
    flows: FlowProducer, queue: Queue, worker: HandWorker
) -> None:
    """It would run before them, were it put back in the order of failure."""
    added = flows.add(report(page(1), page(2)))
    first, second = worker.claim(2)
    worker.fail([first])
    queue.retry(first.id)
    worker.finish(worker.claim())
    assert queue.get(added.job.id).state == "failed"
    fail_many(queue, worker, 1100)
    worker.fail([second])
    assert queue.retry_all() == 1102
    assert queue.get(added.job.id).state == "waiting_children"
    queue.change_priority(second.id, 1)
    while claimed := worker.claim(500):
        assert added.job.id not in [job.id for job in claimed]
        worker.finish(claimed)
        if any(job.id == second.id for job in claimed):
            break
    assert queue.get(added.job.id).state == "waiting"


def test_retry_all_puts_a_deep_flow_back_whatever_the_order_it_failed_in(
    flows: FlowProducer, queue: Queue, worker: HandWorker
) -> None:
    """Each level failed before the one below it, a batch apart."""
    early = {"on_child_failure": "continue"}
    tree = report(
        page(1, **early),
        FlowNode(
            "middle", queue="paint", children=(page(2, **early), page(3)), **early
        ),
    )
    added = flows.add(tree)
    top, middle = added.job.id, added.children[1].job.id
    quick, deep_quick, deep_slow = worker.claim(3)
    worker.fail([quick])
    worker.fail(worker.claim())
    assert queue.get(top).state == "failed"
    fail_many(queue, worker, 1000)
    worker.fail([deep_quick])
    worker.fail(worker.claim())
    assert queue.get(middle).state == "failed"
    for settled in (quick, deep_quick):
        queue.retry(settled.id)
        worker.finish(worker.claim())
    fail_many(queue, worker, 1000)
    worker.fail([deep_slow])
    assert queue.retry_all() == 2003
    assert queue.get(middle).state == "waiting_children"
    assert queue.get(top).state == "waiting_children"
    order: list[int] = []
    while claimed := worker.claim(500):
        order += [job.id for job in claimed]
        worker.finish(claimed)
    assert order.index(deep_slow.id) < order.index(middle) < order.index(top)


def test_retry_all_puts_a_parent_back_though_a_name_or_a_limit_leaves_its_child_out(
    flows: FlowProducer, queue: Queue, worker: HandWorker
) -> None:
    added = flows.add(report(page(1), page(2)))
    first, second = worker.claim(2)
    worker.fail([first])
    fail_many(queue, worker, 1000)
    worker.fail([second])
    assert queue.retry_all(name="report") == 1
    assert queue.get(added.job.id).state == "waiting"
    worker.fail(worker.claim())
    assert queue.retry_all(limit=1) == 1
    assert queue.get(first.id).state == "waiting"
