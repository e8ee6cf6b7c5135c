"""Handlers by job name, and jobs that nobody handles."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from isolated_handlers import by_kind, by_kind_async
from pgqueue import ConfigError, NewJob, NoHandler, Queue, Worker
from pgqueue.worker.handlers import BOUNCES, LONGEST_HOLD, Handlers, Refusals
from waiting import until_async
from working import Facts, Heard, drain, work_for

if TYPE_CHECKING:
    from conftest import Sql


async def noop(job: Any) -> None:
    pass


async def test_each_job_is_run_by_the_handler_of_its_name(
    dsn: str, queue: Queue
) -> None:
    """`async def` on the loop, `def` in a thread, of one worker."""
    worker = Worker("work", dsn=dsn)

    @worker.handler("welcome")
    async def welcome(job: Any) -> Any:
        return ["welcome", threading.current_thread() is threading.main_thread()]

    @worker.handler("resize")
    def resize(job: Any) -> Any:
        job.update_progress(1)
        return ["resize", threading.current_thread() is threading.main_thread()]

    jobs = queue.add_bulk([NewJob("welcome"), NewJob("resize")] * 5)
    await drain(worker)
    results = [queue.get(job.id).result for job in jobs]
    assert results == [["welcome", True], ["resize", False]] * 5


async def test_other_names_go_to_the_handler_of_the_worker(
    dsn: str, queue: Queue
) -> None:
    worker = Worker("work", lambda _: "any", dsn=dsn)
    worker.handler("one")(lambda _: "one")
    jobs = queue.add_bulk([NewJob("one"), NewJob("two")])
    await drain(worker)
    assert [queue.get(job.id).result for job in jobs] == ["one", "any"]


async def test_a_job_that_nobody_handles_is_held_and_an_alarm_raised(
    dsn: str, queue: Queue, facts: Facts, sql: Sql
) -> None:
    worker = Worker("work", dsn=dsn)
    worker.handler("known")(noop)
    heard = Heard(worker, "error")
    strange = queue.add_bulk([NewJob("strange")] * 30)
    known = queue.add_bulk([NewJob("known")] * 30)
    began = time.monotonic()
    async with worker:
        await until_async(lambda: queue.counts().completed == len(known))
        # Longer than a hold: some have been looked at again.
        await work_for(1.5)
        # One may be looked at just now.
        await until_async(lambda: queue.counts().active == 0)
        # About once a second, however long this took on a busy machine.
        looks = 2 + time.monotonic() - began
        assert facts.count("job.released") < looks * len(strange)
    [(error,)] = heard.of("error")
    assert isinstance(error, NoHandler)
    assert (error.queue, error.name) == ("work", "strange")
    [told] = facts.of("job.unhandled")
    assert (told["queue"], told["name"]) == ("work", "strange")
    assert told["reason"] == str(error)
    assert "(there are handlers for 'known'" in str(error)
    assert "held for other workers and looked at again" in str(error)
    counts = queue.counts()
    assert counts.waiting + counts.delayed == len(strange)
    assert {queue.get(job.id).attempt for job in strange} == {0}
    assert sql.value("SELECT count(*) FROM pgqueue.attempt") == 0


async def test_another_worker_takes_what_one_does_not_handle(
    dsn: str, queue: Queue
) -> None:
    ours, theirs = Worker("work", dsn=dsn), Worker("work", dsn=dsn)
    ours.handler("ours")(noop)
    theirs.handler("theirs")(noop)
    async with ours, theirs:
        queue.add_bulk([NewJob("ours"), NewJob("theirs")] * 20)
        await until_async(lambda: queue.counts().completed == 40, timeout=40)


def test_the_more_jobs_nobody_handles_the_longer_each_is_held() -> None:
    """So that a million of them cost no more than a few dozen a second."""

    class Silent:
        def emit(self, *args: object) -> None: ...

    class One:
        id, queue, name, refused = 1, "work", "strange", False

    refusals: Any = Refusals(Handlers(), Silent())  # type: ignore[arg-type]
    delays = [refusals.refuse(One(), 100.0).delay for _ in range(100_000)]
    assert delays[0] == 1.0
    assert delays[1000] == pytest.approx(1.0 + 1000 / BOUNCES)
    assert delays[-1] == pytest.approx(LONGEST_HOLD)


@pytest.mark.parametrize("kind", [by_kind, by_kind_async])
async def test_processes_of_their_own_have_handlers_by_name_too(
    dsn: str, queue: Queue, kind: Any
) -> None:
    worker = Worker("work", dsn=dsn, isolation="process", concurrency=1)
    worker.handler("x")(kind)
    job = queue.add("x", "hello")
    await drain(worker, 30)
    assert queue.get(job.id).result["data"] == "hello"


async def test_a_worker_without_any_handler_does_not_start(dsn: str) -> None:
    with pytest.raises(ConfigError, match="no handler"):
        await Worker("work", dsn=dsn).serve()
    worker = Worker("work", dsn=dsn, isolation="process")
    worker.handler("x")(lambda _: 1)
    with pytest.raises(ConfigError, match="import"):
        await worker.serve()


def test_a_name_has_one_handler(dsn: str) -> None:
    worker = Worker("work", dsn=dsn)
    worker.handler("x")(noop)
    with pytest.raises(ConfigError, match="one handler"):
        worker.handler("x")(noop)
    with pytest.raises(ConfigError, match="name"):
        worker.handler("")(noop)
    with pytest.raises(ConfigError, match="handler"):
        worker.handler("y")(3)  # type: ignore[type-var]


def test_decorators_without_parentheses_say_what_to_write(dsn: str) -> None:
    worker = Worker("work", dsn=dsn)

    def greet(_job: Any) -> None: ...

    with pytest.raises(ConfigError, match=r'@worker\.handler\("greet"\)'):
        worker.handler(greet)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r'@worker\.on\("completed"\)'):
        worker.on(greet)  # type: ignore[call-overload]
    with pytest.raises(ConfigError, match="one of active, "):
        worker.on("complete")
