"""Events of flows: each transition once, in the order in which it was committed."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from pgqueue import FlowNode, FlowProducer, Queue, QueueEvents, Worker
from working import drain

from .test_events import read

if TYPE_CHECKING:
    from collections.abc import Iterator

    from claims import HandWorker
    from pgqueue import Event, FlowJob

    from .conftest import NewFollower


@pytest.fixture
def flows(dsn: str) -> Iterator[FlowProducer]:
    with FlowProducer(dsn=dsn) as made:
        yield made


def of(events: list[Event], job_id: int) -> list[str]:
    return [event.name for event in events if event.job_id == job_id]


def report(*children: FlowNode) -> FlowNode:
    return FlowNode("report", queue="paint", children=children)


def page(n: int = 0, queue: str = "pages", **options: Any) -> FlowNode:
    return FlowNode("page", n, queue=queue, **options)


RAN = ["waiting", "active", "completed"]


async def test_followers_of_all_queues_of_a_flow_see_each_transition_once(
    dsn: str, new_follower: NewFollower, flows: FlowProducer
) -> None:
    reports = new_follower()
    with QueueEvents("pages", "one", dsn=dsn) as pages:
        pages.subscribe()
        added = [
            flows.add(report(page(1), page(2, children=[page(3)]), page(4, delay=0.1)))
            for _ in range(5)
        ]

        async def handler(job: Any) -> int:
            return int(job.id)

        worker = Worker(["paint", "pages"], handler, concurrency=5, dsn=dsn)
        await drain(worker, 60)
        told, below = read(reports), read(pages)
    for flow in added:
        first, middle, late = flow.children
        assert of(told, flow.job.id) == ["added", "waiting_children", *RAN]
        assert of(below, first.job.id) == ["added", *RAN]
        assert of(below, middle.job.id) == ["added", "waiting_children", *RAN]
        assert of(below, middle.children[0].job.id) == ["added", *RAN]
        assert of(below, late.job.id) == ["added", "delayed", *RAN]
        # What happens in one queue is told in the order in which it was committed.
        order = [(event.name, event.job_id) for event in below]
        end = order.index(("completed", middle.children[0].job.id))
        assert end < order.index(("waiting", middle.job.id))
    assert Counter(event.name for event in below)["completed"] == 20


FAILED = {
    "fail": ["added", "waiting_children", "failed"],
    "ignore": ["added", "waiting_children", "waiting"],
    "continue": ["added", "waiting_children", "waiting"],
    "remove": ["added", "waiting_children", "waiting"],
}


@pytest.mark.parametrize("policy", FAILED)
def test_what_a_failed_child_does_to_its_parent_is_told_once_and_after_it(
    flows: FlowProducer, worker: HandWorker, new_follower: NewFollower, policy: str
) -> None:
    follower = new_follower()
    added: FlowJob = flows.add(report(page(1, "paint", on_child_failure=policy)))
    worker.fail(worker.claim())
    events = read(follower)
    [child] = added.children
    assert of(events, child.job.id) == ["added", "waiting", "active", "failed"]
    assert of(events, added.job.id) == FAILED[policy]
    last = events[-1]
    assert (last.job_id, last.name) == (added.job.id, FAILED[policy][-1])
    if policy == "fail":
        assert last.data == {"reason": f"child {child.job.id} failed: it broke"}


def test_a_removed_child_and_the_parent_it_lets_go_are_told_once(
    queue: Queue, flows: FlowProducer, new_follower: NewFollower
) -> None:
    follower = new_follower()
    added = flows.add(report(page(1, "paint"), page(2, "paint")))
    for child in added.children:
        queue.remove(child.job.id)
    events = read(follower)
    for child in added.children:
        assert of(events, child.job.id) == ["added", "waiting", "removed"]
    assert of(events, added.job.id) == ["added", "waiting_children", "waiting"]
