"""Functions that are jobs: `@queue.job()`."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest

from isolated_handlers import where, where_async
from pgqueue import AsyncQueue, ConfigError, JobState, Queue, Worker, current_job
from working import drain

if TYPE_CHECKING:
    from conftest import Sql


async def test_a_function_is_called_with_what_was_added(dsn: str, queue: Queue) -> None:
    @queue.job(attempts=5, priority=3)
    async def greet(name: str, *, loud: bool = False) -> list[Any]:
        """Say hello."""
        return [name, loud, current_job().attempt]

    @queue.job("halve")
    def divide(number: float) -> list[Any]:
        return [number / 2, current_job().name]

    assert (greet.name, divide.name, greet.queue) == ("greet", "halve", "work")
    assert greet.__doc__ == "Say hello."
    added = [greet.add("ada", loud=True), greet.add(name="eve"), divide.add(3)]
    assert (added[0].attempts, added[0].priority) == (5, 3)
    assert added[0].data == {"name": "ada", "loud": True}
    worker = Worker("work", dsn=dsn)
    worker.register(greet, divide)
    await drain(worker)
    results = [queue.get(job.id).result for job in added]
    assert results == [["ada", True, 1], ["eve", False, 1], [1.5, "halve"]]


async def test_a_job_needs_no_parentheses(dsn: str, queue: Queue) -> None:
    @queue.job
    def halve(number: int) -> int:
        return number // 2

    assert halve(8) == 4
    job = halve.add(4)
    async with AsyncQueue("work", dsn=dsn) as other:

        @other.job
        async def double(number: int) -> int:
            return number * 2

        second = await double.add(4)
    worker = Worker("work", dsn=dsn)
    worker.register(halve, double)
    await drain(worker)
    assert [queue.get(one.id).result for one in (job, second)] == [2, 8]


def test_a_task_can_be_called_like_the_function_it_was(queue: Queue) -> None:
    @queue.job()
    def double(number: int) -> int:
        return 2 * number

    assert double(4) == 8
    assert queue.count() == 0


def test_arguments_that_do_not_fit_are_refused_when_added(queue: Queue) -> None:
    @queue.job()
    def double(number: int) -> int:
        return 2 * number

    with pytest.raises(TypeError, match="number"):
        double.add()  # type: ignore[call-arg]
    with pytest.raises(ConfigError, match="by name"):
        queue.job()(lambda *numbers: numbers)
    with pytest.raises(ConfigError, match="by name"):
        queue.job()(lambda **numbers: numbers)


@pytest.mark.parametrize("kind", ["def", "async def"])
async def test_a_job_without_data_calls_its_function_without_arguments(
    dsn: str, queue: Queue, kind: str
) -> None:
    def report(days: int = 7) -> int:
        return days

    async def report_async(days: int = 7) -> int:
        return days

    task: Any = queue.job("report")(report if kind == "def" else report_async)
    jobs = [queue.add("report"), queue.add("report", {}), task.add(3)]
    worker = Worker("work", dsn=dsn)
    worker.register(task)
    await drain(worker)
    assert [queue.get(job.id).result for job in jobs] == [7, 7, 3]


@pytest.mark.parametrize("kind", ["def", "async def"])
async def test_data_that_no_function_could_take_fails_its_job_at_once(
    dsn: str, queue: Queue, kind: str
) -> None:
    def double(number: int) -> int:
        return 2 * number

    async def double_async(number: int) -> int:
        return 2 * number

    task: Any = queue.job("double")(double if kind == "def" else double_async)
    job = queue.add("double", [4], attempts=3)
    worker = Worker("work", dsn=dsn)
    worker.register(task)
    await drain(worker)
    found = queue.get(job.id)
    assert (found.state, found.attempt) == (JobState.FAILED, 1)
    assert found.error is not None
    assert found.error.startswith("the job's data is [4], but double")
    assert "(number) is called with an object, its arguments by name" in found.error


@pytest.mark.parametrize("kind", ["def", "async def"])
async def test_arguments_that_do_not_fit_fail_a_run_and_are_named(
    dsn: str, queue: Queue, kind: str
) -> None:
    """Retries go on: in a roll-out another worker may have the newer function."""

    def double(number: int) -> int:
        return 2 * number

    async def double_async(number: int) -> int:
        return 2 * number

    task: Any = queue.job("double")(double if kind == "def" else double_async)
    job = queue.add("double", {"nummer": 4}, attempts=2)
    own = queue.add("double", {"number": None})
    worker = Worker("work", dsn=dsn)
    worker.register(task)
    await drain(worker)
    found = queue.get(job.id)
    assert (found.state, found.attempt) == (JobState.FAILED, 2)
    assert found.error is not None
    assert found.error.startswith("the job's data does not fit double")
    assert found.error.endswith("missing a required argument: 'number'; it has nummer")
    assert "unsupported operand" in str(queue.get(own.id).error), "its own TypeError"


def test_options_of_one_add_override_those_of_the_task(queue: Queue, sql: Sql) -> None:
    @queue.job(attempts=5)
    def work() -> None: ...

    with sql.connection.transaction(force_rollback=True):
        later = work.using(delay=60, connection=sql.connection).add()
        assert (later.state, later.attempts) == (JobState.DELAYED, 5)
    assert queue.count() == 0
    assert work.add().state == JobState.WAITING


async def test_async_queues_make_tasks_whose_add_is_awaited(dsn: str) -> None:
    async with AsyncQueue("work", dsn=dsn) as queue:

        @queue.job()
        async def greet(name: str) -> str:
            return f"hello {name}"

        job = await greet.add("ada")
        worker = Worker("work", dsn=dsn)
        worker.register(greet)
        await drain(worker)
        assert (await queue.get(job.id)).result == "hello ada"


def test_a_task_of_another_queue_is_not_registered(dsn: str, queue: Queue) -> None:
    @queue.job()
    def work() -> None: ...

    with pytest.raises(ConfigError, match="one of the queues other"):
        Worker("other", dsn=dsn).register(work)


@pytest.mark.parametrize("task", [where, where_async])
async def test_a_function_of_a_module_runs_in_a_child_process(
    dsn: str, queue: Queue, task: Any
) -> None:
    worker = Worker("work", isolation="process", concurrency=1, dsn=dsn)
    worker.register(task.using(attempts=3))
    job = queue.add(task.name, {"word": "hello"})
    await drain(worker, within=60)
    word, pid, name = queue.get(job.id).result
    assert (word, name) == ("hello", task.name)
    assert pid != os.getpid()


async def test_a_function_that_no_child_process_can_import_is_refused(
    dsn: str, queue: Queue
) -> None:
    @queue.job()
    def local() -> None:
        return None

    worker = Worker("work", isolation="process", dsn=dsn)
    worker.register(local)
    with pytest.raises(ConfigError, match="a child process can import"):
        await worker.serve()


@pytest.mark.parametrize("kind", [Queue, AsyncQueue])
def test_a_bad_option_is_refused_where_the_function_is_defined(
    kind: type[Queue | AsyncQueue], dsn: str
) -> None:
    queue: Any = kind("work", dsn=dsn)
    for wrong, words in (
        ({"attemps": 5}, "did you mean 'attempts'"),
        ({"priority": -1}, "priority=-1"),
    ):
        with pytest.raises(ConfigError, match=words):
            queue.job(**wrong)(where)
        with pytest.raises(ConfigError, match=words):
            queue.job()(where).using(**wrong)
