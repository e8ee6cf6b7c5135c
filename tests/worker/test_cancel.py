"""`cancel`: what waits fails at once, what runs is stopped wherever it is."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from claims import HandWorker
from isolated_handlers import by_kind
from pgqueue import (
    Dedup,
    FlowNode,
    FlowProducer,
    JobNotFound,
    JobStateError,
    Queue,
    Worker,
)
from pgqueue.db.run import run
from pgqueue.ops import maintenance, schedules
from pgqueue.testing import travel
from pgqueue.worker import executor
from pgqueue.worker.cancelling import Cancelling
from pgqueue.worker.session import Session
from processes import Process
from waiting import until, until_async
from working import Heard, drain

if TYPE_CHECKING:
    from conftest import Sql
    from working import Facts


class Runs:
    """A handler, async or not, that runs until it is told to stop."""

    def __init__(self, kind: str) -> None:
        self.started = threading.Event()
        self.told: list[str] = []
        self.handler: Any = self._async if kind == "async def" else self._sync

    async def _async(self, _job: Any) -> None:
        self.started.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.told.append("cancelled")
            raise

    def _sync(self, job: Any) -> str:
        self.started.set()
        pause = threading.Event()
        while not job.cancelled:
            pause.wait(0.01)
        self.told.append("cancelled")
        return "stopped"


async def ended(queue: Queue, job_id: int) -> Any:
    await until_async(lambda: queue.get(job_id).state == "failed")
    return queue.get(job_id)


@pytest.mark.parametrize("listen", ["auto", "off"])
@pytest.mark.parametrize("kind", ["async def", "def"])
async def test_a_running_job_is_stopped_and_not_retried(
    dsn: str, queue: Queue, kind: str, listen: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGQUEUE_LISTEN", listen)
    runs = Runs(kind)
    # Without the doorbell the heartbeat tells, every third of the lease.
    lease = 30 if listen == "auto" else 6
    worker = Worker("work", runs.handler, lease=lease, dsn=dsn)
    heard = Heard(worker, "failed", "completed")
    job = queue.add("paint", attempts=5)
    async with worker:
        await until_async(runs.started.is_set)
        if listen == "auto":
            await until_async(lambda: listening(queue, dsn))
        assert queue.cancel(job.id).state == "active"
        found = await ended(queue, job.id)
    assert (found.error, found.attempt) == ("cancelled", 1)
    assert runs.told == ["cancelled"]
    ((_, error),) = heard.of("failed")
    assert not error.will_retry
    assert not heard.of("completed")


def listening(queue: Queue, dsn: str) -> bool:
    with psycopg.connect(dsn) as connection:
        row = connection.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
            " AND query LIKE 'LISTEN%'"
        ).fetchone()
    return bool(row and row[0])


async def test_a_process_that_runs_a_cancelled_job_is_killed(
    dsn: str, queue: Queue
) -> None:
    job = queue.add("x", "hang", attempts=3)
    worker = Worker("work", by_kind, isolation="process", lease=1.5, dsn=dsn)
    async with worker:
        await until_async(lambda: queue.get(job.id).state == "active", 20)
        queue.cancel(job.id)
        found = await ended(queue, job.id)
    assert (found.error, found.attempt) == ("cancelled", 1)


async def test_a_handler_that_is_deaf_to_its_cancellation_is_let_go(
    dsn: str, queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(executor, "CANCEL_GRACE", 0.05)
    goes_on = asyncio.Event()

    async def deaf(job: Any) -> None:
        while not goes_on.is_set():
            try:
                await goes_on.wait()
            except asyncio.CancelledError:
                continue

    job = queue.add("paint")
    async with Worker("work", deaf, lease=1.5, dsn=dsn):
        await until_async(lambda: queue.get(job.id).state == "active")
        queue.cancel(job.id)
        assert (await ended(queue, job.id)).error == "cancelled"
        goes_on.set()


async def test_a_job_that_was_claimed_ahead_is_not_started(
    dsn: str, queue: Queue
) -> None:
    started: list[int] = []
    go_on = asyncio.Event()

    async def body(job: Any) -> None:
        started.append(job.id)
        await go_on.wait()

    first, second = queue.add("a"), queue.add("b")
    worker = Worker("work", body, concurrency=1, lease=1.5, dsn=dsn)
    async with worker:
        await until_async(lambda: started == [first.id])
        queue.cancel(second.id)
        await ended(queue, second.id)
        go_on.set()
        await until_async(lambda: queue.get(first.id).state == "completed")
    assert started == [first.id]


@pytest.mark.parametrize(
    "options", [{}, {"delay": 60}, {"priority": 3}, {"lifo": True}, {"group": "g"}]
)
def test_a_job_that_waits_fails_at_once(
    queue: Queue, options: dict[str, Any], sql: Sql
) -> None:
    job = queue.add("paint", dedup=Dedup("one"), **options)
    found = queue.cancel(job.id)
    assert (found.state, found.error, found.attempt) == ("failed", "cancelled", 0)
    assert found.finished_at
    assert queue.count() == 0
    assert sql.value("SELECT count(*) FROM pgqueue.dedup") == 0
    assert sql.value("SELECT expires_at - finished_at FROM pgqueue.finished").days == 30
    with pytest.raises(JobStateError, match="failed"):
        queue.cancel(job.id)
    with pytest.raises(JobNotFound):
        queue.cancel(99)


def test_a_job_that_has_completed_cannot_be_cancelled(dsn: str, queue: Queue) -> None:
    job = queue.add("paint")
    worker = HandWorker(dsn, "work")
    worker.finish(worker.claim())
    with pytest.raises(JobStateError, match="completed"):
        queue.cancel(job.id)
    assert queue.get(job.id).state == "completed"
    worker.close()


@pytest.mark.parametrize("kind", ["async def", "def"])
def test_a_job_is_stopped_in_the_process_of_another_worker(
    dsn: str, queue: Queue, kind: str
) -> None:
    job = queue.add("paint", {"until_cancelled": True}, attempts=3)
    with Process(dsn, kind=kind, lease=1.5) as process:
        process.until("run")
        queue.cancel(job.id)
        process.until("cancelled")
        until(lambda: queue.get(job.id).state == "failed")
        assert process.alive
    assert (queue.get(job.id).error, queue.get(job.id).attempt) == ("cancelled", 1)
    assert len(process.said("run")) == 1


async def test_a_cancelled_job_can_be_retried(dsn: str, queue: Queue) -> None:
    job = queue.add("paint")
    queue.cancel(job.id)
    queue.retry(job.id)
    await drain(Worker("work", lambda _: None, dsn=dsn))
    assert queue.get(job.id).state == "completed"


def maintain(sql: Sql, queue_id: int) -> None:
    run(sql.connection, maintenance.recover(1), "pgqueue")
    run(sql.connection, maintenance.settle_queue(queue_id), "pgqueue")


def test_a_job_whose_worker_died_is_cancelled_instead_of_run_again(
    dsn: str, queue: Queue, sql: Sql
) -> None:
    job = queue.add("paint")
    worker = HandWorker(dsn, "work")
    worker.claim()
    assert queue.cancel(job.id).state == "active"
    travel(hours=1, connection=sql.connection)
    maintain(sql, worker.queue_id)
    assert (queue.get(job.id).state, queue.get(job.id).error) == ("failed", "cancelled")
    assert sql.value("SELECT count(*) FROM pgqueue.cancelled") == 0
    worker.close()


@pytest.mark.parametrize("state", ["waiting", "delayed"])
def test_a_job_that_was_put_back_unheard_is_cancelled_later(
    dsn: str, queue: Queue, sql: Sql, state: str
) -> None:
    job = queue.add("paint")
    worker = HandWorker(dsn, "work")
    jobs = worker.claim()
    queue.cancel(job.id)
    worker.finish(jobs, state, delay=60)
    maintain(sql, worker.queue_id)
    assert (queue.get(job.id).state, queue.get(job.id).error) == ("failed", "cancelled")
    worker.close()


def test_a_mark_of_a_job_that_ended_first_stops_no_later_run(
    dsn: str, queue: Queue, sql: Sql
) -> None:
    job = queue.add("paint")
    worker = HandWorker(dsn, "work")
    jobs = worker.claim()
    queue.cancel(job.id)
    worker.finish(jobs)
    assert queue.retry(job.id).state == "waiting"
    assert sql.value("SELECT count(*) FROM pgqueue.cancelled") == 0
    jobs = worker.claim()
    queue.cancel(job.id)
    worker.finish(jobs)
    maintain(sql, worker.queue_id)
    assert sql.value("SELECT count(*) FROM pgqueue.cancelled") == 0
    assert queue.get(job.id).state == "completed"
    worker.close()


def test_cancel_and_claim_at_once_leave_each_job_to_one_of_them(
    dsn: str, queue: Queue, sql: Sql
) -> None:
    ids = [queue.add("n").id for _ in range(60)]
    worker = HandWorker(dsn, "work")
    claimed: list[Any] = []
    done = threading.Event()

    def claim() -> None:
        while not done.is_set():
            claimed.extend(worker.claim(3))

    thread = threading.Thread(target=claim)
    thread.start()
    states = [queue.cancel(job_id).state for job_id in reversed(ids)]
    done.set()
    thread.join()
    claimed.extend(worker.claim(60))
    assert states.count("failed") + len(claimed) == 60
    marked = sql.value("SELECT count(*) FROM pgqueue.cancelled")
    assert marked == len(claimed)
    worker.close()


@pytest.mark.parametrize("policy", ["fail", "continue", "ignore", "remove"])
def test_a_cancelled_child_counts_as_failed_for_its_parent(
    dsn: str, queue: Queue, policy: Any
) -> None:
    child = FlowNode("child", queue="work", on_child_failure=policy)
    with FlowProducer(dsn=dsn) as flows:
        flow = flows.add(FlowNode("parent", queue="work", children=[child]))
    queue.cancel(flow.children[0].job.id)
    parent = queue.get(flow.job.id)
    assert parent.state == ("failed" if policy == "fail" else "waiting")


def test_a_parent_that_waits_for_children_can_be_cancelled(
    dsn: str, queue: Queue
) -> None:
    with FlowProducer(dsn=dsn) as flows:
        child = FlowNode("child", queue="work")
        flow = flows.add(FlowNode("parent", queue="work", children=[child]))
    assert queue.cancel(flow.job.id).error == "cancelled"
    assert queue.get(flow.children[0].job.id).state == "waiting"


def test_a_schedule_outlives_its_cancelled_job(
    dsn: str, queue: Queue, sql: Sql
) -> None:
    queue.upsert_schedule("tick", every=3600, limit=9)
    pending = queue.jobs()[0]
    queue.cancel(pending.id)
    queue_id = sql.value("SELECT id FROM pgqueue.queue")
    run(sql.connection, schedules.repair([queue_id]), "pgqueue")
    (following,) = queue.jobs(["waiting", "delayed"])
    assert following.id != pending.id


class Gate:
    """Holds the answer to the claim that won a job, after its commit."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.held, self.open = asyncio.Event(), asyncio.Event()
        self.heard: list[int] = []
        exchange, cancel = Session._pipeline, Cancelling.cancel

        async def slow(session: Any, connection: Any, statements: Any) -> Any:
            answers = await exchange(session, connection, statements)
            pairs = zip(statements, answers, strict=True)
            if any(one.name == "claim_jobs" and rows for one, rows in pairs):
                self.held.set()
                await self.open.wait()
            return answers

        def note(cancelling: Cancelling, job_ids: Any) -> None:
            self.heard += job_ids
            cancel(cancelling, job_ids)

        monkeypatch.setattr(Session, "_pipeline", slow)
        monkeypatch.setattr(Cancelling, "cancel", note)


async def test_a_job_that_is_cancelled_before_its_claim_came_back_stops_at_once(
    dsn: str, queue: Queue, facts: Facts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGQUEUE_LISTEN", "auto")
    gate = Gate(monkeypatch)
    runs = Runs("async def")
    # The heartbeat would tell in 20 minutes.
    async with Worker("work", runs.handler, lease=3600, dsn=dsn):
        await until_async(lambda: facts.count("listener.ready"))
        job = queue.add("paint")
        await until_async(gate.held.is_set)
        assert queue.cancel(job.id).state == "active"
        await until_async(lambda: gate.heard == [job.id])
        gate.open.set()
        assert (await ended(queue, job.id)).error == "cancelled"


async def test_a_cancellation_of_anothers_job_stops_no_job_that_is_claimed_meanwhile(
    dsn: str, queue: Queue, facts: Facts, sql: Sql, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGQUEUE_LISTEN", "auto")
    gate = Gate(monkeypatch)
    async with Worker("work", lambda _: None, lease=3600, dsn=dsn):
        await until_async(lambda: facts.count("listener.ready"))
        job = queue.add("paint")
        await until_async(gate.held.is_set)
        # As if the job had been cancelled, ended and retried before this claim.
        sql.run("SELECT pg_notify('pgqueue.doorbell', 'cancel ' || %s::text)", [job.id])
        await until_async(lambda: gate.heard == [job.id])
        gate.open.set()
        await until_async(lambda: queue.get(job.id).state == "completed")


async def test_a_cancellation_while_nobody_listens_is_seen_once_somebody_does(
    dsn: str, queue: Queue, facts: Facts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGQUEUE_LISTEN", "auto")
    runs = Runs("async def")
    job = queue.add("paint")
    # The heartbeat would tell in 20 minutes.
    async with Worker("work", runs.handler, lease=3600, dsn=dsn):
        await until_async(runs.started.is_set)
        await until_async(lambda: facts.count("listener.ready"))
        with psycopg.connect(dsn) as connection:
            queue.cancel(job.id, connection=connection)
            # The listener is gone when the cancellation is told.
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND query LIKE 'LISTEN%'"
            )
        assert (await ended(queue, job.id)).error == "cancelled"
