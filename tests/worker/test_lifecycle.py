"""Starting and stopping: nothing is lost, nothing is left behind."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from pgqueue import NewJob, Queue, Worker
from pgqueue.errors import ConfigError, DatabaseUnavailable, SchemaError
from processes import Process
from waiting import until, until_async
from working import KINDS, Facts, Heard, drain, handler_of, work_for

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import PrivateServer, Sql

each_kind = pytest.mark.parametrize("kind", KINDS)
each_signal = pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])


def nothing(job: Any) -> None: ...


@each_kind
@each_signal
def test_a_signal_lets_what_runs_finish_and_gives_the_rest_back(  # noqa: PLR0917  fixtures
    dsn: str, queue: Queue, sql: Sql, tmp_path: Path, kind: str, number: signal.Signals
) -> None:
    go = tmp_path / "go"
    first = queue.add("slow", {"wait": str(go)})
    queue.add_bulk([NewJob("n", priority=p) for p in (3, 3, 5)])
    before = sql.all(
        "SELECT * FROM pgqueue.ready WHERE job_id <> %s ORDER BY 1", [first.id]
    )
    with Process(dsn, kind=kind, concurrency=1) as process:
        process.until("run")
        process.signal(number)
        process.until("worker.stopping")
        assert process.alive
        go.touch()
        assert process.wait() == 0
        assert process.until("bye") == {}
    assert queue.get(first.id).state == "completed"
    after = sql.all("SELECT * FROM pgqueue.ready ORDER BY 1")
    assert [row[:6] for row in after] == [row[:6] for row in before]
    assert sql.value("SELECT count(*) FROM pgqueue.worker") == 0


@each_kind
@each_signal
def test_a_second_signal_cuts_off_at_once(  # noqa: PLR0917  fixtures
    dsn: str, queue: Queue, sql: Sql, kind: str, number: signal.Signals, tmp_path: Path
) -> None:
    job = queue.add("slow", {"wait": str(tmp_path / "never")})
    with Process(dsn, kind=kind) as process:
        process.until("run")
        process.signal(number)
        process.until("worker.stopping")
        process.signal(number)
        assert process.wait(5) == 0
    stored = queue.get(job.id)
    assert (stored.state, stored.attempt, stored.stalled) == ("waiting", 0, 1)
    assert sql.value("SELECT count(*) FROM pgqueue.worker") == 0


@each_kind
async def test_what_outlasts_the_shutdown_timeout_is_given_back(
    dsn: str, queue: Queue, kind: str
) -> None:
    free = threading.Event()

    async def slow(job: Any) -> None:
        await asyncio.Event().wait()

    handler = slow if kind == "async def" else lambda _: free.wait(10)
    job = queue.add("slow")
    worker = Worker("work", handler, dsn=dsn, shutdown_timeout=0.2)
    async with worker:
        await until_async(lambda: queue.get(job.id).state == "active")
    free.set()
    stored = queue.get(job.id)
    assert (stored.state, stored.attempt, stored.stalled) == ("waiting", 0, 1)


async def test_a_job_with_no_stalls_left_fails_when_it_is_cut_off(
    dsn: str, queue: Queue, sql: Sql
) -> None:
    async def slow(job: Any) -> None:
        await asyncio.Event().wait()

    job = queue.add("slow")
    worker = Worker("work", slow, dsn=dsn, shutdown_timeout=0, max_stalled=0)
    async with worker:
        await until_async(lambda: queue.get(job.id).state == "active")
    stored = queue.get(job.id)
    assert (stored.state, stored.stalled) == ("failed", 1)
    assert stored.error == "stalled more often than max_stalled allows"
    assert sql.value("SELECT count(*) FROM pgqueue.attempt") == 1


async def test_a_stop_during_the_start_stops(dsn: str, queue: Queue, sql: Sql) -> None:
    worker = Worker("work", nothing, dsn=dsn)
    for turns in range(40):
        serving = asyncio.ensure_future(worker.serve())
        for _ in range(turns):
            await work_for(0)
        worker.stop()
        if turns:
            await asyncio.wait_for(serving, 5)
        else:
            # Not begun, so there was nothing to stop yet.
            await until_async(lambda: worker._stop)
            worker.stop()
            await asyncio.wait_for(serving, 5)


@pytest.mark.slow
@pytest.mark.timeout(600)  # a server in a container on a busy machine is slow
async def test_a_hundred_starts_and_stops_leave_nothing_behind(
    dsn: str, queue: Queue, sql: Sql
) -> None:
    process = psutil.Process()

    async def cycle(kind: str) -> None:
        queue.add_bulk([NewJob("n", remove_on_complete=True) for _ in range(5)])
        worker = Worker("work", handler_of(kind, nothing), dsn=dsn)
        await drain(worker)

    def held() -> tuple[int, int, int]:
        return (
            len(asyncio.all_tasks()),
            threading.active_count(),
            process.num_fds(),
        )

    for kind in KINDS:
        await cycle(kind)
    await until_async(lambda: len(asyncio.all_tasks()) == 1)
    before = held()
    for turn in range(100):
        await cycle(KINDS[turn % 2])
    await until_async(
        lambda: all(now <= then for now, then in zip(held(), before, strict=True)),
        message=f"no more than {before}",
    )
    query = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
    until(lambda: sql.value(query) <= 4)
    assert sql.value("SELECT count(*) FROM pgqueue.worker") == 0


def test_a_worker_made_before_a_fork_refuses_to_run(dsn: str) -> None:
    worker = Worker("work", nothing, dsn=dsn)
    worker._pid = os.getpid() + 1
    with pytest.raises(ConfigError, match="before a fork"):
        worker.run()


async def test_a_worker_runs_once_at_a_time(dsn: str, queue: Queue) -> None:
    worker = Worker("work", nothing, dsn=dsn)
    async with worker:
        with pytest.raises(ConfigError, match="running already"):
            await worker.serve()


async def test_run_inside_a_loop_says_what_to_do(dsn: str) -> None:
    with pytest.raises(ConfigError, match="async with"):
        Worker("work", nothing, dsn=dsn).run()


def test_run_in_a_thread_says_what_to_do_which_works(dsn: str, queue: Queue) -> None:
    worker = Worker("work", nothing, dsn=dsn)
    queue.add("n")
    with ThreadPoolExecutor(1) as pool:
        with pytest.raises(ConfigError, match=r"asyncio.run\(worker.serve\(\)\)"):
            pool.submit(worker.run).result()
        pool.submit(asyncio.run, worker.serve(drain=True)).result()
    assert queue.counts().completed == 1


def test_run_drain_ends_when_nothing_waits(dsn: str, queue: Queue) -> None:
    queue.add_bulk([NewJob("n") for _ in range(300)])
    queue.add("later", delay=3600)
    Worker("work", nothing, dsn=dsn).run(drain=True)
    counts = queue.counts()
    assert (counts.completed, counts.delayed, counts.waiting) == (300, 1, 0)


async def test_the_worker_says_when_it_closes(
    dsn: str, queue: Queue, facts: Facts
) -> None:
    worker = Worker("work", nothing, dsn=dsn)
    heard = Heard(worker, "closing", "closed")
    async with worker:
        pass
    assert heard.names() == ["closing", "closed"]
    async with worker:
        await until_async(lambda: facts.count("worker.drained"))
    assert heard.names() == ["closing", "closed"] * 2


def test_a_wrong_dsn_is_said_at_once(fresh_database: str) -> None:
    with pytest.raises(DatabaseUnavailable):
        Worker("work", nothing, dsn="postgresql://nobody@127.0.0.1:1/none").run()
    with pytest.raises(SchemaError, match="pgqueue migrate"):
        Worker("work", nothing, dsn=fresh_database).run()


def test_a_deaf_handler_does_not_keep_the_process(
    dsn: str, queue: Queue, recwarn: pytest.WarningsRecorder
) -> None:
    started = threading.Event()

    async def deaf(job: Any) -> None:
        started.set()
        while True:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                continue

    worker = Worker("work", deaf, dsn=dsn, shutdown_timeout=0.1)
    worker.on(
        "active", lambda _: asyncio.get_running_loop().call_later(0.1, worker.stop)
    )
    queue.add("n")
    worker.run()
    assert started.is_set()


@pytest.mark.slow
async def test_a_stop_ends_though_the_server_is_away(
    private_server: PrivateServer, facts: Facts
) -> None:
    dsn = private_server.dsn
    started = asyncio.Event()

    async def slow(job: Any) -> None:
        started.set()
        await asyncio.Event().wait()

    with Queue("work", dsn=dsn) as queue:
        queue.add("slow")
        async with Worker("work", slow, dsn=dsn, shutdown_timeout=0.5) as worker:
            await asyncio.wait_for(started.wait(), 10)
            private_server.shutdown()
            worker.stop()
            await until_async(lambda: facts.count("worker.stopped"), 10)
