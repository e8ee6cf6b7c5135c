"""Removing parents and children: nobody is left waiting for what no longer exists."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from invariants import assert_consistent
from pgqueue import FlowNode, JobNotFound, JobStateError, Queue
from pgqueue.db.run import run
from pgqueue.ops.releasing import FIRST, release_forgotten
from shells import Shells
from waiting import until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from claims import HandWorker
    from conftest import Sql
    from pgqueue import FlowProducer


@pytest.fixture
def flows(shells: Shells, sql: Sql) -> Iterator[FlowProducer]:
    yield shells.flows()
    assert_consistent(sql)


@pytest.fixture
def pages(shells: Shells) -> Queue:
    return shells.queue("pages")


def page(n: int = 0, **options: Any) -> FlowNode:
    return FlowNode("page", {"n": n}, queue="pages", **options)


def report(*children: FlowNode, **options: Any) -> FlowNode:
    return FlowNode("report", queue="paint", children=children, **options)


REMOVALS = {
    "remove": lambda queue, job_id: queue.remove(job_id),
    "drain": lambda queue, _: queue.drain(),
    "clean waiting": lambda queue, _: queue.clean(0, state="waiting"),
    "obliterate": lambda queue, _: queue.obliterate(),
}


@pytest.mark.parametrize("how", REMOVALS)
def test_removing_its_last_child_releases_a_parent_in_another_queue(
    flows: FlowProducer, queue: Queue, pages: Queue, how: str
) -> None:
    """BullMQ's own PostgreSQL backend leaves it waiting for ever (its defect 4)."""
    added = flows.add(report(page()))
    REMOVALS[how](pages, added.children[0].job.id)
    assert queue.get(added.job.id).state == "waiting"


@pytest.mark.parametrize("how", ["drain", "clean"])
def test_removing_a_delayed_child_releases_its_parent(
    flows: FlowProducer, queue: Queue, pages: Queue, how: str
) -> None:
    added = flows.add(report(page(delay=60)))
    if how == "drain":
        pages.drain()
    else:
        pages.clean(0, state="delayed")
    assert queue.get(added.job.id).state == "waiting"


def test_removing_one_of_several_children_leaves_the_others(
    flows: FlowProducer, queue: Queue, pages: Queue
) -> None:
    added = flows.add(report(page(1), page(2)))
    pages.remove(added.children[0].job.id)
    assert queue.get(added.job.id).state == "waiting_children"
    pages.remove(added.children[1].job.id)
    assert queue.get(added.job.id).state == "waiting"


def test_cleaning_an_expired_active_child_releases_its_parent(
    flows: FlowProducer, queue: Queue, pages: Queue, new_worker: Any
) -> None:
    added = flows.add(report(page()))
    worker = new_worker("pages")
    worker.claim()
    worker.miss_heartbeats()
    assert pages.clean(0, state="active") == [added.children[0].job.id]
    assert queue.get(added.job.id).state == "waiting"


def test_obliterating_running_children_releases_their_parent(
    flows: FlowProducer, queue: Queue, pages: Queue, new_worker: Any
) -> None:
    added = flows.add(report(page(), page()))
    worker = new_worker("pages")
    claimed = worker.claim()
    pages.obliterate(force=True)
    assert queue.get(added.job.id).state == "waiting"
    assert worker.finish(claimed) == []


def test_a_job_that_waits_for_children_can_be_removed_and_settles(
    flows: FlowProducer, queue: Queue, pages: Queue
) -> None:
    top = flows.add(report(page(children=[page(1)])))
    middle = top.children[0].job.id
    assert pages.get(middle).state == "waiting_children"
    assert pages.remove(middle)
    assert queue.get(top.job.id).state == "waiting"
    assert pages.counts().total == 0


def test_removing_a_parent_takes_all_below_it_along(
    flows: FlowProducer, queue: Queue, pages: Queue, sql: Sql
) -> None:
    added = flows.add(report(page(1), page(children=[report(page(2, delay=9))])))
    other = flows.add(report(page()))
    assert queue.remove(added.job.id)
    assert sql.value("SELECT count(*) FROM pgqueue.job") == 2
    assert queue.get(other.job.id).state == "waiting_children"
    assert not queue.remove(added.job.id)


def test_removing_a_parent_takes_finished_children_along_and_leaves_active_ones(
    flows: FlowProducer, queue: Queue, pages: Queue, new_worker: Any, sql: Sql
) -> None:
    added = flows.add(report(page(1), page(2), page(3)))
    worker = new_worker("pages")
    worker.finish(worker.claim())
    running = worker.claim()
    assert queue.remove(added.job.id)
    assert [job.id for job in pages.jobs()] == [running[0].id]
    assert worker.finish(running, result=3) == [running[0].id]
    assert sql.value("SELECT count(*) FROM pgqueue.settled") == 0


def test_children_may_outlive_their_parent(
    flows: FlowProducer, queue: Queue, pages: Queue, new_worker: Any, sql: Sql
) -> None:
    added = flows.add(report(page(1), page(2)))
    assert queue.remove(added.job.id, children=False)
    assert pages.count() == 2
    worker = new_worker("pages")
    worker.finish(worker.claim(2), result=1)
    assert sql.value("SELECT count(*) FROM pgqueue.settled") == 0


def test_an_active_parent_is_not_removed_and_its_children_stay(
    flows: FlowProducer, queue: Queue, pages: Queue, worker: HandWorker
) -> None:
    parent = queue.add("report")
    worker.claim()
    child = pages.add("page", parent=parent)
    with pytest.raises(JobStateError):
        queue.remove(parent.id)
    assert pages.get(child.id).state == "waiting"


def test_drain_keeps_parents_that_wait_and_those_that_it_released(
    flows: FlowProducer, queue: Queue, pages: Queue
) -> None:
    here = flows.add(report(FlowNode("child", queue="paint")))
    nested = flows.add(report(FlowNode("child", queue="paint", delay=60)))
    there = flows.add(report(page()))
    many = queue.add_bulk([])
    assert not many
    assert queue.drain() == 2
    assert queue.get(here.job.id).state == "waiting"
    assert queue.get(nested.job.id).state == "waiting"
    assert queue.get(there.job.id).state == "waiting_children"
    # What waited when the drain began goes.
    assert queue.drain() == 2
    assert queue.counts().total == 1


def test_clean_keeps_parents_that_wait(flows: FlowProducer, queue: Queue) -> None:
    added = flows.add(report(page()))
    for state in ("waiting", "prioritized", "delayed", "completed", "failed"):
        assert queue.clean(0, state=state) == []  # type: ignore[arg-type]
    assert queue.get(added.job.id).state == "waiting_children"


def test_obliterate_removes_parents_that_wait_and_settles_in_other_queues(
    flows: FlowProducer, queue: Queue, pages: Queue, sql: Sql
) -> None:
    top = flows.add(report(page(children=[report(page(1)), report(page(2))])))
    lonely = flows.add(page(children=[report(), report()]))
    queue.obliterate()
    assert queue.counts().total == 0
    middle = top.children[0].job.id
    assert pages.get(middle).state == "waiting"
    assert pages.get(lonely.job.id).state == "waiting"
    with pytest.raises(JobNotFound):
        queue.get(top.job.id)
    assert sql.value("SELECT count(*) FROM pgqueue.dependency") == 0


def test_last_children_removed_in_two_open_transactions_are_noticed_by_maintenance(
    flows: FlowProducer, queue: Queue, pages: Queue, dsn: str
) -> None:
    added = flows.add(report(page(1), page(2)))
    first, second = (child.job.id for child in added.children)
    with (
        Queue("pages", dsn=dsn) as mine,
        psycopg.connect(dsn) as one,
        psycopg.connect(dsn) as two,
    ):
        mine.remove(first, connection=one)
        mine.remove(second, connection=two)
    assert queue.get(added.job.id).state == "waiting_children"
    with psycopg.connect(dsn, autocommit=True) as connection:
        run(connection, release_forgotten(FIRST), "pgqueue")
    assert queue.get(added.job.id).state == "waiting"


@pytest.fixture
def held_commits(dsn: str, sql: Sql) -> Iterator[Callable[[int], None]]:
    """Hold every removal of a job at its commit, until so many wait for theirs."""
    sql.run(
        "CREATE FUNCTION public.hold() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        " PERFORM pg_advisory_xact_lock_shared(4711); RETURN NULL; END $$"
    )
    for happens in ("DELETE ON pgqueue.job", "INSERT ON pgqueue.finished"):
        sql.run(
            f"CREATE CONSTRAINT TRIGGER hold AFTER {happens}"
            " DEFERRABLE INITIALLY DEFERRED FOR EACH ROW"
            " EXECUTE FUNCTION public.hold()"
        )
    with psycopg.connect(dsn, autocommit=True) as gate:
        gate.execute("SELECT pg_advisory_lock(4711)")

        def let_go(waiting: int) -> None:
            until(
                lambda: (
                    sql.value(
                        "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"
                        " AND objid = 4711 AND NOT granted AND database ="
                        " (SELECT oid FROM pg_database WHERE datname = current_database())"
                    )
                    == waiting
                ),
                60,
                message=f"{waiting} removals are about to commit",
            )
            gate.execute("SELECT pg_advisory_unlock(4711)")

        yield let_go
    sql.run("DROP FUNCTION public.hold() CASCADE")


AT_ONCE = {
    "remove": lambda queue, job_id: queue.remove(job_id),
    "drain": lambda queue, _: queue.drain(),
    "clean": lambda queue, _: queue.clean(0, state="waiting"),
    "obliterate": lambda queue, _: queue.obliterate(),
    "cancel": lambda queue, job_id: queue.cancel(job_id),
}


@pytest.mark.parametrize("how", AT_ONCE)
def test_two_last_children_removed_at_the_same_moment_release_their_parent_at_once(
    shells: Shells,
    flows: FlowProducer,
    queue: Queue,
    held_commits: Callable[[int], None],
    how: str,
) -> None:
    """Each of the two overlooks the other in its transaction, and looks once more."""
    children = [
        FlowNode("page", queue=name, on_child_failure="ignore")
        for name in ("one", "two")
    ]
    added = flows.add(report(*children))
    both = Shells(shells.dsn, asynchronous=shells.asynchronous)
    try:
        removing = [
            threading.Thread(target=AT_ONCE[how], args=(one.queue(name), child.job.id))
            for one, name, child in zip(
                (shells, both), ("one", "two"), added.children, strict=True
            )
        ]
        for thread in removing:
            thread.start()
        held_commits(2)
        for thread in removing:
            thread.join()
    finally:
        both.close()
    assert queue.get(added.job.id).state == "waiting"


def test_fifty_children_removed_at_the_same_moment_release_their_parent_at_once(
    flows: FlowProducer,
    queue: Queue,
    held_commits: Callable[[int], None],
    dsn: str,
    sql: Sql,
) -> None:
    """All look at one moment, and the last of them to look sees all the others."""
    added = flows.add(report(*(page(n) for n in range(50))))

    def remove(job_id: int) -> None:
        with (
            psycopg.connect(dsn, autocommit=True) as own,
            Queue("pages", dsn=dsn) as it,
        ):
            it.remove(job_id, connection=own)

    removing = [
        threading.Thread(target=remove, args=(child.job.id,))
        for child in added.children
    ]
    for thread in removing:
        thread.start()
    held_commits(50)
    for thread in removing:
        thread.join()
    assert queue.get(added.job.id).state == "waiting"
    assert sql.value("SELECT count(*) FROM pgqueue.ready") == 1


def test_a_parent_is_not_released_while_a_child_is_being_added(
    flows: FlowProducer, queue: Queue, pages: Queue, new_worker: Any, dsn: str
) -> None:
    added = flows.add(report(page()))
    worker = new_worker("pages")
    claimed = worker.claim()
    with Queue("pages", dsn=dsn) as mine, psycopg.connect(dsn) as connection:
        mine.add("late", parent=added.job, connection=connection)
        # It does not wait for the open transaction either.
        worker.finish(claimed)
        assert queue.get(added.job.id).state == "waiting_children"
    assert queue.get(added.job.id).state == "waiting_children"
    worker.finish(worker.claim())
    assert queue.get(added.job.id).state == "waiting"


def test_a_parent_is_not_removed_while_a_child_is_being_added(
    flows: FlowProducer, queue: Queue, pages: Queue, dsn: str, sql: Sql
) -> None:
    parent = queue.add("report")
    removed: list[bool] = []

    def remove() -> None:
        with Queue("paint", dsn=dsn) as its:
            removed.append(its.remove(parent.id, children=False))

    with Queue("pages", dsn=dsn) as mine, psycopg.connect(dsn) as connection:
        mine.add("late", parent=parent, connection=connection)
        thread = threading.Thread(target=remove)
        thread.start()
        until(
            lambda: sql.value(
                "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
                " AND datname = current_database()"
            ),
            message="the removal waits",
        )
    thread.join()
    assert removed == [True]
    assert sql.value("SELECT count(*) FROM pgqueue.dependency") == 0
