"""A round of maintenance: it does what there is to do, and else it is a look."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from claims import HandWorker
from pgqueue import Dedup, FlowNode, FlowProducer, NewJob, Queue, QueueEvents, Worker
from pgqueue import sql as statements
from pgqueue.config import Settings
from pgqueue.worker.emitter import Emitter
from pgqueue.worker.maintenance import Maintenance
from waiting import until_async

if TYPE_CHECKING:
    from collections.abc import Callable

    from conftest import Sql

AGO = "now() - interval '1 day'"
Prepare = "Callable[[Queue, HandWorker, Sql], Any]"


async def rounds(dsn: str, count: int = 1, *, full: bool = False) -> list[str]:
    """Go round as a worker of the queue does; return the statements that were sent."""
    sent: list[str] = []
    load = statements.load
    with psycopg.connect(dsn) as looking:
        [queue_id] = looking.execute("SELECT id FROM pgqueue.queue").fetchone() or (0,)
    upkeep = Maintenance(Settings.load(dsn), Emitter(), {"work": queue_id}, 1)
    # Not the first round: once a minute it looks at more.
    upkeep._looked = -1e18 if full else 1e18
    async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as own:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(
                statements, "load", lambda *given: sent.append(given[0]) or load(*given)
            )
            for _ in range(count):
                await upkeep.once(own)
    return sent


def expired(queue: Queue, worker: HandWorker, sql: Sql) -> None:
    queue.add("n")
    worker.finish(worker.claim())
    sql.run(f"UPDATE pgqueue.finished SET expires_at = {AGO}")


def beyond_the_number(queue: Queue, worker: HandWorker, sql: Sql) -> None:
    for end in (worker.finish, worker.fail):
        for _ in range(2):
            queue.add("n")
            end(worker.claim(), keep=True, count=1)


def of_a_dead_worker(queue: Queue, worker: HandWorker, sql: Sql) -> None:
    queue.add("n")
    worker.claim()
    worker.miss_heartbeats()
    sql.run(f"UPDATE pgqueue.lease SET claimed_at = {AGO}")


def of_a_worker_without_a_row(queue: Queue, worker: HandWorker, sql: Sql) -> None:
    of_a_dead_worker(queue, worker, sql)
    sql.run("DELETE FROM pgqueue.worker")


def long_dead(queue: Queue, worker: HandWorker, sql: Sql) -> None:
    sql.run(f"UPDATE pgqueue.worker SET dead_at = {AGO}")


def without_its_job(queue: Queue, worker: HandWorker, sql: Sql) -> None:
    made = queue.upsert_schedule("s", every=3600)
    queue.remove(made.job_id or 0)


def waiting_for_nothing(queue: Queue, worker: HandWorker, sql: Sql) -> None:
    child = FlowNode("n", queue="work")
    with FlowProducer(dsn=queue._settings.dsn) as flows:
        flows.add(FlowNode("n", queue="work", children=[child]))
    worker.releases = False
    worker.finish(worker.claim())


def cancelled_in_vain(queue: Queue, worker: HandWorker, sql: Sql) -> None:
    job = queue.add("n")
    claimed = worker.claim()
    queue.cancel(job.id)
    worker.finish(claimed, "waiting")


def throttled_before(queue: Queue, worker: HandWorker, sql: Sql) -> None:
    queue.add("n", dedup=Dedup("one", ttl=5))
    sql.run(f"UPDATE pgqueue.dedup SET expires_at = {AGO}")


def kept_back(queue: Queue, worker: HandWorker, sql: Sql) -> None:
    rule = Dedup("one", keep_last_if_active=True)
    queue.add("n", dedup=rule)
    claimed = worker.claim()
    queue.add("n", dedup=rule)
    worker.finish(claimed)


def started_before(queue: Queue, worker: HandWorker, sql: Sql) -> None:
    queue.set_group_rate_limit("g", 5, 60)
    queue.add("n", group="g")
    worker.finish(worker.claim_grouped())
    sql.run(f"UPDATE pgqueue.group_rate SET passed_at = {AGO}")


def held_before(queue: Queue, worker: HandWorker, sql: Sql) -> None:
    queue.pause_group("g")
    sql.run(f"UPDATE pgqueue.group_limit SET limited_until = {AGO}")


def told_of_nothing(queue: Queue, worker: HandWorker, sql: Sql) -> None:
    job = queue.add("n")
    queue.log(job.id, "a line")
    sql.run("DELETE FROM pgqueue.ready; DELETE FROM pgqueue.job")


def reported_of_nothing(queue: Queue, worker: HandWorker, sql: Sql) -> None:
    queue.add("n")
    worker.report(worker.claim()[0], 5)
    sql.run("DELETE FROM pgqueue.lease; DELETE FROM pgqueue.job")


def read_by_nobody(queue: Queue, worker: HandWorker, sql: Sql) -> None:
    sql.run("UPDATE pgqueue.queue SET events = true")
    queue.add("n")
    sql.run("UPDATE pgqueue.queue SET events = false")


def unread_for_too_long(queue: Queue, worker: HandWorker, sql: Sql) -> None:
    with QueueEvents("work", "one", dsn=queue._settings.dsn) as events:
        events.subscribe()
    queue.add("n")
    sql.run(f"UPDATE pgqueue.event SET at = {AGO} - interval '1 hour'")


NEEDS: dict[Any, str] = {
    expired: "finished",
    beyond_the_number: "finished OFFSET 2",
    of_a_dead_worker: "lease",
    of_a_worker_without_a_row: "lease",
    long_dead: "worker",
    without_its_job: "schedule s WHERE NOT EXISTS (SELECT FROM pgqueue.job)",
    waiting_for_nothing: "blocked",
    cancelled_in_vain: "cancelled",
    throttled_before: "dedup",
    kept_back: "dedup WHERE next IS NOT NULL",
    started_before: "group_rate",
    held_before: "group_limit WHERE limited_until IS NOT NULL",
    told_of_nothing: "log",
    reported_of_nothing: "progress",
    read_by_nobody: "event",
    unread_for_too_long: "event",
}
"""What may be left to do, and what there is as long as it is not done."""


@pytest.mark.parametrize("prepare", NEEDS, ids=lambda function: function.__name__)
async def test_a_round_does_what_is_left_to_do(
    dsn: str, queue: Queue, sql: Sql, prepare: Callable[..., None]
) -> None:
    worker = HandWorker(dsn, "work")
    left = f"SELECT FROM pgqueue.{NEEDS[prepare]}"
    prepare(queue, worker, sql)
    assert sql.all(left)
    await rounds(dsn)
    assert sql.all(left) == []
    worker.close()


async def test_once_a_minute_a_round_counts_what_nobody_has_read(
    dsn: str, queue: Queue, sql: Sql
) -> None:
    with QueueEvents("work", "one", dsn=dsn) as events:
        events.subscribe()
    queue.add_bulk([NewJob("n")] * 20)
    queue.set_event_bounds(count=10)
    await rounds(dsn)
    assert sql.value("SELECT count(*) FROM pgqueue.event") == 40
    await rounds(dsn, full=True)
    assert sql.value("SELECT count(*) FROM pgqueue.event") == 10
    assert sql.value("SELECT lost FROM pgqueue.subscriber")


async def test_a_worker_that_runs_on_writes_its_minutes_down(
    dsn: str, queue: Queue
) -> None:
    async def handler(_job: Any) -> None: ...

    def metered() -> int:
        return sum(minute.completed for minute in queue.metrics())

    queue.add("n")
    async with Worker("work", handler, lease=1.5, dsn=dsn):
        await until_async(lambda: metered() == 1)
        queue.add("n")
        await until_async(lambda: metered() == 2)


async def test_a_round_without_anything_to_do_is_one_statement(
    dsn: str, queue: Queue
) -> None:
    worker = HandWorker(dsn, "work")
    queue.set_concurrency(1)
    for _ in range(3):
        queue.add("n")
    worker.fail(worker.claim())
    worker.claim()
    assert await rounds(dsn, 3) == ["find_upkeep"] * 3
    worker.close()
