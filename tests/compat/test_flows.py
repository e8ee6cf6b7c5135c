"""Flows of the compatibility module."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from compat.conftest import Heard
from pgqueue import KeyTaken
from pgqueue.compat.bullmq import FlowProducer, Job, Queue, WaitingChildrenError
from waiting import until_async

if TYPE_CHECKING:
    from compat.conftest import Made


def flow(**root: Any) -> dict[str, Any]:
    children = [{"name": "page", "data": n, "queueName": "pages"} for n in range(2)]
    return {
        "name": "report",
        "queueName": "paint",
        "data": {},
        "children": children,
    } | root


async def test_a_parent_runs_after_its_children_and_reads_their_results(
    made: Made, queue: Queue
) -> None:
    async def page(job: Job, token: str) -> int:
        return int(job.data) * 10

    async def report(job: Job, token: str) -> Any:
        return await job.getChildrenValues()

    tree = await made.flows().add(flow())
    assert tree is not None
    assert "children" not in tree["children"][0]
    root, children = tree["job"], [child["job"] for child in tree["children"]]
    found = await Job.fromId(queue, root.id)
    assert found is not None
    assert await found.isWaitingChildren()
    assert [job.id for job in await queue.getWaitingChildren()] == [root.id]
    heard = Heard(made.worker(report), "completed")
    made.worker(page, "pages")
    [(_, _, values)] = await heard.wait()
    keys = [f"bull:pages:{child.id}" for child in children]
    assert values == {keys[0]: 0, keys[1]: 10}


async def test_a_child_that_fails_for_good_fails_its_parent(
    made: Made, queue: Queue
) -> None:
    async def raises(job: Job, token: str) -> None:
        raise RuntimeError("Failed")

    called = []

    async def report(job: Job, token: str) -> None:
        called.append(job.id)

    children = [
        {
            "name": "page",
            "queueName": "pages",
            "data": {},
            "opts": {"failParentOnFailure": True},
        }
    ]
    tree = await made.flows().add(flow(children=children))
    assert tree is not None
    made.worker(report)
    made.worker(raises, "pages")
    await until_async(lambda: is_failed(queue, tree["job"].id))
    read = await Job.fromId(queue, tree["job"].id)
    assert read is not None
    assert "Failed" in str(read.failedReason)
    assert called == []


async def is_failed(queue: Queue, job_id: str) -> bool:
    return await queue.getJobState(job_id) == "failed"


async def test_the_options_of_the_queues_are_defaults_and_stay_as_they_are(
    made: Made,
) -> None:
    options = {"queuesOptions": {"pages": {"defaultJobOptions": {"attempts": 7}}}}
    before = repr(options)
    tree = await made.flows().add(flow(), options)
    assert tree is not None
    assert [child["job"].attempts for child in tree["children"]] == [7, 7]
    assert tree["job"].attempts == 1
    assert repr(options) == before


async def test_a_root_may_have_an_own_id_a_prefix_and_a_parent(made: Made) -> None:
    producer = made.flows(prefix="{bull}")
    tree = await producer.add(flow(opts={"jobId": "own"}))
    assert tree is not None
    queue = made.queue(prefix="{bull}")
    assert tree["job"].id == "own"
    assert (await queue.getJobState("own")) == "waiting-children"
    parent = {"id": "own", "queue": queue.qualifiedName}
    below = await producer.add(
        {"name": "late", "queueName": "paint", "data": {}, "opts": {"parent": parent}}
    )
    assert below is not None
    read = await Job.fromId(queue, below["job"].id)
    assert read is not None
    assert read.opts["parent"] == parent


async def test_children_may_have_own_ids(made: Made, queue: Queue) -> None:
    async def page(job: Job, token: str) -> int:
        return int(job.data)

    async def report(job: Job, token: str) -> Any:
        return await job.getChildrenValues()

    child = {"name": "page", "queueName": "pages", "data": 7, "opts": {"jobId": "p7"}}
    tree = await made.flows().add(flow(children=[child]))
    assert tree is not None
    assert tree["children"][0]["job"].id == "p7"
    with pytest.raises(KeyTaken, match="'p7'"):
        await made.flows().add(flow(children=[child]))
    assert await queue.getJobCountByTypes() == 1
    heard = Heard(made.worker(report), "completed")
    made.worker(page, "pages")
    [(_, _, values)] = await heard.wait()
    assert values == {"bull:pages:p7": 7}


async def test_a_missing_parent_is_an_error_and_in_bulk_it_is_not(
    made: Made, queue: Queue
) -> None:
    producer = made.flows()
    lost = flow(opts={"parent": {"id": "77", "queue": "bull:paint"}})
    with pytest.raises(TypeError, match="parent job bull:paint:77") as raised:
        await producer.add(lost)
    assert raised.value.code == -5  # type: ignore[attr-defined]
    assert await queue.getJobCountByTypes() == 0
    trees = await producer.addBulk([flow(), lost, flow(name="second")])
    assert trees is not None
    assert [tree["job"].name for tree in trees] == ["report", "report", "second"]
    assert [len(tree["children"]) for tree in trees] == [2, 2, 2]
    assert await queue.getJobCountByTypes("waiting-children") == 2


async def test_a_closed_producer_adds_nothing_without_an_error(queue: Queue) -> None:
    producer = FlowProducer()
    await producer.close()
    assert await producer.add(flow()) is None
    assert await producer.addBulk([flow()]) is None
    assert await queue.getJobCountByTypes() == 0


async def test_a_job_waits_for_children_that_it_added(made: Made, queue: Queue) -> None:
    pages = made.queue("pages")

    async def report(job: Job, token: str) -> Any:
        if not job.data.get("waited"):
            await job.updateData({"waited": True})
            parent = {"id": job.id, "queue": job.queueQualifiedName}
            await pages.add("page", 3, {"parent": parent})
            assert await job.moveToWaitingChildren(token, {})
            raise WaitingChildrenError
        assert not await job.moveToWaitingChildren(token, {})
        return [job.attemptsMade, list((await job.getChildrenValues()).values())]

    async def page(job: Job, token: str) -> Any:
        return job.data

    await queue.add("report", {})
    heard = Heard(made.worker(report), "completed", "failed", "error")
    made.worker(page, "pages")
    [(event, _, result)] = await heard.wait()
    assert (event, result) == ("completed", [0, [3]])
