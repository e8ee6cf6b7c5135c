"""What becomes of a job: its handler returned, raised, took too long."""

from __future__ import annotations

import asyncio
import contextvars
import itertools
import threading
from typing import TYPE_CHECKING, Any

import pytest

from pgqueue import Backoff, NewJob, Queue, RetryLater, Unrecoverable, Worker
from pgqueue.errors import ConfigError, LeaseLost
from waiting import SOON, until, until_async
from working import KINDS, Facts, Heard, drain, handler_of, work_for

if TYPE_CHECKING:
    from collections.abc import Callable

    from conftest import Sql

each_kind = pytest.mark.parametrize("kind", KINDS)


def raiser(error: BaseException) -> Callable[[Any], Any]:
    def body(job: Any) -> Any:
        raise error

    return body


async def run_one(dsn: str, queue: Queue, body: Any, kind: str, **options: Any) -> Any:
    """Add one job, run it to its end, and return its snapshot."""
    job = queue.add("one", **options)
    await drain(Worker("work", handler_of(kind, body), dsn=dsn))
    return queue.get(job.id)


@each_kind
async def test_a_result_is_stored_and_given_to_completed(
    dsn: str, queue: Queue, kind: str
) -> None:
    job = queue.add("paint", {"color": "blue"})
    worker = Worker("work", handler_of(kind, lambda j: {"got": j.data}), dsn=dsn)
    heard = Heard(worker, "active", "completed", "failed", "drained", "closed")
    await drain(worker)
    stored = queue.get(job.id)
    assert (stored.state, stored.attempt) == ("completed", 1)
    assert stored.result == {"got": {"color": "blue"}}
    # That nothing waits may be seen while the last job still runs.
    names = [name for name in heard.names() if name != "drained"]
    assert names == ["active", "completed", "closed"]
    assert len(heard.of("drained")) == 1
    ((active,),) = heard.of("active")
    assert (active.id, active.data) == (job.id, {"color": "blue"})
    ((done, result),) = heard.of("completed")
    assert (done.id, done.state, result) == (job.id, "completed", stored.result)


@each_kind
async def test_an_exception_fails_the_job_with_reason_and_stack(
    dsn: str, queue: Queue, kind: str, sql: Sql
) -> None:
    job = queue.add("paint")
    worker = Worker("work", handler_of(kind, raiser(OSError("no paint"))), dsn=dsn)
    heard = Heard(worker, "failed", "retrying", "completed")
    await drain(worker)
    assert queue.get(job.id).state == "failed"
    assert queue.get(job.id).error == "no paint"
    ((snapshot, error),) = heard.of("failed")
    assert heard.names() == ["failed"]
    assert (snapshot.state, error.will_retry) == ("failed", False)
    assert isinstance(error.__cause__, OSError)
    row = sql.one("SELECT attempt, error, stack FROM pgqueue.attempt")
    assert (row.attempt, row.error) == (1, "no paint")
    assert "raiser" in row.stack or "body" in row.stack


@each_kind
async def test_a_failed_run_is_repeated_while_attempts_are_left(
    dsn: str, queue: Queue, kind: str
) -> None:
    job = queue.add("paint", attempts=3)
    runs: list[int] = []

    def body(active: Any) -> str:
        runs.append(active.attempt)
        if active.attempt < 3:
            raise OSError(f"run {active.attempt}")
        return "done"

    worker = Worker("work", handler_of(kind, body), dsn=dsn)
    heard = Heard(worker, "failed", "retrying", "completed")
    await drain(worker)
    assert runs == [1, 2, 3]
    assert heard.names() == ["failed", "retrying", "failed", "retrying", "completed"]
    assert [error.will_retry for _, error in heard.of("failed")] == [True, True]
    assert queue.get(job.id).result == "done"


async def test_every_job_is_retried_before_a_drain_ends(dsn: str, queue: Queue) -> None:
    queue.add_bulk([NewJob("flaky", attempts=4) for _ in range(200)])

    def body(job: Any) -> None:
        if job.attempt < 4:
            raise OSError("again")

    await drain(Worker("work", handler_of("async def", body), dsn=dsn, concurrency=3))
    assert queue.counts().completed == 200


@pytest.mark.parametrize(
    ("backoff", "waits"),
    [
        (Backoff.fixed(0.2), (0.2, 0.2)),
        (Backoff.exponential(0.1), (0.1, 0.2)),
        (0.15, (0.15, 0.15)),
    ],
    ids=["fixed", "exponential", "a duration"],
)
async def test_backoff_is_kept_by_the_clock_of_the_database(
    dsn: str, queue: Queue, sql: Sql, backoff: Any, waits: tuple[float, ...]
) -> None:
    queue.add("paint", attempts=3, backoff=backoff)
    starts: list[Any] = []

    async def handler(job: Any) -> None:
        starts.append(job.claimed_at)
        raise OSError("no")

    async with Worker("work", handler, dsn=dsn):
        await until_async(lambda: queue.counts().failed == 1)
    ends = [
        row[0] for row in sql.all("SELECT finished_at FROM pgqueue.attempt ORDER BY 1")
    ]
    for end, start, wait in zip(ends, starts[1:], waits, strict=False):
        assert wait <= (start - end).total_seconds() < wait + SOON


@each_kind
async def test_unrecoverable_fails_at_once_whatever_attempts_are_left(
    dsn: str, queue: Queue, kind: str
) -> None:
    body = raiser(Unrecoverable("broken for good"))
    job = await run_one(dsn, queue, body, kind, attempts=9)
    assert (job.state, job.attempt, job.error) == ("failed", 1, "broken for good")


@each_kind
async def test_retry_later_uses_no_attempt_and_keeps_its_delay(
    dsn: str, queue: Queue, kind: str
) -> None:
    queue.add("paint", attempts=1)
    starts: list[tuple[int, Any]] = []

    def body(job: Any) -> None:
        starts.append((job.attempt, job.claimed_at))
        if len(starts) < 3:
            raise RetryLater(0.2)

    worker = Worker("work", handler_of(kind, body), dsn=dsn)
    heard = Heard(worker, "failed", "retrying", "completed")
    async with worker:
        await until_async(lambda: queue.counts().completed == 1)
    assert [attempt for attempt, _ in starts] == [1, 1, 1]
    assert heard.names() == ["completed"]
    gaps = [b[1] - a[1] for a, b in itertools.pairwise(starts)]
    assert all(0.2 <= gap.total_seconds() < 0.2 + SOON for gap in gaps)


class Nothing(RetryLater):
    def __init__(self) -> None:
        pass


@pytest.mark.parametrize("delay", [1e300, None], ids=["absurd", "missing"])
async def test_a_delay_that_cannot_be_stored_hurts_no_other_job(
    dsn: str, queue: Queue, delay: float | None
) -> None:
    queue.add("odd")
    queue.add_bulk([NewJob("plain") for _ in range(20)])

    def body(job: Any) -> None:
        if job.name == "odd":
            job.raw_data = ""
            raise Nothing if delay is None else RetryLater(delay)

    async with Worker("work", handler_of("async def", body), dsn=dsn):
        await until_async(lambda: queue.counts().completed == 20)


async def test_a_timeout_cancels_an_async_handler(
    dsn: str, queue: Queue, facts: Facts
) -> None:
    ended: list[str] = []

    async def handler(job: Any) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("cleaned up")

    job = queue.add("slow", timeout=0.1)
    await drain(Worker("work", handler, dsn=dsn))
    stored = queue.get(job.id)
    assert (stored.state, ended) == ("failed", ["cleaned up"])
    assert stored.error == "took longer than its timeout of 0.1 s"


async def test_a_handler_that_swallows_its_cancellation_loses_its_slot(
    dsn: str, queue: Queue, facts: Facts
) -> None:
    free = asyncio.Event()

    async def handler(job: Any) -> str:
        while job.name == "deaf" and not free.is_set():
            try:
                await free.wait()
            except asyncio.CancelledError:
                continue
        return "late"

    deaf = queue.add("deaf", timeout=0.05)
    async with Worker("work", handler, concurrency=1, dsn=dsn):
        await until_async(lambda: queue.get(deaf.id).state == "failed")
        other = queue.add("other")
        await until_async(lambda: queue.get(other.id).state == "completed")
        free.set()
    assert queue.get(deaf.id).state == "failed"
    assert facts.count("worker.abandoned") == 1


async def test_a_timed_out_thread_is_told_and_replaced(
    dsn: str, queue: Queue, facts: Facts
) -> None:
    told, refused, free = threading.Event(), threading.Event(), threading.Event()

    def handler(job: Any) -> str:
        if job.name == "deaf":
            until(lambda: job.cancelled)
            told.set()
            try:
                job.update_progress(1)
            except LeaseLost:
                refused.set()
            free.wait(10)
        return "late"

    deaf = queue.add("deaf", timeout=0.1, attempts=1)
    worker = Worker("work", handler, concurrency=1, dsn=dsn)
    heard = Heard(worker, "completed", "failed", "lease_lost")
    async with worker:
        await until_async(lambda: queue.get(deaf.id).state == "failed")
        assert await until_async(told.is_set)
        assert await until_async(refused.is_set)
        others = queue.add_bulk([NewJob("other") for _ in range(5)])
        await until_async(lambda: queue.counts().completed == len(others))
        free.set()
        await until_async(lambda: threads() <= 1)
    assert queue.get(deaf.id).error == "took longer than its timeout of 0.1 s"
    assert heard.names() == ["failed"] + ["completed"] * 5


def threads() -> int:
    return sum(one.name == "pgqueue-handler" for one in threading.enumerate())


@each_kind
@pytest.mark.parametrize(
    "result",
    [{1, 2}, object(), float("nan"), "\x00", "\ud800", b"raw", ["x" * 1_100_000]],
    ids=["set", "object", "nan", "nul", "surrogate", "bytes", "too big"],
)
async def test_a_result_that_cannot_be_stored_fails_its_job_once(
    dsn: str, queue: Queue, kind: str, result: object
) -> None:
    runs: list[int] = []

    def body(job: Any) -> object:
        runs.append(job.id)
        return result if job.name == "one" else "fine"

    neighbour = queue.add("neighbour")
    job = await run_one(dsn, queue, body, kind, attempts=5)
    assert (job.state, runs.count(job.id)) == ("failed", 1)
    assert f"result of job {job.id}" in job.error
    assert queue.get(neighbour.id).state == "completed"


class Mute(Exception):
    def __str__(self) -> str:
        raise OSError("no text")

    __repr__ = __str__


class Fatal(Exception):
    def __str__(self) -> str:
        raise SystemExit("in __str__")

    __repr__ = __str__


def recursive() -> Exception:
    one, two = OSError("one"), OSError("two")
    one.__cause__, two.__cause__ = two, one
    return one


@each_kind
@pytest.mark.parametrize(
    "error",
    [
        Mute(),
        Fatal(),
        OSError("x" * 50_000_000),
        OSError("a\x00b"),
        OSError("\ud800"),
        recursive(),
        OSError(),
        ExceptionGroup("many", [OSError(str(n)) for n in range(500)]),
    ],
    ids=["mute", "fatal", "50 MB", "nul", "surrogate", "cause", "empty", "group"],
)
async def test_whatever_an_exception_says_its_job_fails(
    dsn: str, queue: Queue, sql: Sql, kind: str, error: Exception
) -> None:
    job = await run_one(dsn, queue, raiser(error), kind)
    assert job.state == "failed"
    assert 0 < len(job.error) <= 8 * 1024
    stack = sql.value("SELECT stack FROM pgqueue.attempt")
    assert 0 < len(stack) <= 32 * 1024


@each_kind
@pytest.mark.parametrize(
    "error",
    [
        SystemExit(3),
        KeyboardInterrupt(),
        GeneratorExit(),
        asyncio.CancelledError("mine"),
        type("Odd", (BaseException,), {})("odd"),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_whatever_a_handler_raises_the_worker_lives(
    dsn: str, queue: Queue, kind: str, error: BaseException
) -> None:
    bad = queue.add("bad")
    good = queue.add("good")

    def body(job: Any) -> None:
        if job.name == "bad":
            raise error

    await drain(Worker("work", handler_of(kind, body), concurrency=1, dsn=dsn))
    assert queue.get(bad.id).state == "failed"
    assert queue.get(good.id).state == "completed"


async def test_a_def_handler_that_returns_an_awaitable_fails(
    dsn: str, queue: Queue
) -> None:
    async def later() -> None: ...

    job = await run_one(dsn, queue, lambda _: later(), "def")
    assert job.state == "failed"
    assert "awaitable" in job.error


@each_kind
async def test_progress_is_seen_while_the_job_runs(
    dsn: str, queue: Queue, kind: str
) -> None:
    go = threading.Event()
    seen: list[Any] = []

    async def slow(job: Any) -> None:
        await job.update_progress(42)
        await until_async(go.is_set)
        go.clear()
        await job.update_progress({"foo": "bar"})
        await until_async(go.is_set)

    def blocking(job: Any) -> None:
        job.update_progress(42)
        until(go.is_set)
        go.clear()
        job.update_progress({"foo": "bar"})
        until(go.is_set)

    job = queue.add("paint")
    worker = Worker("work", slow if kind == "async def" else blocking, dsn=dsn)
    worker.on("progress", lambda job, value: seen.append((job.id, value)))
    async with worker:
        await until_async(lambda: queue.get(job.id).progress == 42)
        assert queue.get(job.id).state == "active"
        go.set()
        await until_async(lambda: queue.get(job.id).progress == {"foo": "bar"})
        go.set()
        await until_async(lambda: queue.get(job.id).state == "completed")
    assert queue.get(job.id).progress == {"foo": "bar"}
    assert seen == [(job.id, 42), (job.id, {"foo": "bar"})]


@each_kind
async def test_progress_is_refused_once_the_lease_is_gone(
    dsn: str, queue: Queue, sql: Sql, kind: str
) -> None:
    caught: list[int] = []

    async def slow(job: Any) -> None:
        sql.run("DELETE FROM pgqueue.lease")
        try:
            await job.update_progress(1)
        except LeaseLost as error:
            caught.append(error.job_id)

    def blocking(job: Any) -> None:
        sql.run("DELETE FROM pgqueue.lease")
        try:
            job.update_progress(1)
        except LeaseLost as error:
            caught.append(error.job_id)

    job = queue.add("paint")
    worker = Worker("work", slow if kind == "async def" else blocking, dsn=dsn)
    heard = Heard(worker, "completed", "lease_lost", "error")
    await drain(worker)
    assert caught == [job.id]
    assert heard.names() == ["lease_lost", "error"]
    assert sql.value("SELECT count(*) FROM pgqueue.progress") == 0
    sql.run("DELETE FROM pgqueue.job")


colour: contextvars.ContextVar[str] = contextvars.ContextVar("colour", default="none")


@each_kind
async def test_context_variables_do_not_leak_between_jobs(
    dsn: str, queue: Queue, kind: str
) -> None:
    queue.add_bulk([NewJob("paint", remove_on_complete=True) for _ in range(2000)])
    seen: set[str] = set()

    def body(job: Any) -> None:
        seen.add(colour.get())
        colour.set(f"job {job.id}")

    await drain(Worker("work", handler_of(kind, body), concurrency=3, dsn=dsn))
    assert seen == {"none"}


@each_kind
async def test_concurrency_is_exact(dsn: str, queue: Queue, kind: str) -> None:
    queue.add_bulk([NewJob("paint") for _ in range(60)])
    now = most = 0
    lock = threading.Lock()
    pause = threading.Event()

    def enter(step: int) -> None:
        nonlocal now, most
        with lock:
            now += step
            most = max(most, now)

    async def slow(job: Any) -> None:
        enter(1)
        await work_for(0.01)
        enter(-1)

    def blocking(job: Any) -> None:
        enter(1)
        pause.wait(0.01)
        enter(-1)

    handler = slow if kind == "async def" else blocking
    await drain(Worker("work", handler, concurrency=7, dsn=dsn))
    assert most == 7
    assert queue.counts().completed == 60


async def test_a_handler_may_return_the_headers_of_its_job(
    dsn: str, queue: Queue
) -> None:
    def handler(job: Any) -> Any:
        return job.options.headers

    added = [queue.add("n"), queue.add("n", headers={"trace": "00-1"})]
    await drain(Worker("work", handler, dsn=dsn))
    assert [queue.get(job.id).result for job in added] == [{}, {"trace": "00-1"}]


async def test_a_handler_may_be_an_object(dsn: str, queue: Queue) -> None:
    class Painter:
        async def __call__(self, _: Any) -> str:
            return "painted"

    job = queue.add("paint")
    await drain(Worker("work", Painter(), dsn=dsn))
    assert queue.get(job.id).result == "painted"


def test_a_worker_says_what_is_wrong_with_its_options() -> None:
    for wrong in (
        {"concurrency": 0},
        {"lease": 0.5},
        {"max_stalled": -1},
        {"shutdown_timeout": -1},
        {"remove_on_complete": "yes"},
    ):
        with pytest.raises(ConfigError, match=next(iter(wrong))):
            Worker("work", print, **wrong)
    with pytest.raises(ConfigError, match="queues"):
        Worker([], print)
    with pytest.raises(ConfigError, match="event"):
        Worker("work", print).on("exploded", print)
