"""Flows: parents run after their children, whatever becomes of those."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from invariants import assert_consistent
from pgqueue import (
    ConfigError,
    FlowJob,
    FlowNode,
    JobNotFound,
    JobStateError,
    KeyTaken,
    NewJob,
    PayloadError,
    Queue,
)
from pgqueue.db.run import run
from pgqueue.ops import maintenance
from pgqueue.ops.releasing import FIRST, release_forgotten
from pgqueue.testing import travel
from pgqueue.types import Dedup

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
    return FlowNode("page", {"n": n}, queue="pages", **options)


def report(*children: FlowNode, **options: Any) -> FlowNode:
    return FlowNode("report", queue="paint", children=children, **options)


def test_a_flow_is_added_whole_and_its_parent_waits(
    flows: FlowProducer, queue: Queue, shells: Shells
) -> None:
    added = flows.add(report(page(1), page(2)))
    assert (added.job.state, added.job.queue) == ("waiting_children", "paint")
    assert [child.job.state for child in added.children] == ["waiting"] * 2
    assert [child.job.parent_id for child in added.children] == [added.job.id] * 2
    assert queue.get(added.job.id) == added.job
    pages = shells.queue("pages")
    assert [pages.get(child.job.id) for child in added.children] == [
        child.job for child in added.children
    ]
    assert queue.count() == 1
    assert queue.counts().waiting_children == 1
    assert [job.id for job in queue.jobs("waiting_children")] == [added.job.id]


def test_a_tree_of_several_levels_and_queues_is_read_as_it_was_added(
    flows: FlowProducer,
) -> None:
    added = flows.add(report(page(children=[page(1), report(page(2))]), page(3)))
    assert flows.get("paint", added.job.id) == added
    child = added.children[0]
    assert flows.get("pages", child.job.id) == child
    shallow = flows.get("paint", added.job.id, 0)
    assert shallow == FlowJob(added.job)
    one = flows.get("paint", added.job.id, depth=1)
    assert one.children == tuple(FlowJob(child.job) for child in added.children)


def test_the_children_of_a_flow_are_read_page_by_page(flows: FlowProducer) -> None:
    added = flows.add(report(*map(page, range(7))))
    found: list[FlowJob] = []
    after = 0
    while batch := flows.get("paint", added.job.id, limit=3, after=after).children:
        found += batch
        after = batch[-1].job.id
    assert tuple(found) == added.children


def test_settled_children_stay_in_the_flow(
    flows: FlowProducer, new_worker: Any
) -> None:
    added = flows.add(report(page(1), page(2)))
    worker = new_worker("pages")
    worker.finish(worker.claim(), result=1)
    states = [child.job.state for child in flows.get("paint", added.job.id).children]
    assert states == ["completed", "waiting"]


def test_a_flow_that_does_not_exist_is_not_found(flows: FlowProducer) -> None:
    with pytest.raises(JobNotFound):
        flows.get("paint", 7)


def test_many_flows_are_added_all_or_nothing(
    flows: FlowProducer, queue: Queue, sql: Sql
) -> None:
    added = flows.add_bulk([report(page(n)) for n in range(3)])
    assert len({one.job.id for one in added}) == 3
    assert flows.add_bulk([]) == []
    with pytest.raises(PayloadError):
        flows.add_bulk([report(page(1)), report(FlowNode("n", {1}, queue="q"))])
    assert queue.count() == 3
    assert sql.value("SELECT count(*) FROM pgqueue.job") == 6


def test_a_flow_is_part_of_the_callers_transaction(
    flows: FlowProducer, queue: Queue, shells: Shells, sql: Sql
) -> None:
    connection, blocking = shells.connect()
    flows.add(report(page()), connection=connection)
    assert queue.count() == 0
    blocking.rollback()
    assert sql.value("SELECT count(*) FROM pgqueue.job") == 0
    added = flows.add(report(page()), connection=connection)
    blocking.commit()
    assert queue.get(added.job.id).state == "waiting_children"


def test_a_key_on_the_root_makes_adding_a_flow_idempotent(
    flows: FlowProducer, sql: Sql
) -> None:
    first = flows.add(report(page(), key="march"))
    again = flows.add(report(page(), page(), key="march"))
    assert again == FlowJob(first.job)
    assert sql.value("SELECT count(*) FROM pgqueue.job") == 2


def test_a_child_with_a_key_is_found_by_it(flows: FlowProducer, shells: Shells) -> None:
    added = flows.add(report(page(1, key="one", children=[page(2, key="two")]), page()))
    one = added.children[0]
    assert (one.job.key, one.children[0].job.key) == ("one", "two")
    again = shells.queue("pages").add("page", {"n": 9}, key="two")
    assert again == one.children[0].job


@pytest.mark.parametrize("taken", [[], [page(key="k")]])
def test_a_child_whose_key_is_taken_leaves_nothing_of_its_flow(
    flows: FlowProducer, shells: Shells, sql: Sql, taken: list[FlowNode]
) -> None:
    if not taken:
        shells.queue("pages").add("page", {}, key="k")
    before = sql.value("SELECT count(*) FROM pgqueue.job")
    with pytest.raises(KeyTaken, match="'k' already") as raised:
        flows.add(report(page(0), *taken, page(key="k")))
    assert raised.value.key == "k"
    assert sql.value("SELECT count(*) FROM pgqueue.job") == before


@pytest.mark.parametrize(
    "node",
    [
        report(page(dedup=Dedup("d"))),
        report(page(priority=-1)),
        # It would be added without its children, once the job that runs has ended.
        report(page(), dedup=Dedup("d", keep_last_if_active=True)),
        report(page(on_child_failure="explode")),
        report(FlowNode("n", queue="")),
        FlowNode("n", queue="q", children="ab"),  # type: ignore[arg-type]
        FlowNode("n", queue="q", children=[NewJob("n")]),  # type: ignore[list-item]
        "report",
    ],
    ids=lambda node: repr(node)[:60],
)
def test_a_bad_node_anywhere_is_refused_before_anything_is_sent(
    flows: FlowProducer, node: Any, sql: Sql
) -> None:
    with pytest.raises(ConfigError):
        flows.add(node)
    assert sql.value("SELECT count(*) FROM pgqueue.job") == 0


def test_a_flow_that_is_too_deep_is_refused(flows: FlowProducer) -> None:
    node = page()
    for _ in range(101):
        node = page(children=[node])
    with pytest.raises(ConfigError, match="deep"):
        flows.add(node)


def test_a_parent_runs_when_all_its_children_have_completed(
    flows: FlowProducer, queue: Queue, worker: HandWorker, new_worker: Any
) -> None:
    added = flows.add(report(page(1), page(2)))
    pages = new_worker("pages")
    assert worker.claim() == []
    pages.finish(pages.claim(), result=1)
    assert queue.get(added.job.id).state == "waiting_children"
    pages.finish(pages.claim(), result=2)
    assert queue.get(added.job.id).state == "waiting"
    assert [job.id for job in worker.claim()] == [added.job.id]


def test_a_delayed_parent_waits_for_its_children_and_then_for_its_time(
    flows: FlowProducer, queue: Queue, new_worker: Any
) -> None:
    later = flows.add(report(page(), delay=60))
    soon = flows.add(report(page(), delay=0))
    pages = new_worker("pages")
    pages.finish(pages.claim(2))
    assert queue.get(later.job.id).state == "delayed"
    assert queue.get(later.job.id).run_at == later.job.run_at
    assert queue.get(soon.job.id).state == "waiting"


FATES = {
    "fail": ("failed", ()),
    "continue": ("waiting", ("it broke",)),
    "ignore": ("waiting_children", ("it broke",)),
    "remove": ("waiting_children", ()),
}


@pytest.mark.parametrize("policy", FATES)
def test_a_failed_child_does_to_its_parent_what_its_policy_says(
    flows: FlowProducer, queue: Queue, new_worker: Any, sql: Sql, policy: Any
) -> None:
    added = flows.add(report(page(1, on_child_failure=policy), page(2)))
    pages = new_worker("pages")
    pages.fail(pages.claim())
    state, failures = FATES[policy]
    parent = queue.get(added.job.id)
    assert parent.state == state
    if policy == "fail":
        child = added.children[0].job.id
        assert parent.error == f"child {child} failed: it broke"
        return
    left = sql.all("SELECT error FROM pgqueue.settled WHERE state = 'failed'")
    assert tuple(row.error for row in left) == failures
    pages.finish(pages.claim())
    assert queue.get(added.job.id).state == "waiting"


@pytest.mark.parametrize("policy", FATES)
@pytest.mark.parametrize("depth", [1, 2, 4])
def test_failure_goes_up_as_far_as_the_policies_let_it(
    flows: FlowProducer, queue: Queue, new_worker: Any, depth: int, policy: Any
) -> None:
    node = page()
    for level in range(depth):
        top = level == depth - 1
        node = report(node, on_child_failure=policy if top else "fail")
    added = flows.add(report(node, page(9)))
    pages = new_worker("pages")
    leaf, other = sorted(pages.claim(2), key=lambda job: -job.id)
    if flows.get("pages", leaf.id).job.data == {"n": 9}:
        leaf, other = other, leaf
    pages.fail([leaf])
    assert queue.get(added.job.id).state == FATES[policy][0]
    assert queue.counts().failed == depth + (policy == "fail")
    if policy != "fail":
        pages.finish([other])
        assert queue.get(added.job.id).state == "waiting"


def test_a_continued_parent_is_released_once_and_may_wait_again(
    flows: FlowProducer, queue: Queue, worker: HandWorker, new_worker: Any
) -> None:
    added = flows.add(report(page(1, on_child_failure="continue"), page(2)))
    pages = new_worker("pages")
    pages.fail(pages.claim())
    worker.finish(worker.claim(), "waiting_children")
    assert queue.get(added.job.id).state == "waiting_children"
    pages.finish(pages.claim())
    assert queue.get(added.job.id).state == "waiting"


def test_a_parent_failed_by_a_child_keeps_its_own_retention(
    flows: FlowProducer, queue: Queue, new_worker: Any, sql: Sql
) -> None:
    gone = flows.add(report(page(), remove_on_fail=True))
    aged = flows.add(report(page(), remove_on_fail=7))
    default = flows.add(report(page()))
    pages = new_worker("pages")
    pages.fail(pages.claim(3))
    with pytest.raises(JobNotFound):
        queue.get(gone.job.id)
    rows = sql.all(
        "SELECT job_id, keep_count, expires_at IS NULL AS forever FROM pgqueue.finished f"
        " JOIN pgqueue.queue q ON q.id = f.queue_id AND q.name = 'paint' ORDER BY 1"
    )
    assert [tuple(row) for row in rows] == [
        (aged.job.id, 7, True),
        (default.job.id, None, False),
    ]


def test_a_removed_parent_that_failed_takes_its_parent_along(
    flows: FlowProducer, queue: Queue, new_worker: Any
) -> None:
    top = flows.add(report(report(page(), remove_on_fail=True)))
    pages = new_worker("pages")
    pages.fail(pages.claim())
    assert queue.get(top.job.id).state == "failed"
    assert queue.counts().total == 1


def test_a_child_that_stalled_out_settles(
    flows: FlowProducer, queue: Queue, new_worker: Any, dsn: str
) -> None:
    added = flows.add(report(page()))
    pages = new_worker("pages")
    pages.claim()
    travel(hours=1, connection=pages.connection)
    recovered = run(pages.connection, maintenance.recover(0), "pgqueue")
    [parent] = maintenance.parents_of(recovered)
    assert parent.job_id == added.job.id
    run(pages.connection, release_forgotten(FIRST), "pgqueue")
    assert queue.get(added.job.id).state == "failed"


def test_a_parent_whose_release_was_lost_is_found(
    flows: FlowProducer, queue: Queue, new_worker: Any
) -> None:
    added = flows.add_bulk([report(page()) for _ in range(5)])
    pages = new_worker("pages")
    pages.releases = False
    pages.finish(pages.claim(4))
    pages.fail(pages.claim(1))
    assert queue.counts().waiting_children == 5
    place, rounds = FIRST, 0
    while (
        place := run(pages.connection, release_forgotten(place, 2), "pgqueue")
    ) != FIRST:
        rounds += 1
    assert rounds == 2
    assert [queue.get(one.job.id).state for one in added] == ["waiting"] * 4 + [
        "failed"
    ]


def test_the_results_of_children_outlive_them(
    flows: FlowProducer, queue: Queue, new_worker: Any, shells: Shells, sql: Sql
) -> None:
    flows.add(report(page(1), page(2), page(3)))
    pages = new_worker("pages")
    first, second, _ = pages.claim(3)
    pages.finish([first], "removed", ended="completed", child=True, result={"a": 1})
    pages.finish([second], result=2, child=True)
    shells.queue("pages").clean(0)
    rows = sql.all("SELECT result FROM pgqueue.settled ORDER BY child_id")
    assert [row.result for row in rows] == [{"a": 1}, 2]


def test_a_child_can_be_added_to_a_parent_that_exists(
    flows: FlowProducer, queue: Queue, shells: Shells, new_worker: Any
) -> None:
    added = flows.add(report(page()))
    pages = shells.queue("pages")
    child = pages.add("page", parent=added.job)
    assert (child.parent_id, child.state) == (added.job.id, "waiting")
    assert pages.get(child.id) == child
    [third] = pages.add_bulk([NewJob("page", parent=("paint", added.job.id))])
    family = flows.get("paint", added.job.id).children
    assert [one.job.id for one in family[1:]] == [child.id, third.id]
    worker = new_worker("pages")
    worker.finish(worker.claim(2))
    assert queue.get(added.job.id).state == "waiting_children"
    worker.finish(worker.claim(1))
    assert queue.get(added.job.id).state == "waiting"


def test_a_parent_that_does_not_exist_is_not_found(queue: Queue, sql: Sql) -> None:
    for parent in (("paint", 77), ("nowhere", 1)):
        with pytest.raises(JobNotFound) as caught:
            queue.add("n", parent=parent)
        assert caught.value.job_id == parent[1]
        assert parent[0] in str(caught.value)
    assert queue.count() == 0


@pytest.mark.parametrize("state", ["completed", "failed"])
def test_a_parent_that_has_finished_takes_no_child(
    queue: Queue, worker: HandWorker, state: str
) -> None:
    parent = queue.add("n")
    worker.finish(worker.claim(), state, error="it broke")
    with pytest.raises(JobStateError) as caught:
        queue.add("n", parent=parent)
    assert (caught.value.job_id, caught.value.state) == (parent.id, state)
    assert queue.count() == 0


@pytest.mark.parametrize(
    "options",
    [
        {"parent": 7},
        {"parent": ("paint", 0)},
        {"parent": ("", 1)},
        {"parent": ("paint", 1, 2)},
        {"on_child_failure": "ignore"},
        {"parent": ("paint", 1), "on_child_failure": "explode"},
    ],
    ids=str,
)
def test_a_bad_parent_is_refused(queue: Queue, options: Any) -> None:
    with pytest.raises(ConfigError):
        queue.add("n", **options)


def test_a_retried_child_is_waited_for_again(
    flows: FlowProducer, queue: Queue, shells: Shells, new_worker: Any
) -> None:
    """BullMQ's own PostgreSQL backend forgets to (its defect 7)."""
    added = flows.add(report(page(1, on_child_failure="ignore"), page(2)))
    worker = new_worker("pages")
    worker.fail(worker.claim())
    pages = shells.queue("pages")
    pages.retry(added.children[0].job.id)
    claimed = worker.claim(2)
    worker.finish([job for job in claimed if job.id == added.children[1].job.id])
    assert queue.get(added.job.id).state == "waiting_children"
    worker.finish([job for job in claimed if job.id == added.children[0].job.id])
    assert queue.get(added.job.id).state == "waiting"


def test_a_retried_parent_waits_for_the_child_that_was_retried_before(
    flows: FlowProducer, queue: Queue, shells: Shells, new_worker: Any, sql: Sql
) -> None:
    added = flows.add(report(page()))
    worker = new_worker("pages")
    worker.fail(worker.claim())
    shells.queue("pages").retry(added.children[0].job.id)
    assert queue.get(added.job.id).state == "failed"
    assert queue.retry(added.job.id).state == "waiting_children"
    worker.finish(worker.claim(), result=5, child=True)
    assert queue.get(added.job.id).state == "waiting"
    assert sql.value("SELECT result FROM pgqueue.settled") == 5


def test_a_retried_parent_runs_if_its_children_have_settled(
    flows: FlowProducer, queue: Queue, worker: HandWorker, new_worker: Any
) -> None:
    added = flows.add(report(page()))
    pages = new_worker("pages")
    pages.fail(pages.claim())
    assert queue.retry(added.job.id).state == "waiting"
    # The failure that it knows of does not fail it once more.
    worker.finish(worker.claim(), "waiting_children")
    assert queue.get(added.job.id).state == "waiting"
