"""Workers that die, freeze or lose their database: their jobs run elsewhere, once."""

from __future__ import annotations

import asyncio
import random
import signal
import threading
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from claims import HandWorker
from pgqueue import NewJob, Queue, Worker
from pgqueue.db.run import run
from pgqueue.errors import DatabaseUnavailable
from pgqueue.ops import maintenance
from processes import Process
from waiting import SOON, until, until_async
from working import KINDS, Facts, Heard

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import PrivateServer, Sql

each_kind = pytest.mark.parametrize("kind", KINDS)


@each_kind
async def test_a_killed_worker_is_noticed_and_its_job_runs_elsewhere(
    dsn: str, queue: Queue, sql: Sql, tmp_path: Path, kind: str
) -> None:
    job = queue.add("slow", {"wait": str(tmp_path / "never")}, attempts=1)
    runs: list[int] = []

    async def handler(active: Any) -> None:
        runs.append(active.attempt)

    with Process(dsn, kind=kind, lease=4) as process:
        process.until("run")
        process.kill()
        killed = time.monotonic()
        worker = Worker("work", handler, dsn=dsn)
        heard = Heard(worker, "stalled", "completed", "failed")
        async with worker:
            await until_async(lambda: queue.get(job.id).state == "completed")
        # Its lease and a look at it take two; with a lease as by default, thirty.
        assert time.monotonic() - killed < 2 + SOON
    stored = queue.get(job.id)
    assert (stored.attempt, stored.stalled, runs) == (1, 1, [1])
    assert heard.events[0] == ("stalled", (job.id,))
    assert heard.names() == ["stalled", "completed"]
    assert sql.value("SELECT count(*) FROM pgqueue.worker WHERE dead_at IS NULL") == 0


def test_a_job_that_kills_its_worker_takes_no_second_one_along(
    dsn: str, queue: Queue, sql: Sql
) -> None:
    """The second time it runs in a process of its own, and fails alone."""
    job = queue.add("fatal", {"exit": True})
    with Process(dsn, lease=4) as process:
        assert process.wait() == 9
    until(lambda: _sweep(dsn, queue) or not queue.counts().active)
    with Process(dsn, lease=4) as process:
        until(lambda: queue.get(job.id).state == "failed", 20)
        assert process.alive
    stored = queue.get(job.id)
    assert (stored.attempt, stored.stalled) == (1, 1)
    assert stored.error == "its process died: exit code 9"
    row = sql.one("SELECT attempt, error FROM pgqueue.attempt")
    assert (row.attempt, row.error) == (1, stored.error)


def test_a_job_whose_worker_is_lost_too_often_fails(
    dsn: str, queue: Queue, sql: Sql
) -> None:
    job = queue.add("slow", {"wait": "/nowhere/at/all"}, attempts=5)
    for _ in range(2):
        with Process(dsn, lease=4) as process:
            process.until("run")
            process.kill()
        until(lambda: _sweep(dsn, queue) or not queue.counts().active)
    stored = queue.get(job.id)
    assert (stored.state, stored.stalled) == ("failed", 2)
    assert stored.error == "stalled more often than max_stalled allows"
    row = sql.one("SELECT attempt, error FROM pgqueue.attempt")
    assert (row.attempt, row.error) == (1, stored.error)


def _sweep(dsn: str, queue: Queue) -> None:
    with psycopg.connect(dsn, autocommit=True) as connection:
        run(connection, maintenance.recover(1), "pgqueue")


@each_kind
async def test_a_zombie_is_refused_and_begins_a_new_life(
    dsn: str, queue: Queue, sql: Sql, tmp_path: Path, kind: str
) -> None:
    go = tmp_path / "go"
    job = queue.add("slow", {"wait": str(go), "progress": 7, "result": "zombie"})

    async def handler(active: Any) -> str:
        return "second run"

    with Process(dsn, kind=kind, lease=1, concurrency=1) as process:
        process.until("run")
        process.signal(signal.SIGSTOP)
        async with Worker("work", handler, dsn=dsn, lease=1):
            await until_async(lambda: queue.get(job.id).state == "completed", 10)
        go.touch()
        process.signal(signal.SIGCONT)
        await asyncio.to_thread(process.until, "worker.fenced")
        assert process.until("lease_lost") == {"id": job.id}
        after = queue.add("after")
        await until_async(lambda: queue.get(after.id).state == "completed", 10)
        await asyncio.to_thread(process.until, "run", 2)
        assert [run["id"] for run in process.said("run")] == [job.id, after.id]
    stored = queue.get(job.id)
    assert (stored.result, stored.attempt, stored.stalled) == ("second run", 1, 1)
    assert stored.progress is None
    assert sql.value("SELECT count(*) FROM pgqueue.finished") == 2


@each_kind
def test_the_heart_beats_while_a_handler_blocks(
    dsn: str, queue: Queue, sql: Sql, kind: str
) -> None:
    job = queue.add("spin", {"spin": 7})
    with Process(dsn, kind=kind, lease=4) as process:
        process.until("run")
        until(lambda: _sweep(dsn, queue) or process.said("end"), 20)
        until(lambda: queue.get(job.id).state == "completed")
        assert not process.said("worker.fenced")
        assert len(process.said("run")) == 1
    assert queue.get(job.id).stalled == 0


BEAT = "SELECT count(*) FROM pgqueue.worker WHERE heartbeat_at > %s"

ROLES = {
    "heartbeat": "look_for_cancelled%",
    "listener": "LISTEN%",
}


@pytest.mark.parametrize("role", ["heartbeat", "listener"])
async def test_a_role_whose_backend_is_killed_comes_back(
    dsn: str, queue: Queue, sql: Sql, facts: Facts, role: str
) -> None:
    async def handler(job: Any) -> None: ...

    query = (
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE"
        " datname = current_database() AND pid <> pg_backend_pid() AND query LIKE"
        f" '%{ROLES[role]}' AND query NOT LIKE '%pg_terminate%'"
    )
    worker = Worker("work", handler, dsn=dsn, lease=4)
    if role == "listener" and not worker.settings.listen:
        pytest.skip("PGQUEUE_LISTEN=off")
    async with worker:
        for _ in range(3):
            await until_async(lambda: sql.run(query))
            now = sql.value("SELECT clock_timestamp()")
            await until_async(lambda now=now: sql.value(BEAT, [now]) == 1)
            job = queue.add("n")
            await until_async(
                lambda job=job: queue.get(job.id).state == "completed", SOON
            )
    assert facts.count("worker.fenced") == 0


@pytest.mark.slow
@pytest.mark.timeout(240)
@each_kind
async def test_killing_backends_at_random_under_load_loses_nothing(
    dsn: str, queue: Queue, sql: Sql, facts: Facts, kind: str
) -> None:
    dice = random.Random(7)  # noqa: S311
    runs: Counter[int] = Counter()
    lock = threading.Lock()

    def count(job: Any) -> None:
        with lock:
            runs[job.id] += 1

    async def on_loop(job: Any) -> None:
        count(job)
        await job.update_progress(1) if dice.random() < 0.02 else None

    handler = on_loop if kind == "async def" else count
    ids = [
        one.id for one in queue.add_bulk([NewJob("n", attempts=9) for _ in range(2000)])
    ]
    query = (
        "SELECT pid FROM pg_stat_activity WHERE datname = current_database()"
        " AND backend_type = 'client backend' AND application_name = 'pgqueue'"
    )
    workers = [
        Worker("work", handler, dsn=dsn, lease=5, concurrency=5) for _ in range(2)
    ]
    heard = [Heard(worker, "stalled", "lease_lost", "failed") for worker in workers]
    over = threading.Event()

    def terrorise() -> None:
        while not over.wait(0.03):
            if pids := sql.all(query):
                sql.run("SELECT pg_terminate_backend(%s)", [dice.choice(pids)[0]])

    async with workers[0], workers[1]:
        terror = asyncio.ensure_future(asyncio.to_thread(terrorise))
        try:
            await until_async(lambda: _done(dsn) == len(ids), 150)
        finally:
            over.set()
        await terror
    failed = Counter(args[0].id for one in heard for args in one.of("failed"))
    stalled = Counter(args[0] for one in heard for args in one.of("stalled"))
    assert set(runs) == set(ids)
    for job, times in runs.items():
        assert times == 1 + failed[job] + stalled[job]


def _done(dsn: str) -> int:
    try:
        with psycopg.connect(dsn, autocommit=True, application_name="test") as own:
            query = "SELECT count(*) FROM pgqueue.finished"
            return int(own.execute(query).fetchone()[0])  # type: ignore[index]
    except psycopg.OperationalError:
        return -1


@pytest.mark.slow
@pytest.mark.timeout(180)
async def test_an_immediate_restart_under_load_loses_no_acknowledged_add(
    private_server: PrivateServer, facts: Facts
) -> None:
    dsn = private_server.dsn
    acknowledged: set[int] = set()
    runs: Counter[int] = Counter()
    over = threading.Event()

    async def handler(job: Any) -> None:
        runs[job.id] += 1

    def produce() -> None:
        with Queue("work", dsn=dsn) as queue:
            while not over.wait(0.005):
                try:
                    jobs = queue.add_bulk([NewJob("n") for _ in range(10)])
                except DatabaseUnavailable:
                    continue
                acknowledged.update(job.id for job in jobs)

    worker = Worker("work", handler, dsn=dsn, lease=10)
    async with worker:
        producer = asyncio.ensure_future(asyncio.to_thread(produce))
        try:
            for turn in range(3):
                some = len(acknowledged)
                await until_async(lambda some=some: len(acknowledged) > some + 50, 30)
                await asyncio.to_thread(private_server.restart)
                await until_async(
                    lambda turn=turn: facts.count("database.restored") > turn, 30
                )
        finally:
            over.set()
        await producer
        await until_async(lambda: acknowledged <= set(runs), 30)
    assert facts.count("worker.fenced") == 0
    pauses = [
        fact["again_within"]
        for fact in (*facts.of("database.lost"), *facts.of("database.away"))
        if "again_within" in fact
    ]
    assert all(pause <= 10 for pause in pauses)
    with Queue("work", dsn=dsn) as queue:
        counts = queue.counts()
    assert (counts.waiting, counts.active, counts.failed) == (0, 0, 0)


@pytest.mark.slow
async def test_a_worker_outlives_a_server_that_is_away_longer_than_its_lease(
    private_server: PrivateServer, facts: Facts
) -> None:
    dsn = private_server.dsn
    runs: list[str] = []
    hang = asyncio.Event()

    async def handler(job: Any) -> None:
        runs.append(job.data)
        if len(runs) == 1:
            await hang.wait()

    with Queue("work", dsn=dsn) as queue:
        job = queue.add("n", "first")
        async with Worker("work", handler, dsn=dsn, lease=1):
            await until_async(lambda: runs)
            private_server.shutdown()
            await until_async(lambda: facts.count("worker.fenced") == 1)
            private_server.start()
            await until_async(lambda: runs == ["first", "first"], 15)
            await until_async(lambda: queue.get(job.id).state == "completed")
        stored = queue.get(job.id)
        assert (stored.attempt, stored.stalled) == (1, 1)


async def test_what_ended_in_an_outage_shorter_than_the_lease_is_written_after_it(
    private_server: PrivateServer, facts: Facts
) -> None:
    runs: list[int] = []
    go, ended = asyncio.Event(), asyncio.Event()

    async def handler(job: Any) -> str:
        runs.append(job.id)
        await go.wait()
        ended.set()
        return "in the outage"

    dsn = private_server.dsn
    with Queue("work", dsn=dsn) as queue:
        job = queue.add("n")
        async with Worker("work", handler, dsn=dsn, lease=60):
            await until_async(lambda: runs)
            private_server.shutdown()
            go.set()
            await ended.wait()
            await until_async(lambda: facts.count("database.away"))
            await asyncio.to_thread(private_server.start)
            await until_async(lambda: queue.get(job.id).state == "completed")
        stored = queue.get(job.id)
    assert (stored.result, stored.stalled, runs) == ("in the outage", 0, [job.id])


@pytest.mark.slow
async def test_each_outage_longer_than_the_lease_costs_a_job_a_stall(
    private_server: PrivateServer, facts: Facts
) -> None:
    """Whether its run is cut off or has ended, and cannot be written in time."""
    runs: Counter[str] = Counter()
    go, never = asyncio.Event(), asyncio.Event()
    cut_off: list[str] = []

    async def handler(job: Any) -> str:
        runs[job.data] += 1
        try:
            await (go if job.data == "ends" else never).wait()
        except asyncio.CancelledError:
            cut_off.append(job.data)
            raise
        return "too late"

    dsn = private_server.dsn
    worker = Worker("work", handler, dsn=dsn, lease=3, concurrency=2)
    heard = Heard(worker, "lease_lost", "stalled", "completed")
    with Queue("work", dsn=dsn) as queue:
        jobs = [queue.add("n", data) for data in ("ends", "hangs")]
        async with worker:
            for times in (1, 2):
                await until_async(lambda n=times: set(runs.values()) == {n}, 60)
                private_server.shutdown()
                go.set()
                await until_async(lambda n=times: facts.count("worker.fenced") == n)
                go.clear()
                assert cut_off == ["hangs"] * times
                await asyncio.to_thread(private_server.start)
            await until_async(lambda: queue.counts().failed == 2)
        stored = [queue.get(job.id) for job in jobs]
    assert [(one.attempt, one.stalled) for one in stored] == [(1, 2), (1, 2)]
    assert {one.error for one in stored} == {
        "stalled more often than max_stalled allows"
    }
    assert runs == {"ends": 2, "hangs": 2}
    assert not heard.of("completed")
    lost = Counter(number for (number,) in heard.of("lease_lost"))
    assert lost == {job.id: 2 for job in jobs}


async def test_a_worker_fences_itself_also_while_it_stops(
    private_server: PrivateServer, facts: Facts
) -> None:
    hang, started = asyncio.Event(), asyncio.Event()
    cancelled: list[int] = []

    async def handler(job: Any) -> None:
        started.set()
        try:
            await hang.wait()
        except asyncio.CancelledError:
            cancelled.append(job.id)
            raise

    with Queue("work", dsn=private_server.dsn) as queue:
        job = queue.add("n")
        worker = Worker(
            "work", handler, dsn=private_server.dsn, lease=1, shutdown_timeout=30
        )
        async with worker:
            await asyncio.wait_for(started.wait(), 10)
            private_server.shutdown()
            worker.stop()
            await until_async(lambda: facts.count("worker.fenced") == 1, 5)
    assert cancelled == [job.id]


def test_a_claim_that_commits_after_its_worker_was_buried_is_found(
    dsn: str, queue: Queue, sql: Sql
) -> None:
    job = queue.add("n")
    late, other = HandWorker(dsn, "work", lease=1), HandWorker(dsn, "work")
    late.connection.autocommit = False
    late.claim()
    sql.run(
        "UPDATE pgqueue.worker SET heartbeat_at = now() - interval '1 h' WHERE id = %s",
        [late.id],
    )
    assert run(other.connection, maintenance.recover(1), "pgqueue") == []
    late.connection.commit()
    until(
        lambda: (
            [
                one.job_id
                for one in run(other.connection, maintenance.recover(1), "pgqueue")
            ]
            == [job.id]
        )
    )
    assert queue.get(job.id).state == "waiting"
    late.close()
    other.close()


def test_a_worker_that_was_buried_claims_nothing(
    dsn: str, queue: Queue, sql: Sql
) -> None:
    queue.add("n")
    dead = HandWorker(dsn, "work")
    sql.run("UPDATE pgqueue.worker SET dead_at = clock_timestamp()")
    assert dead.claim() == []
    assert not dead.renew()
    dead.close()


def test_leases_of_a_worker_whose_row_is_gone_are_found(
    dsn: str, queue: Queue, sql: Sql
) -> None:
    job = queue.add("n")
    gone, other = HandWorker(dsn, "work"), HandWorker(dsn, "work")
    gone.claim()
    sql.run("DELETE FROM pgqueue.worker WHERE id = %s", [gone.id])
    until(
        lambda: (
            [
                one.job_id
                for one in run(other.connection, maintenance.recover(1), "pgqueue")
            ]
            == [job.id]
        )
    )
    assert queue.get(job.id).stalled == 1
    gone.close()
    other.close()
