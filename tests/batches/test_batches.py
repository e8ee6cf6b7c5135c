"""Handlers of batches: several jobs at once, each settled by itself."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any

import pytest

from pgqueue import (
    Backoff,
    Batch,
    ConfigError,
    JobStateError,
    NewJob,
    Queue,
    RateLimited,
    RetryLater,
    Unrecoverable,
    Worker,
)
from waiting import until_async
from working import KINDS, Heard, drain, handler_of

if TYPE_CHECKING:
    from conftest import Sql

each_kind = pytest.mark.parametrize("kind", KINDS)


def add(queue: Queue, count: int, **options: Any) -> list[int]:
    """Add jobs whose data are 0, 1, … and return their ids."""
    jobs = queue.add_bulk([NewJob("x", n, **options) for n in range(count)])
    return [job.id for job in jobs]


def results(queue: Queue, ids: list[int]) -> list[Any]:
    return [queue.get(job_id).result for job_id in ids]


def states(queue: Queue, ids: list[int]) -> list[str]:
    return [queue.get(job_id).state for job_id in ids]


@each_kind
async def test_a_handler_takes_up_to_size_jobs_and_a_list_gives_each_its_result(
    dsn: str, queue: Queue, kind: str
) -> None:
    ids, sizes = add(queue, 7), []

    def double(jobs: Any) -> Any:
        sizes.append(len(jobs))
        return [job.data * 2 for job in jobs]

    worker = Worker("work", handler_of(kind, double), batch=Batch(3), dsn=dsn)
    heard = Heard(worker, "active", "completed")
    await drain(worker)
    assert results(queue, ids) == [0, 2, 4, 6, 8, 10, 12]
    assert sorted(sizes) == [1, 3, 3]
    assert len(heard.of("active")) == len(heard.of("completed")) == 7


@each_kind
async def test_a_dict_settles_by_id_and_none_completes_all(
    dsn: str, queue: Queue, kind: str
) -> None:
    ids = add(queue, 3)

    def some(jobs: Any) -> Any:
        return {job.id: "yes" for job in jobs if job.data}

    await drain(Worker("work", handler_of(kind, some), batch=Batch(3), dsn=dsn))
    assert results(queue, ids) == [None, "yes", "yes"]
    more = add(queue, 3)
    worker = Worker("work", handler_of(kind, lambda _: None), batch=Batch(3), dsn=dsn)
    await drain(worker)
    assert states(queue, more) == ["completed"] * 3


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (5, "a value of int; return None, a list"),
        ("abc", "a value of str; return None, a list"),
        ([1], "a handler of 3 jobs returned 1 values"),
        ({"sent": 3}, "the key 'sent', which is no id of its jobs"),
    ],
)
async def test_any_other_value_fails_the_jobs_for_good_and_says_what_to_return(
    dsn: str, queue: Queue, value: Any, reason: str
) -> None:
    ids = add(queue, 3, attempts=5)
    await drain(Worker("work", lambda _: value, batch=Batch(3), dsn=dsn))
    assert states(queue, ids) == ["failed"] * 3
    assert all(reason in (queue.get(job_id).error or "") for job_id in ids)


@each_kind
async def test_an_exception_among_the_results_fails_its_job_alone(
    dsn: str, queue: Queue, kind: str
) -> None:
    """What `asyncio.gather(..., return_exceptions=True)` returns."""
    ids = add(queue, 3)
    body = handler_of(kind, lambda jobs: ["ok", ValueError("bad"), {1, 2}][: len(jobs)])
    await drain(Worker("work", body, batch=Batch(3), dsn=dsn))
    assert states(queue, ids) == ["completed", "failed", "failed"]
    assert queue.get(ids[1]).error == "bad"
    assert "not JSON" in (queue.get(ids[2]).error or "")


@each_kind
async def test_an_exception_fails_every_job_that_was_not_settled_by_itself(
    dsn: str, queue: Queue, kind: str
) -> None:
    """Each by its own rules: attempts, and what kind of failure it is."""
    ids = [
        queue.add("x", "done").id,
        queue.add("x", "final", attempts=5).id,
        queue.add("x", "left").id,
        queue.add("x", "again", attempts=2, backoff=Backoff.fixed(3600)).id,
    ]

    def body(jobs: Any) -> None:
        for job in jobs:
            if job.data == "done":
                job.complete({"n": 1})
            if job.data == "final":
                job.fail(Unrecoverable("no use"))
        raise ValueError("the rest")

    worker = Worker("work", handler_of(kind, body), batch=Batch(4), dsn=dsn)
    heard = Heard(worker, "completed", "failed", "retrying")
    async with worker:
        await until_async(lambda: queue.counts().active == 0 == queue.counts().waiting)
    assert states(queue, ids) == ["completed", "failed", "failed", "delayed"]
    assert queue.get(ids[0]).result == {"n": 1}
    assert queue.get(ids[1]).error == "no use"
    assert queue.get(ids[2]).error == "the rest"
    counted = [len(heard.of(name)) for name in ("completed", "failed", "retrying")]
    assert counted == [1, 3, 1]


@each_kind
async def test_retry_later_and_rate_limited_use_no_attempt(
    dsn: str, queue: Queue, kind: str
) -> None:
    ids, turns = add(queue, 2), []

    def body(jobs: Any) -> None:
        turns.append([job.attempt for job in jobs])
        if len(turns) == 1:
            raise RateLimited(0.05)
        if len(turns) == 2:
            for job in jobs:
                job.fail(RetryLater(0.05))

    worker = Worker("work", handler_of(kind, body), batch=Batch(2, 2, 60), dsn=dsn)
    async with worker:
        await until_async(lambda: states(queue, ids) == ["completed"] * 2, 30)
    assert turns == [[1, 1]] * 3


@each_kind
async def test_a_job_settled_by_itself_is_settled_before_its_batch_ends(
    dsn: str, queue: Queue, kind: str
) -> None:
    ids, go = add(queue, 2), threading.Event()

    async def on_loop(jobs: Any) -> Any:
        jobs[0].complete("early")
        await asyncio.to_thread(go.wait)
        return ["late", "late"]

    def in_thread(jobs: Any) -> Any:
        jobs[0].complete("early")
        go.wait()
        return ["late", "late"]

    handler = on_loop if kind == "async def" else in_thread
    async with Worker("work", handler, batch=Batch(2, 2, 60), dsn=dsn):
        await until_async(lambda: queue.get(ids[0]).state == "completed")
        assert queue.get(ids[1]).state == "active"
        go.set()
        await until_async(lambda: queue.get(ids[1]).state == "completed")
    assert results(queue, ids) == ["early", "late"]


@each_kind
async def test_a_job_is_settled_by_itself_once(
    dsn: str, queue: Queue, kind: str
) -> None:
    [job_id], refused = add(queue, 1), []

    def body(jobs: Any) -> None:
        jobs[0].complete()
        for again in (jobs[0].complete, lambda: jobs[0].fail(ValueError())):
            with pytest.raises(JobStateError, match="settled") as caught:
                again()
            refused.append(caught)

    await drain(Worker("work", handler_of(kind, body), batch=Batch(2), dsn=dsn))
    assert (queue.get(job_id).state, len(refused)) == ("completed", 2)


async def test_settling_by_itself_is_for_batches(dsn: str, queue: Queue) -> None:
    [job_id] = add(queue, 1)
    await drain(Worker("work", lambda job: job.complete(), dsn=dsn))
    assert "Worker(batch=…)" in (queue.get(job_id).error or "")


async def test_min_size_jobs_are_waited_for(dsn: str, queue: Queue) -> None:
    sizes: list[int] = []

    async def count(jobs: Any) -> None:
        sizes.append(len(jobs))

    add(queue, 2)
    async with Worker("work", count, batch=Batch(10, min_size=3, wait=3600), dsn=dsn):
        await until_async(lambda: queue.counts().active == 2)
        assert not sizes
        add(queue, 1)
        await until_async(lambda: queue.counts().completed == 3)
    assert sizes == [3]


async def test_min_size_is_waited_for_no_longer_than_wait(
    dsn: str, queue: Queue
) -> None:
    add(queue, 2)
    loop, sizes = asyncio.get_running_loop(), []

    async def count(jobs: Any) -> None:
        sizes.append((len(jobs), loop.time()))

    began = loop.time()
    await drain(Worker("work", count, batch=Batch(10, min_size=5, wait=0.3), dsn=dsn))
    [(size, at)] = sizes
    assert size == 2
    assert at - began >= 0.3


async def test_jobs_held_for_min_size_are_given_back_without_an_attempt(
    dsn: str, queue: Queue, sql: Sql
) -> None:
    ids = add(queue, 2)
    before = sql.all("SELECT * FROM pgqueue.ready ORDER BY 1")
    async with Worker("work", print, batch=Batch(9, min_size=3, wait=3600), dsn=dsn):
        await until_async(lambda: queue.counts().active == 2)
    assert states(queue, ids) == ["waiting"] * 2
    after = sql.all("SELECT * FROM pgqueue.ready ORDER BY 1")
    assert [row[:6] for row in after] == [row[:6] for row in before]


async def test_concurrency_counts_batches(dsn: str, queue: Queue) -> None:
    add(queue, 20)
    running, most, go = [], [], asyncio.Event()

    async def body(jobs: Any) -> None:
        running.append(jobs)
        most.append((len(running), sum(map(len, running))))
        await go.wait()
        running.remove(jobs)

    worker = Worker("work", body, batch=Batch(5, 5, 3600), concurrency=2, dsn=dsn)
    async with worker:
        await until_async(lambda: len(running) == 2)
        # What was claimed ahead goes back, and nothing more is.
        await until_async(lambda: queue.counts().active == 10)
        go.set()
        await until_async(lambda: queue.counts().completed == 20)
    assert max(most) == (2, 10)


@each_kind
async def test_a_batch_may_take_as_long_as_the_smallest_timeout_in_it(
    dsn: str, queue: Queue, kind: str
) -> None:
    ids = [queue.add("x", timeout=t).id for t in (3600, 0.3, None)]
    end = threading.Event()

    async def on_loop(jobs: Any) -> None:
        jobs[2].complete("in time")
        await asyncio.Event().wait()

    def in_thread(jobs: Any) -> None:
        jobs[2].complete("in time")
        end.wait()

    handler = on_loop if kind == "async def" else in_thread
    await drain(Worker("work", handler, batch=Batch(3, 3, 60), dsn=dsn))
    end.set()
    assert states(queue, ids) == ["failed", "failed", "completed"]
    assert "timeout of 0.3 s" in (queue.get(ids[0]).error or "")


async def test_what_cannot_start_is_left_out_of_its_batch(
    dsn: str, queue: Queue, sql: Sql
) -> None:
    late = queue.add("x", expires=0.001).id
    good = queue.add("x").id
    sizes: list[int] = []
    body = lambda jobs: sizes.append(len(jobs))  # noqa: E731
    sql.run("UPDATE pgqueue.job SET created_at = created_at - interval '1 minute'")
    await drain(Worker("work", body, batch=Batch(2, 2, 60), dsn=dsn))
    assert states(queue, [late, good]) == ["failed", "completed"]
    assert sizes == [1]


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({"batch": 50}, "a pgqueue.Batch"),
        ({"batch": Batch(50), "isolation": "process"}, "thread if batch= is given"),
        ({"batch": Batch(50), "concurrency": 201}, "at most 200"),
    ],
)
def test_a_batch_that_cannot_be_is_refused_at_once(
    dsn: str, options: dict[str, Any], what: str
) -> None:
    with pytest.raises(ConfigError, match=what):
        Worker("work", print, dsn=dsn, **options)


@pytest.mark.parametrize(
    ("given", "what"),
    [
        ({"size": 0}, "size=0"),
        ({"size": 10, "min_size": 11}, "min_size=11"),
        ({"size": 10, "wait": -1}, "wait=-1"),
    ],
)
def test_a_batch_says_which_number_is_out_of_its_range(
    given: dict[str, Any], what: str
) -> None:
    with pytest.raises(ConfigError, match=what):
        Batch(**given)


def test_a_worker_of_batches_has_one_handler(dsn: str) -> None:
    with pytest.raises(ConfigError, match="batch="):
        Worker("work", batch=Batch(5), dsn=dsn)
    worker = Worker("work", print, batch=Batch(5), dsn=dsn)
    with pytest.raises(ConfigError, match="takes one job"):
        worker.handler("name")
