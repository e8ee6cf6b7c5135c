"""What a job leaves behind: failed attempts and log lines; and data for its next run."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

import pytest

from claims import HandWorker
from isolated_handlers import by_kind
from pgqueue import ConfigError, JobNotFound, LeaseLost, LogLine, Queue, Worker
from pgqueue.compat.bullmq import reading
from pgqueue.db.run import run
from pgqueue.ops import control, history, maintenance
from working import KINDS, drain

if TYPE_CHECKING:
    from collections.abc import Callable

    from conftest import Sql

each_kind = pytest.mark.parametrize("kind", KINDS)


def calling(kind: str, body: Callable[[Any], list[Any]]) -> Callable[[Any], Any]:
    """Return a handler that makes calls of its job, awaited where that is needed."""

    def handler(job: Any) -> None:
        for call in body(job):
            call()

    async def async_handler(job: Any) -> None:
        for call in body(job):
            found = call()
            if inspect.isawaitable(found):
                await found

    return handler if kind == "def" else async_handler


def fails(job: Any) -> list[Any]:
    def broken() -> None:
        raise ValueError(f"attempt {job.attempt}")

    return [broken]


@each_kind
async def test_each_failed_attempt_is_kept_with_worker_times_error_and_stack(
    dsn: str, queue: Queue, kind: str
) -> None:
    job = queue.add("paint", attempts=3)
    await drain(Worker("work", calling(kind, fails), name="the one", dsn=dsn))
    found = queue.attempts(job.id)
    assert [one.attempt for one in found] == [1, 2, 3]
    assert [one.error for one in found] == ["attempt 1", "attempt 2", "attempt 3"]
    assert {one.worker for one in found} == {"the one"}
    for one in found:
        assert one.started_at
        assert one.started_at <= one.finished_at
        assert "ValueError" in (one.stack or "")


@pytest.mark.parametrize(("limit", "kept"), [(2, [2, 3]), (0, []), (9, [1, 2, 3])])
async def test_a_stack_limit_keeps_the_newest_attempts(
    dsn: str, queue: Queue, limit: int, kept: list[int]
) -> None:
    job = queue.add("paint", attempts=3, stack_limit=limit)
    other = queue.add("paint", attempts=2)
    await drain(Worker("work", calling("def", fails), dsn=dsn))
    assert [one.attempt for one in queue.attempts(job.id)] == kept
    assert len(queue.attempts(other.id)) == 2
    assert queue.get(job.id).error == "attempt 3"


def test_a_job_without_failures_has_no_attempts(queue: Queue) -> None:
    assert queue.attempts(queue.add("paint").id) == []
    with pytest.raises(JobNotFound):
        queue.attempts(99)


@each_kind
async def test_a_handler_logs_and_the_newest_lines_are_kept(
    dsn: str, queue: Queue, kind: str
) -> None:
    def body(job: Any) -> list[Any]:
        return [lambda n=n: job.log(f"line {n}") for n in range(5)]

    whole, some = queue.add("paint"), queue.add("paint", keep_logs=2)
    none = queue.add("paint", keep_logs=0)
    await drain(Worker("work", calling(kind, body), dsn=dsn))
    lines = queue.logs(whole.id)
    assert [line.line for line in lines] == [f"line {n}" for n in range(5)]
    assert all(isinstance(line, LogLine) for line in lines)
    assert [line.line for line in queue.logs(some.id)] == ["line 3", "line 4"]
    assert queue.logs(none.id) == []


async def test_a_job_that_is_not_kept_takes_its_log_along(
    dsn: str, queue: Queue, sql: Sql
) -> None:
    def body(job: Any) -> list[Any]:
        return [lambda: job.log("gone")]

    queue.add("paint", remove_on_complete=True)
    await drain(Worker("work", calling("async def", body), dsn=dsn))
    assert sql.value("SELECT count(*) FROM pgqueue.log") == 0


def test_a_queue_logs_to_a_job_in_any_state_and_reads_by_pages(queue: Queue) -> None:
    job = queue.add("paint", keep_logs=4)
    for n in range(6):
        queue.log(job.id, f"line {n}")
    lines = queue.logs(job.id)
    assert [line.line for line in lines] == [f"line {n}" for n in range(2, 6)]
    assert queue.logs(job.id, 1, 2) == lines[1:3]
    assert queue.logs(job.id, after=lines[1].id, limit=1) == [lines[2]]
    assert queue.logs(job.id, end=-1) == lines
    queue.log(job.id, "nul \x00 and a \ud800 surrogate")
    assert "nul ␀ and" in queue.logs(job.id)[-1].line
    with pytest.raises(JobNotFound):
        queue.log(99, "x")
    with pytest.raises(JobNotFound):
        queue.logs(99)
    with pytest.raises(ConfigError):
        queue.log(job.id, 5)  # type: ignore[arg-type]
    queue.remove(job.id)


@pytest.mark.parametrize("one", [True, False])
async def test_a_job_whose_attempts_were_reset_takes_its_history_with_it(
    dsn: str, queue: Queue, sql: Sql, one: bool
) -> None:
    async def failing(job: Any) -> None:
        await job.update_progress(50)
        raise ValueError("once")

    async def plain(job: Any) -> None:
        pass

    job = queue.add("paint", remove_on_complete=True)
    await drain(Worker(queue.name, failing, dsn=dsn))
    assert len(queue.attempts(job.id)) == 1
    if one:
        queue.retry(job.id, reset_attempts=True)
    else:
        queue.retry_all(reset_attempts=True)
    assert len(queue.attempts(job.id)) == 1
    await drain(Worker(queue.name, plain, dsn=dsn))
    for table in ("job", "attempt", "progress"):
        assert sql.value(f"SELECT count(*) FROM pgqueue.{table}") == 0


def test_what_others_told_of_a_job_while_it_went_is_swept(
    dsn: str, queue: Queue, sql: Sql
) -> None:
    job, gone = queue.add("paint"), queue.add("paint")
    queue.log(job.id, "stays")
    for _ in range(3):
        queue.log(gone.id, "goes")
    for each in (job, gone):
        run(sql.connection, reading.set_progress(queue.name, each.id, 42), "pgqueue")
    sql.run("DELETE FROM pgqueue.ready WHERE job_id = %s", [gone.id])
    sql.run("DELETE FROM pgqueue.job WHERE id = %s", [gone.id])
    queue_id = sql.value("SELECT id FROM pgqueue.queue")
    after = run(sql.connection, maintenance.sweep_traces(queue_id, 0), "pgqueue")
    assert after == 0
    assert sql.value("SELECT string_agg(line, ',') FROM pgqueue.log") == "stays"
    assert sql.all("SELECT job_id FROM pgqueue.progress") == [(job.id,)]


@each_kind
async def test_a_handler_replaces_its_data_for_the_next_run(
    dsn: str, queue: Queue, kind: str
) -> None:
    seen: list[Any] = []

    def body(job: Any) -> list[Any]:
        seen.append(job.data)

        def check() -> None:
            assert job.data == {"step": 2}
            if job.attempt == 1:
                raise ValueError("again")

        return [lambda: job.update_data({"step": 2}), check]

    job = queue.add("paint", {"step": 1}, attempts=2)
    await drain(Worker("work", calling(kind, body), dsn=dsn))
    assert seen == [{"step": 1}, {"step": 2}]
    assert (queue.get(job.id).state, queue.get(job.id).data) == (
        "completed",
        {"step": 2},
    )


def test_a_job_without_its_lease_can_neither_log_nor_change_data(
    dsn: str, queue: Queue, sql: Sql
) -> None:
    job = queue.add("paint", "old")
    worker = HandWorker(dsn, "work")
    (claimed,) = worker.claim()
    worker.finish([claimed])
    place = (worker.queue_id, claimed.lease, job.id)
    for op in (
        history.save_log(*place, "late", None),
        control.save_data(*place, '"late"'),
    ):
        with pytest.raises(LeaseLost):
            run(worker.connection, op, "pgqueue")
    worker.close()
    assert queue.get(job.id).data == "old"
    assert queue.logs(job.id) == []


@pytest.mark.parametrize("kept", [True, False])
async def test_a_job_in_a_process_of_its_own_logs_too(
    dsn: str, queue: Queue, sql: Sql, kept: bool
) -> None:
    job = queue.add("x", "log", remove_on_complete=not kept)
    await drain(Worker("work", by_kind, isolation="process", dsn=dsn))
    lines = sql.all("SELECT job_id, line FROM pgqueue.log")
    assert [tuple(line) for line in lines] == [(job.id, "from a child")] * kept
