"""Batches that are cancelled, cut off, lost, or whose worker died before."""

from __future__ import annotations

import asyncio
import os
import threading
from typing import TYPE_CHECKING, Any

import pytest

from isolated_handlers import batch_of_pids, batch_of_pids_async, batch_that_fails
from pgqueue import Batch, NewJob, Queue, Worker
from waiting import until_async
from working import KINDS, Facts, Heard, drain

if TYPE_CHECKING:
    from conftest import Sql

each_kind = pytest.mark.parametrize("kind", KINDS)


def add(queue: Queue, count: int) -> list[int]:
    jobs = queue.add_bulk([NewJob("x", n) for n in range(count)])
    return [job.id for job in jobs]


# Without the doorbell the heartbeat tells of a cancellation, every third of the lease.
HEARD: dict[str, Any] = {"lease": 6}


class Held:
    """A handler that is held until `go`, and shows its jobs meanwhile."""

    def __init__(self, kind: str) -> None:
        self.jobs: list[Any] = []
        self.go = threading.Event()
        self.ended: list[str] = []
        self.handler = self._on_loop if kind == "async def" else self._in_thread

    async def _on_loop(self, jobs: Any) -> Any:
        self.jobs = jobs
        try:
            await until_async(self.go.is_set, 60)
        except asyncio.CancelledError:
            self.ended.append("cancelled")
            raise
        return ["done"] * len(jobs)

    def _in_thread(self, jobs: Any) -> Any:
        self.jobs = jobs
        self.go.wait(60)
        return ["done"] * len(jobs)


@each_kind
async def test_a_cancelled_job_is_told_and_its_batch_goes_on(
    dsn: str, queue: Queue, kind: str
) -> None:
    ids, held = add(queue, 3), Held(kind)
    async with Worker("work", held.handler, batch=Batch(3, 3, 60), **HEARD, dsn=dsn):
        await until_async(lambda: held.jobs)
        queue.cancel(ids[1])
        await until_async(lambda: held.jobs[1].cancelled)
        assert [job.cancelled for job in held.jobs] == [False, True, False]
        held.go.set()
        await until_async(lambda: queue.counts().active == 0)
    ended = [(job.state, job.result, job.error) for job in map(queue.get, ids)]
    assert ended[0] == ended[2] == ("completed", "done", None)
    assert ended[1] == ("failed", None, "cancelled")


async def test_a_batch_of_which_every_job_is_cancelled_is_cancelled(
    dsn: str, queue: Queue
) -> None:
    ids, held = add(queue, 2), Held("async def")
    async with Worker("work", held.handler, batch=Batch(2, 2, 60), **HEARD, dsn=dsn):
        await until_async(lambda: held.jobs)
        for job_id in ids:
            queue.cancel(job_id)
        await until_async(lambda: queue.counts().failed == 2)
    assert held.ended == ["cancelled"]


async def test_a_job_cancelled_while_it_waits_for_its_batch_does_not_start(
    dsn: str, queue: Queue
) -> None:
    ids, held = add(queue, 2), Held("async def")
    held.go.set()
    async with Worker("work", held.handler, batch=Batch(3, 3, 3600), **HEARD, dsn=dsn):
        await until_async(lambda: queue.counts().active == 2)
        queue.cancel(ids[0])
        await until_async(lambda: queue.get(ids[0]).state == "failed")
        add(queue, 2)
        await until_async(lambda: queue.counts().completed == 3)
    assert [job.id for job in held.jobs if job.id in ids] == [ids[1]]


@each_kind
async def test_a_stop_lets_batches_finish(dsn: str, queue: Queue, kind: str) -> None:
    ids, held = add(queue, 2), Held(kind)
    worker = Worker("work", held.handler, batch=Batch(2, 2, 60), dsn=dsn)
    closing = asyncio.Event()
    worker.on("closing", closing.set)
    serving = asyncio.ensure_future(worker.serve())
    await until_async(lambda: held.jobs)
    worker.stop()
    await until_async(closing.is_set)
    assert queue.counts().active == 2
    held.go.set()
    await serving
    assert [queue.get(job_id).state for job_id in ids] == ["completed"] * 2


@each_kind
async def test_a_batch_that_outlives_the_stop_is_cut_off_and_given_back(
    dsn: str, queue: Queue, kind: str
) -> None:
    ids, held = add(queue, 2), Held(kind)
    worker = Worker(
        "work", held.handler, batch=Batch(2, 2, 60), shutdown_timeout=0.1, dsn=dsn
    )
    async with worker:
        await until_async(lambda: held.jobs)
    assert all(job.dropped for job in held.jobs)
    held.go.set()
    stored = [queue.get(job_id) for job_id in ids]
    assert [(job.state, job.stalled) for job in stored] == [("waiting", 1)] * 2


@each_kind
async def test_the_outcomes_of_a_batch_whose_lease_is_lost_are_refused_job_by_job(
    dsn: str, queue: Queue, kind: str
) -> None:
    ids, held = add(queue, 3), Held(kind)
    worker = Worker("work", held.handler, batch=Batch(3, 3, 60), dsn=dsn)
    heard = Heard(worker, "lease_lost", "completed")
    async with worker:
        await until_async(lambda: held.jobs)
        queue.obliterate(force=True)
        held.go.set()
        await until_async(lambda: len(heard.events) == 3)
    assert sorted(heard.of("lease_lost")) == [(job_id,) for job_id in ids]


async def test_a_job_that_is_lost_costs_its_batch_no_other(
    dsn: str, queue: Queue, sql: Sql
) -> None:
    ids, held = add(queue, 3), Held("async def")
    worker = Worker("work", held.handler, batch=Batch(3, 3, 60), dsn=dsn)
    heard = Heard(worker, "lease_lost", "completed")
    async with worker:
        await until_async(lambda: held.jobs)
        # As recovery would take it, had the heartbeat been late.
        held.jobs[1].lease_id += 1000
        held.go.set()
        await until_async(lambda: len(heard.events) == 3)
        held.jobs[1].lease_id -= 1000
    assert heard.of("lease_lost") == [(ids[1],)]
    states = [queue.get(job_id).state for job_id in ids]
    assert states == ["completed", "active", "completed"]
    sql.run("DELETE FROM pgqueue.lease")
    sql.run("DELETE FROM pgqueue.job WHERE id = %s", [ids[1]])


async def test_a_fenced_worker_stops_its_batches_and_starts_none_that_it_gathered(
    dsn: str, queue: Queue, sql: Sql, facts: Facts
) -> None:
    add(queue, 3)
    began: list[int] = []

    async def body(jobs: Any) -> None:
        began.append(len(jobs))

    worker = Worker("work", body, batch=Batch(5, 5, 3600), lease=1, dsn=dsn)
    async with worker:
        await until_async(lambda: queue.counts().active == 3)
        sql.run("DELETE FROM pgqueue.worker")
        await until_async(lambda: facts.count("worker.fenced") == 1, 30)
        assert not began
    assert not began


@pytest.mark.parametrize("handler", [batch_of_pids, batch_of_pids_async])
async def test_a_job_that_stalled_runs_alone_in_a_process(
    dsn: str, queue: Queue, sql: Sql, handler: Any
) -> None:
    ids = add(queue, 4)
    sql.run("UPDATE pgqueue.ready SET stalled = 1 WHERE job_id = %s", [ids[2]])
    await drain(Worker("work", handler, batch=Batch(4, 4, 1), dsn=dsn), 60)
    found = [queue.get(job_id).result for job_id in ids]
    assert [size for _, size in found] == [3, 3, 1, 3]
    assert [pid == os.getpid() for pid, _ in found] == [True, True, False, True]


async def test_a_job_that_stalled_can_fail_by_itself(
    dsn: str, queue: Queue, sql: Sql
) -> None:
    [job_id] = add(queue, 1)
    sql.run("UPDATE pgqueue.ready SET stalled = 1")
    await drain(Worker("work", batch_that_fails, batch=Batch(4), dsn=dsn), 60)
    assert (queue.get(job_id).state, queue.get(job_id).error) == (
        "failed",
        "not this one",
    )


async def test_a_stalled_job_whose_handler_no_process_can_import_runs_alone(
    dsn: str, queue: Queue, sql: Sql
) -> None:
    ids = add(queue, 3)
    sql.run("UPDATE pgqueue.ready SET stalled = 1 WHERE job_id = %s", [ids[1]])
    handler = lambda jobs: [len(jobs)] * len(jobs)  # noqa: E731
    await drain(Worker("work", handler, batch=Batch(3, 2, 1), dsn=dsn))
    assert [queue.get(job_id).result for job_id in ids] == [2, 1, 2]
