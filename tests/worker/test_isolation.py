"""`isolation="process"`: whatever a handler does to its process costs one job."""

from __future__ import annotations

import os
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any

import psutil
import pytest

import slow_to_import
from isolated_handlers import by_kind, by_kind_async, waits_for_a_file
from pgqueue import ConfigError, NewJob, Queue, Worker
from pgqueue.worker.isolating import APART
from waiting import until_async

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from conftest import Sql

HANDLERS = [
    pytest.param(by_kind, id="def"),
    pytest.param(by_kind_async, id="async def"),
]
handlers = pytest.mark.parametrize("handler", HANDLERS)


async def drain(worker: Worker) -> None:
    await worker.serve(drain=True)


def children_of_workers() -> set[psutil.Process]:
    """Return the processes that were started here for jobs, and live."""
    found = set()
    for each in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            if each.status() != psutil.STATUS_ZOMBIE and "spawn_main" in " ".join(
                each.cmdline()
            ):
                found.add(each)
    return found


@handlers
async def test_jobs_run_in_another_process_and_their_results_come_back(
    dsn: str, queue: Queue, handler: Any
) -> None:
    job = queue.add("x", "hello")
    worker = Worker("work", handler, isolation="process", concurrency=1, dsn=dsn)
    await drain(worker)
    result = queue.get(job.id).result
    assert result["data"] == "hello"
    assert result["pid"] != os.getpid()


@handlers
@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ("segfault", "signal 11 (SIGSEGV)"),
        ("exit", "exit code 3"),
        ("kill", "signal 9 (SIGKILL)"),
        ("sys.exit", "1"),
        ("raise", "on purpose"),
        ("final", "not again"),
        ("set", "not JSON"),
    ],
)
async def test_what_ends_the_process_costs_one_job_and_no_other(
    dsn: str, queue: Queue, handler: Any, data: str, reason: str
) -> None:
    others = [queue.add("x", n) for n in range(3)]
    bad = queue.add("x", data)
    others += [queue.add("x", n) for n in range(3)]
    worker = Worker("work", handler, isolation="process", concurrency=2, dsn=dsn)
    await drain(worker)
    failed = queue.get(bad.id)
    assert failed.state == "failed"
    assert reason in (failed.error or "")
    assert {queue.get(job.id).state for job in others} == {"completed"}


@handlers
async def test_a_run_that_exceeds_its_timeout_is_killed(
    dsn: str, queue: Queue, handler: Any
) -> None:
    job = queue.add("x", "hang", timeout=1)
    after = queue.add("x", "next")
    worker = Worker("work", handler, isolation="process", concurrency=1, dsn=dsn)
    await drain(worker)
    assert "timeout of 1 s" in (queue.get(job.id).error or "")
    assert queue.get(after.id).state == "completed"


@pytest.mark.parametrize("how", ["timeout", "cancel"])
async def test_what_is_stopped_ends_with_its_process(
    dsn: str, queue: Queue, how: str
) -> None:
    before = children_of_workers()
    job = queue.add("x", "hang", timeout=1 if how == "timeout" else None)
    worker = Worker("work", by_kind, isolation="process", lease=1.5, dsn=dsn)
    async with worker:
        await until_async(lambda: children_of_workers() - before)
        [child] = children_of_workers() - before
        if how == "cancel":
            queue.cancel(job.id)
        await until_async(lambda: queue.get(job.id).state == "failed")
        await until_async(lambda: child not in children_of_workers())


async def test_a_timeout_does_not_count_the_start_of_the_process(
    dsn: str, queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An application that takes long to import would fail all its jobs for good."""
    monkeypatch.setenv(slow_to_import.VARIABLE, "2")
    job = queue.add("x", 7, timeout=1.5)
    answer = slow_to_import.answer
    await drain(Worker("work", answer, isolation="process", concurrency=1, dsn=dsn))
    assert queue.get(job.id).state == "completed", queue.get(job.id).error


async def test_a_process_that_never_starts_costs_one_run(
    dsn: str, queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(slow_to_import.VARIABLE, "3600")
    monkeypatch.setattr("pgqueue.worker.processes.STARTING", 0.5)
    job = queue.add("x", 7)
    answer = slow_to_import.answer
    await drain(Worker("work", answer, isolation="process", concurrency=1, dsn=dsn))
    assert queue.get(job.id).error == "its process did not start within 0.5 s"


@handlers
async def test_progress_is_stored_and_heard(
    dsn: str, queue: Queue, handler: Any
) -> None:
    job = queue.add("x", "progress")
    worker = Worker("work", handler, isolation="process", concurrency=1, dsn=dsn)
    heard: list[Any] = []
    worker.on("progress", lambda _job, value: heard.append(value))
    await drain(worker)
    assert heard == [{"half": True}]
    assert queue.get(job.id).progress == {"half": True}


async def test_the_traceback_of_the_child_is_kept(
    dsn: str, queue: Queue, sql: Sql
) -> None:
    queue.add("x", "raise")
    await drain(Worker("work", by_kind, isolation="process", dsn=dsn))
    stack = sql.value("SELECT stack FROM pgqueue.attempt")
    assert "isolated_handlers.py" in stack
    assert "ValueError: on purpose" in stack


async def test_retry_later_uses_no_attempt(dsn: str, queue: Queue, sql: Sql) -> None:
    job = queue.add("x", "later")
    worker = Worker("work", by_kind, isolation="process", concurrency=1, dsn=dsn)
    async with worker:
        await until_async(lambda: queue.get(job.id).state == "completed")
    assert queue.get(job.id).attempt == 1
    assert sql.value("SELECT count(*) FROM pgqueue.attempt") == 0


def test_a_handler_that_no_child_can_import_is_refused(dsn: str) -> None:
    with pytest.raises(ConfigError, match="child process can import"):
        Worker("work", lambda job: job, isolation="process", dsn=dsn)


async def test_a_stopped_worker_leaves_no_child(dsn: str, queue: Queue) -> None:
    before = children_of_workers()
    queue.add("x", "hang")
    worker = Worker("work", by_kind, isolation="process", shutdown_timeout=0.1, dsn=dsn)
    async with worker:
        await until_async(lambda: queue.counts().active == 1)
    await until_async(lambda: not children_of_workers() - before)
    assert queue.counts().waiting == 1


async def test_a_job_that_stalled_runs_alone_in_a_child(
    dsn: str, queue: Queue, sql: Sql
) -> None:
    job = queue.add("x", "again")
    other = queue.add("x", "beside")
    sql.run("UPDATE pgqueue.ready SET stalled = 1 WHERE job_id = %s", (job.id,))
    await drain(Worker("work", by_kind, dsn=dsn))
    assert queue.get(job.id).result["pid"] != os.getpid()
    assert queue.get(other.id).result["pid"] == os.getpid()


@asynccontextmanager
async def many_that_stalled(
    dsn: str, queue: Queue, sql: Sql, folder: Path
) -> AsyncIterator[list[int]]:
    """Give a worker three times the stalled jobs that it may run at once."""
    jobs = queue.add_bulk([NewJob("x", str(folder)) for _ in range(3 * APART)])
    sql.run("UPDATE pgqueue.ready SET stalled = 1")
    async with Worker("work", waits_for_a_file, dsn=dsn, concurrency=3 * APART):
        await until_async(lambda: begun(folder) == APART, 60)
        yield [job.id for job in jobs]


def begun(folder: Path) -> int:
    return len(list(folder.glob("runs-*")))


async def test_of_many_jobs_that_stalled_only_a_few_run_at_once(
    dsn: str, queue: Queue, sql: Sql, tmp_path: Path
) -> None:
    async with many_that_stalled(dsn, queue, sql, tmp_path) as ids:
        plain = queue.add("x", str(tmp_path))
        with pytest.raises(pytest.fail.Exception):
            await until_async(lambda: begun(tmp_path) > APART, 1)
        assert queue.cancel(ids[-1])
        await until_async(lambda: queue.get(ids[-1]).state == "failed")
        (tmp_path / "go").touch()
        await until_async(lambda: queue.counts().completed == 3 * APART, 60)
    pids = {queue.get(one).result for one in ids[:-1]}
    assert os.getpid() not in pids
    assert len(pids) <= len(ids) - 1
    assert queue.get(plain.id).result == os.getpid()
    assert queue.get(ids[-1]).error == "cancelled"


async def test_the_last_that_stalled_ends_its_process_without_a_word(
    dsn: str, queue: Queue, sql: Sql, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with many_that_stalled(dsn, queue, sql, tmp_path):
        (tmp_path / "go").touch()
        await until_async(lambda: queue.counts().completed == 3 * APART, 60)
    assert [one.message for one in caplog.records if one.name == "asyncio"] == []


async def test_a_worker_that_stops_gives_back_what_has_not_got_its_process(
    dsn: str, queue: Queue, sql: Sql, tmp_path: Path
) -> None:
    async with many_that_stalled(dsn, queue, sql, tmp_path):
        (tmp_path / "go").touch()
    found = queue.counts()
    assert found.completed >= APART
    assert found.completed + found.waiting == 3 * APART
    assert set(sql.all("SELECT DISTINCT stalled FROM pgqueue.ready")) <= {(1,)}
