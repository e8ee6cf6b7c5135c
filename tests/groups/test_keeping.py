"""A job stays in its group, wherever it goes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from claims import HandWorker
from invariants import assert_consistent
from pgqueue import (
    Dedup,
    FlowNode,
    FlowProducer,
    NewJob,
    Queue,
    RateLimited,
    RetryLater,
    Worker,
)
from pgqueue.db.run import run
from pgqueue.ops import maintenance
from waiting import until_async
from working import drain

if TYPE_CHECKING:
    from conftest import Sql

SETTLED = 'SELECT "group" FROM pgqueue.jobs WHERE id = %s'


def group_of(sql: Sql, job_id: int) -> Any:
    assert_consistent(sql)
    return sql.value(SETTLED, [job_id])


async def noop(job: Any) -> None:
    pass


async def test_a_delayed_job_is_promoted_into_its_group(
    dsn: str, queue: Queue, sql: Sql
) -> None:
    due = queue.add("n", delay=0.1, group="a", priority=3)
    later = [queue.add("n", delay=900, group="b").id for _ in range(2)]
    assert queue.promote(later[0])
    assert queue.promote_all() >= 1
    assert [queue.get(each).group for each in later] == ["b", "b"]
    assert queue.get(due.id).priority == 3
    await drain(Worker("work", noop, dsn=dsn))
    assert group_of(sql, due.id) == "a"
    assert queue.counts().completed == 3


async def test_a_retry_goes_back_to_its_group(dsn: str, queue: Queue, sql: Sql) -> None:
    raised: list[Exception] = [
        ValueError("now"),
        RetryLater(0.05),
        RateLimited(0.05),
        ValueError("for good"),
    ]
    seen: list[str] = []

    async def handler(job: Any) -> None:
        seen.append(job.group)
        assert_consistent(sql)
        if raised:
            raise raised.pop(0)

    job = queue.add("n", group="a", attempts=2)
    async with Worker("work", handler, dsn=dsn, concurrency=1):
        await until_async(lambda: queue.get(job.id).state == "failed")
    assert group_of(sql, job.id) == "a"
    queue.retry(job.id)
    assert group_of(sql, job.id) == "a"
    await drain(Worker("work", handler, dsn=dsn))
    queue.retry_all("completed")
    assert group_of(sql, job.id) == "a"
    await drain(Worker("work", handler, dsn=dsn))
    assert seen == ["a"] * 6


async def test_parents_and_children_keep_their_groups(
    dsn: str, queue: Queue, sql: Sql
) -> None:
    seen: list[tuple[str, str]] = []

    async def handler(job: Any) -> None:
        seen.append((job.name, job.group))

    with FlowProducer(dsn=dsn) as flows:
        tree = flows.add(
            FlowNode(
                "top",
                queue="work",
                group="up",
                children=[FlowNode("leaf", queue="work", group="down")],
            )
        )
    assert tree.job.group == "up"
    assert_consistent(sql)
    await drain(Worker("work", handler, dsn=dsn))
    assert seen == [("leaf", "down"), ("top", "up")]


async def test_what_is_kept_back_is_added_to_its_group(
    dsn: str, queue: Queue, sql: Sql
) -> None:
    seen: list[str] = []

    async def handler(job: Any) -> None:
        seen.append(job.group)
        if len(seen) == 1:
            dedup = Dedup("x", keep_last_if_active=True)
            queue.add("n", group="b", dedup=dedup)

    queue.add("n", group="a", dedup=Dedup("x"))
    await drain(Worker("work", handler, dsn=dsn))
    assert seen == ["a", "b"]


async def test_jobs_of_a_schedule_are_of_its_group(dsn: str, queue: Queue) -> None:
    seen: list[str] = []

    async def handler(job: Any) -> None:
        seen.append(job.group)

    queue.upsert_schedule("s", every=0.2, group="a")
    async with Worker("work", handler, dsn=dsn):
        await until_async(lambda: len(seen) >= 3)
    assert set(seen) == {"a"}


def test_jobs_of_a_dead_worker_go_back_to_their_group(
    dsn: str, queue: Queue, sql: Sql
) -> None:
    ids = [queue.add("n", group="a", priority=2).id for _ in range(2)]
    worker = HandWorker(dsn, "work")
    assert [job.id for job in worker.claim_grouped(5)] == ids
    assert queue.counts().active == 2
    worker.miss_heartbeats()
    sql.run("UPDATE pgqueue.lease SET claimed_at = claimed_at - interval '1 minute'")
    with psycopg.connect(dsn, autocommit=True) as connection:
        run(connection, maintenance.recover(1), "pgqueue")
    worker.close()
    assert [group_of(sql, each) for each in ids] == ["a", "a"]
    assert queue.counts().prioritized == 2


def test_what_is_added_from_sql_has_its_group(queue: Queue, sql: Sql) -> None:
    job = sql.value("""SELECT pgqueue.add('work', 'n', "group" => 'a')""")
    assert queue.get(job).group == "a"
    bulk = sql.value(
        "SELECT id FROM pgqueue.add_jobs('work', %s)", ['[{"name":"n","group":"b"}]']
    )
    assert queue.get(bulk).group == "b"


@pytest.mark.parametrize("priority", [0, 5])
def test_every_getter_and_every_removal_sees_jobs_of_groups(
    queue: Queue, sql: Sql, priority: int
) -> None:
    plain = queue.add("n", priority=priority)
    ids = queue.add_bulk([NewJob("n", group=g, priority=priority) for g in "abcdef"])
    state = "prioritized" if priority else "waiting"
    assert getattr(queue.counts(), state) == queue.count() == 7
    listed = queue.jobs(state)
    assert [job.id for job in listed] == [plain.id, *(job.id for job in ids)]
    assert {job.priority for job in listed} == {priority}
    assert [job.group for job in listed] == [None, *"abcdef"]
    first = queue.jobs(state, limit=3)
    rest = queue.jobs(state, after=first.cursor)
    assert [*first, *rest] == [*listed]
    assert queue.counts_per_priority([priority]) == {priority: 7}
    assert [job.id for job in queue.search("group:c")] == [ids[2].id]
    row = sql.all('SELECT state, priority, "group" FROM pgqueue.jobs ORDER BY id')[-1]
    assert tuple(row) == ("waiting", priority, "f")
    assert queue.remove(ids[0].id)
    queue.cancel(ids[1].id)
    assert queue.get(ids[1].id).state == "failed"
    queue.update_data(ids[2].id, {"a": 1})
    queue.change_priority(ids[2].id, 9)
    found = queue.get(ids[2].id)
    assert (found.priority, found.group, found.data) == (9, "c", {"a": 1})
    assert_consistent(sql)
    assert len(queue.clean(0, 1, state)) == 1
    assert queue.drain() == 4
    assert queue.count() == 0
    queue.pause_group("a")
    queue.obliterate()
    assert queue.groups() == []
