"""Flows with real workers: handlers that add children, fan-in, and what a crash leaves."""

from __future__ import annotations

import itertools
import time
from collections import Counter
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

from pgqueue import (
    FlowNode,
    FlowProducer,
    JobNotFound,
    LeaseLost,
    NewJob,
    Queue,
    WaitForChildren,
    Worker,
)
from processes import Process
from waiting import until, until_async
from working import KINDS, drain, handler_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from conftest import Sql

each_kind = pytest.mark.parametrize("kind", KINDS)


@pytest.fixture
def flows(dsn: str, queue: Queue) -> Iterator[FlowProducer]:
    with FlowProducer(dsn=dsn) as flows:
        yield flows


def page(n: int = 0, **options: Any) -> FlowNode:
    return FlowNode("page", n, queue="pages", **options)


def report(*children: FlowNode, **options: Any) -> FlowNode:
    return FlowNode("report", queue="work", children=children, **options)


def body(job: Any) -> Any:
    if job.data == "bad":
        raise OSError("bad page")
    return job.data


@each_kind
async def test_a_parent_gets_what_its_children_returned(
    dsn: str, flows: FlowProducer, queue: Queue, kind: str
) -> None:
    added = flows.add(
        report(
            page(1, remove_on_complete=True),
            page(2),
            FlowNode("page", "bad", queue="pages", on_child_failure="ignore"),
            FlowNode("page", "bad", queue="pages", on_child_failure="remove"),
        )
    )
    seen: list[Any] = []

    async def on_the_loop(job: Any) -> Any:
        if job.queue == "pages":
            return body(job)
        seen.append(await job.children_failures())
        return list((await job.children_values()).values())

    def in_a_thread(job: Any) -> Any:
        if job.queue == "pages":
            return body(job)
        seen.append(job.children_failures())
        return list(job.children_values().values())

    handler = on_the_loop if kind == "async def" else in_a_thread
    await drain(Worker(["pages", "work"], handler, dsn=dsn, concurrency=2))
    assert queue.get(added.job.id).result == [1, 2]
    assert seen == [{added.children[2].job.id: "bad page"}]


@each_kind
@pytest.mark.parametrize("how", ["wait_children", "WaitForChildren"])
async def test_a_handler_adds_children_and_waits_for_them(
    dsn: str, queue: Queue, sql: Sql, kind: str, how: str
) -> None:
    job = queue.add("report", remove_on_complete=True, attempts=1)
    runs: list[tuple[int, list[int]]] = []
    added: list[Any] = []

    def wait(job: Any) -> None:
        if how == "wait_children":
            job.wait_children()
        raise WaitForChildren

    async def on_the_loop(job: Any) -> Any:
        if job.name == "page":
            return job.data
        values = await job.children_values()
        runs.append((job.attempt, sorted(values.values())))
        if len(values) < 3:
            tree = page(len(values), children=[page(9)])
            added.append(await job.add_child(tree))
            wait(job)
        return None

    def in_a_thread(job: Any) -> Any:
        if job.name == "page":
            return job.data
        values = job.children_values()
        runs.append((job.attempt, sorted(values.values())))
        if len(values) < 3:
            added.append(job.add_child(page(len(values), children=[page(9)])))
            wait(job)
        return None

    handler = on_the_loop if kind == "async def" else in_a_thread
    await drain(Worker(["work", "pages"], handler, dsn=dsn))
    assert runs == [(1, []), (1, [0]), (1, [0, 1]), (1, [0, 1, 2])]
    assert [one.job.parent_id for one in added] == [job.id] * 3
    assert [one.job.state for one in added] == ["waiting_children"] * 3
    # The parent was not kept, and what it was left went with it.
    for table in ("settled", "dependency", "blocked"):
        assert not sql.value(
            f"SELECT count(*) FROM pgqueue.{table} t JOIN pgqueue.queue q"
            " ON q.id = t.queue_id AND q.name = 'work'"
        ), table


@each_kind
async def test_waiting_for_no_children_runs_again_at_once(
    dsn: str, queue: Queue, kind: str
) -> None:
    job = queue.add("report")
    runs: list[int] = []

    def once(job: Any) -> None:
        runs.append(job.attempt)
        if len(runs) == 1:
            job.wait_children()

    await drain(Worker("work", handler_of(kind, once), dsn=dsn))
    assert (runs, queue.get(job.id).state) == ([1, 1], "completed")


async def test_a_job_whose_lease_was_lost_adds_no_child(
    dsn: str, queue: Queue, sql: Sql
) -> None:
    queue.add("report")
    refused: list[BaseException] = []

    async def handler(job: Any) -> None:
        sql.run("DELETE FROM pgqueue.lease")
        sql.run(
            "INSERT INTO pgqueue.ready SELECT id, id, queue_id, 0, 0, 0, false"
            " FROM pgqueue.job WHERE name = 'report'"
        )
        try:
            await job.add_child(page())
        except LeaseLost as error:
            refused.append(error)

    worker = Worker("work", handler, dsn=dsn)
    async with worker:
        await until_async(lambda: refused)
        queue.pause()
    assert sql.value("SELECT count(*) FROM pgqueue.job WHERE name = 'page'") == 0


async def test_failure_goes_up_through_queues_and_keeps_to_each_ones_retention(
    dsn: str, flows: FlowProducer, queue: Queue
) -> None:
    bad = FlowNode("page", "bad", queue="pages", attempts=2)
    top = flows.add(report(page(1, children=[report(bad, remove_on_fail=True)])))
    await drain(Worker(["pages", "work"], handler_of("def", body), dsn=dsn))
    middle = top.children[0].job
    with Queue("pages", dsn=dsn) as pages:
        assert pages.get(middle.id).state == "failed"
    with pytest.raises(JobNotFound):
        queue.get(top.children[0].children[0].job.id)
    stored = queue.get(top.job.id)
    assert stored.state == "failed"
    assert stored.error is not None
    assert stored.error.endswith("bad page")


async def test_a_delayed_parent_runs_when_it_is_due(
    dsn: str, flows: FlowProducer, queue: Queue
) -> None:
    added = flows.add(report(page(), delay=0.4))
    async with Worker(["pages", "work"], handler_of("def", body), dsn=dsn):
        await until_async(lambda: queue.get(added.job.id).state == "completed")
    stored = queue.get(added.job.id)
    assert added.job.run_at is not None
    assert stored.started_at is not None
    assert stored.started_at >= added.job.run_at


STUCK = """
    CREATE FUNCTION pgqueue.release(queue_ids integer[], job_ids bigint[])
    RETURNS TABLE (queue_id integer, job_id bigint, parent_queue_id integer,
                   parent_id bigint)
    LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(60); END $$
"""


async def test_a_worker_killed_between_settling_and_releasing_leaves_no_parent_behind(
    dsn: str, flows: FlowProducer, queue: Queue, sql: Sql
) -> None:
    added = flows.add(report(page()))
    sql.run("ALTER FUNCTION pgqueue.release RENAME TO release_of_old")
    sql.run(STUCK)
    try:
        with Process(dsn, queue="pages") as process:
            until(
                lambda: sql.value(
                    "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'"
                    " AND datname = current_database()"
                )
            )
            process.kill()
    finally:
        sql.run(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE wait_event = 'PgSleep' AND datname = current_database()"
        )
        sql.run("DROP FUNCTION pgqueue.release")
        sql.run("ALTER FUNCTION pgqueue.release_of_old RENAME TO release")
    assert sql.value("SELECT count(*) FROM pgqueue.settled") == 1
    assert queue.get(added.job.id).state == "waiting_children"
    async with Worker("other", handler_of("def", body), dsn=dsn, lease=1):
        await until_async(lambda: queue.get(added.job.id).state == "waiting")


@pytest.mark.slow
def test_a_parent_is_released_once_by_four_processes_that_finish_its_children(
    dsn: str, flows: FlowProducer, queue: Queue
) -> None:
    children = [FlowNode("page", {"result": n}, queue="work") for n in range(1000)]
    with ExitStack() as stack:
        started = [
            stack.enter_context(Process(dsn, kind="async def", concurrency=20))
            for _ in range(4)
        ]

        def ran() -> Counter[int]:
            return Counter(run["id"] for one in started for run in one.said("run"))

        for turn in itertools.count(1):
            added = flows.add(report(*children))
            until(lambda: queue.get(added.job.id).state == "completed", 60)  # noqa: B023
            assert queue.counts().completed == turn * 1001
            # What a process says comes through a pipe, later than what it commits.
            until(lambda: len(ran()) == turn * 1001)  # noqa: B023
            # One that only looks now and then may find the work of a turn done.
            if turn >= 3 and all(process.said("run") for process in started):
                break
    assert set(ran().values()) == {1}


@pytest.mark.slow
async def test_ten_thousand_children_do_not_queue_up_at_their_parents_row(
    dsn: str, flows: FlowProducer, queue: Queue, sql: Sql
) -> None:
    many = 10_000

    async def nothing(job: Any) -> None:
        pass

    async def took(*queues: str) -> float:
        began = time.perf_counter()
        await drain(Worker(list(queues), nothing, dsn=dsn, concurrency=100), 90)
        return time.perf_counter() - began

    with Queue("plain", dsn=dsn) as plain:
        plain.add_bulk([NewJob("page") for _ in range(many)])
    alone = await took("plain")
    children = [FlowNode("page", queue="pages") for _ in range(many)]
    added = flows.add(report(*children))
    together = await took("pages", "work")
    assert queue.get(added.job.id).state == "completed"
    assert sql.value("SELECT count(*) FROM pgqueue.settled") == many
    sql.run("ANALYZE")
    # Measured 1.9 to 2.2: a row more to delete and one more to write for each.
    assert together / alone < 8, (together, alone)
