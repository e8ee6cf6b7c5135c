"""`run_pending` runs jobs by the real statements, in the test's own transaction."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from pgqueue import (
    ActiveJob,
    AsyncQueue,
    ConfigError,
    Dedup,
    FlowNode,
    FlowProducer,
    NoHandler,
    PgQueueError,
    RetryLater,
    Worker,
)
from pgqueue.testing import arun_pending, run_pending

if TYPE_CHECKING:
    from conftest import Sql
    from pgqueue import Queue

Connection = psycopg.Connection[Any]


def echo(job: ActiveJob) -> Any:
    return job.data


async def aecho(job: ActiveJob) -> Any:
    await job.update_progress(50)
    await job.log("half")
    assert await job.children_values() == {}
    return job.data


def fail(job: ActiveJob) -> None:
    raise ValueError(f"no {job.data}")


def test_jobs_run_in_the_open_transaction_and_nothing_is_committed(
    queue: Queue, connection: Connection, sql: Sql
) -> None:
    job = queue.add("welcome", 7, connection=connection)
    [run] = run_pending(echo, queue=queue, connection=connection)
    assert (run.ending, run.result, run.job.id, run.job.attempt) == (
        "completed",
        7,
        job.id,
        1,
    )
    assert queue.get(job.id, connection=connection).state == "completed"
    assert connection.execute("SELECT count(*) FROM pgqueue.lease").fetchone() == (0,)
    assert connection.execute("SELECT count(*) FROM pgqueue.worker").fetchone() == (0,)
    connection.rollback()
    assert sql.value("SELECT count(*) FROM pgqueue.job") == 0


def test_without_a_connection_it_commits(queue: Queue) -> None:
    job = queue.add("welcome", 7)
    run_pending(echo, queue=queue)
    assert queue.get(job.id).state == "completed"


@pytest.mark.timeout(100)
@pytest.mark.parametrize(
    ("at_the_end", "table"),
    [
        *((False, table) for table in ("lease", "blocked", "schedule", "dedup")),
        *((True, table) for table in ("lease", "finished", "dedup", "worker")),
    ],
)
def test_what_an_open_transaction_holds_is_waited_for_only_so_long(
    queue: Queue,
    connection: Connection,
    monkeypatch: pytest.MonkeyPatch,
    table: str,
    at_the_end: bool,
) -> None:
    """Whatever it does, also what a worker's maintenance does."""
    monkeypatch.setattr("pgqueue.testing.running.PATIENCE", 1)
    hold = f"TRUNCATE pgqueue.{table} CASCADE"

    def handler(_: ActiveJob) -> None:
        connection.execute(hold)

    if at_the_end:
        queue.add("welcome")
    else:
        connection.execute(hold)
    with pytest.raises(ConfigError, match="still open"):
        run_pending(handler, queue=queue)


def test_jobs_that_handlers_add_run_too_and_delayed_ones_do_not(
    queue: Queue, connection: Connection
) -> None:
    seen = []

    def handler(job: ActiveJob) -> None:
        seen.append(job.name)
        if job.name == "first":
            queue.add("second", connection=connection)
            queue.add("later", delay=60, connection=connection)

    queue.add("first", connection=connection)
    run_pending(handler, queue=queue, connection=connection)
    assert seen == ["first", "second"]


def test_a_failure_is_returned_retried_when_due_and_written_down(
    queue: Queue, connection: Connection
) -> None:
    job = queue.add("welcome", 7, attempts=2, connection=connection)
    runs = run_pending(fail, queue=queue, connection=connection)
    assert [run.ending for run in runs] == ["retry", "failed"]
    assert isinstance(runs[0].error, ValueError)
    found = queue.get(job.id, connection=connection)
    assert (found.state, found.error) == ("failed", "no 7")


@pytest.mark.parametrize("kind", ["def", "async def"])
def test_a_handler_that_exits_fails_its_job_as_in_a_worker(
    queue: Queue, connection: Connection, kind: str
) -> None:
    def leave(job: ActiveJob) -> None:
        raise SystemExit(3)

    async def aleave(job: ActiveJob) -> None:
        raise SystemExit(3)

    handler = leave if kind == "def" else aleave
    jobs = [queue.add("welcome", connection=connection) for _ in range(2)]
    runs = run_pending(handler, queue=queue, connection=connection)
    assert [run.ending for run in runs] == ["failed", "failed"]
    found = [queue.get(job.id, connection=connection).error for job in jobs]
    assert found == ["SystemExit: 3"] * 2
    queue.add("welcome", connection=connection)
    with pytest.raises(SystemExit):
        run_pending(handler, queue=queue, connection=connection, raise_errors=True)


@pytest.mark.parametrize("stop", [KeyboardInterrupt, pytest.fail.Exception])
def test_what_is_for_the_test_itself_stops_it(
    queue: Queue, connection: Connection, stop: type[BaseException]
) -> None:
    def handler(job: ActiveJob) -> None:
        raise stop

    queue.add("welcome", connection=connection)
    with pytest.raises(stop):
        run_pending(handler, queue=queue, connection=connection)


def test_raise_errors_raises_what_the_handler_raised_after_it_is_written_down(
    queue: Queue, connection: Connection
) -> None:
    job = queue.add("welcome", 7, connection=connection)
    with pytest.raises(ValueError, match="no 7"):
        run_pending(fail, queue=queue, connection=connection, raise_errors=True)
    assert queue.get(job.id, connection=connection).state == "failed"


def test_max_jobs_stops_after_so_many(queue: Queue, connection: Connection) -> None:
    for n in range(3):
        queue.add("welcome", n, connection=connection)
    assert len(run_pending(echo, queue=queue, connection=connection, max_jobs=2)) == 2
    assert queue.count(connection=connection) == 1


def test_a_handler_that_always_adds_another_job_is_told(
    queue: Queue, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pgqueue.testing.running.ENDLESS", 5)

    def again(_: ActiveJob) -> None:
        queue.add("again", connection=connection)

    queue.add("again", connection=connection)
    with pytest.raises(PgQueueError, match="max_jobs"):
        run_pending(again, queue=queue, connection=connection)


def test_async_handlers_run_in_a_sync_test(
    queue: Queue, connection: Connection
) -> None:
    job = queue.add("welcome", 7, connection=connection)
    [run] = run_pending(aecho, queue=queue, connection=connection)
    assert run.error is None
    assert run.result == 7
    assert queue.get(job.id, connection=connection).progress == 50


async def test_async_handlers_run_from_a_sync_call_inside_a_running_loop(
    queue: Queue, connection: Connection
) -> None:
    queue.add("welcome", 7, connection=connection)
    [run] = run_pending(aecho, queue=queue, connection=connection)
    assert (run.result, run.error) == (7, None)


async def test_both_kinds_of_handlers_run_on_an_async_connection(dsn: str) -> None:
    queue = AsyncQueue("mail", dsn=dsn)

    def blocking(job: ActiveJob) -> str:
        job.update_progress(10)
        job.log("line")
        return "blocked"

    async with await psycopg.AsyncConnection.connect(dsn) as connection:
        await queue.add("a", 1, connection=connection)
        await queue.add("b", 2, connection=connection)
        handlers = {"a": aecho, "b": blocking}
        runs = await arun_pending(handlers, queue=queue, connection=connection)
        assert [(run.result, run.error) for run in runs] == [
            (1, None),
            ("blocked", None),
        ]
        await connection.rollback()
    assert await queue.count() == 0
    await queue.close()


def test_a_worker_gives_its_handlers_listeners_and_strategies(
    queue: Queue, connection: Connection, dsn: str
) -> None:
    heard = []
    worker = Worker("mail", fail, dsn=dsn, backoffs={"mine": lambda *_: 60})

    @worker.on("failed")
    async def failed(job: Any, error: Any) -> None:
        heard.append((job.id, error.will_retry))

    job = queue.add("welcome", attempts=2, backoff="mine", connection=connection)
    [run] = run_pending(worker, connection=connection)
    assert run.ending == "retry"
    assert heard == [(job.id, True)]
    found = queue.get(job.id, connection=connection)
    assert found.state == "delayed"


def test_a_job_that_nobody_handles_is_told(
    queue: Queue, connection: Connection
) -> None:
    job = queue.add("strange", connection=connection)
    [run] = run_pending({"welcome": echo}, queue=queue, connection=connection)
    assert (run.ending, type(run.error)) == ("unhandled", NoHandler)
    assert queue.get(job.id, connection=connection).attempt == 0
    with pytest.raises(ConfigError):
        run_pending({}, queue=queue, connection=connection)


def test_a_parent_runs_after_its_children(
    queue: Queue, connection: Connection, dsn: str
) -> None:
    flows = FlowProducer(dsn=dsn)
    children = [FlowNode("child", n, queue="mail") for n in (1, 2)]
    node = FlowNode("parent", 0, queue="mail", children=children)
    flows.add(node, connection=connection)
    runs = run_pending(
        lambda job: list(job.children_values().values()) or job.data,
        queue=queue,
        connection=connection,
    )
    assert [run.job.name for run in runs] == ["child", "child", "parent"]
    assert sorted(runs[-1].result) == [1, 2]  # type: ignore[arg-type]
    flows.close()


def test_groups_take_turns(queue: Queue, connection: Connection) -> None:
    for group in ("a", "a", "b", None):
        queue.add("welcome", group=group, connection=connection)
    queue.add("welcome", group="c", connection=connection)
    assert queue.pause_group("c", connection=connection)
    runs = run_pending(echo, queue=queue, connection=connection)
    assert [run.job.group for run in runs] == [None, "a", "b", "a"]
    assert queue.resume_group("c", connection=connection)
    [run] = run_pending(echo, queue=queue, connection=connection)
    assert run.job.group == "c"


def test_what_was_kept_back_by_deduplication_runs(
    queue: Queue, connection: Connection
) -> None:
    dedup = Dedup("once", keep_last_if_active=True)

    def handler(job: ActiveJob) -> Any:
        if job.data == 1:
            queue.add("welcome", 2, dedup=dedup, connection=connection)
        return job.data

    queue.add("welcome", 1, dedup=dedup, connection=connection)
    runs = run_pending(handler, queue=queue, connection=connection)
    assert [run.result for run in runs] == [1, 2]


def test_retry_later_does_not_use_up_the_attempt(
    queue: Queue, connection: Connection
) -> None:
    def later(_: ActiveJob) -> None:
        raise RetryLater(30)

    job = queue.add("welcome", connection=connection)
    [run] = run_pending(later, queue=queue, connection=connection)
    assert run.ending == "retry"
    found = queue.get(job.id, connection=connection)
    assert (found.state, found.attempt) == ("delayed", 0)


@pytest.mark.parametrize(
    ("worker", "bad"),
    [(echo, {}), (echo, {"queue": 7}), (7, {"queue": "mail"}), (echo, {"queue": []})],
)
def test_bad_arguments_are_told_before_any_connection(
    worker: Any, bad: dict[str, Any]
) -> None:
    with pytest.raises(ConfigError):
        run_pending(worker, dsn="postgresql://nowhere.invalid/x", **bad)
    with pytest.raises(ConfigError):
        run_pending(echo, queue="mail", max_jobs=0)
