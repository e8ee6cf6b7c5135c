"""Django's tasks on `PgQueueBackend`, with whichever package has them."""

from __future__ import annotations

import dataclasses
import pickle
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest
from asgiref.sync import async_to_sync
from django.db import transaction
from django.test import override_settings
from django.utils import timezone

from django_app import tasks
from pgqueue import Backoff, Dedup, KeepJobs
from pgqueue.django import PgQueueBackend, queue
from pgqueue.django.library import (
    InvalidTask,
    TaskResultDoesNotExist,
    exceptions,
    signals,
)
from pgqueue.django.library import base as library
from pgqueue.django.library import tasks as library_tasks
from pgqueue.django.results import raised_in
from pgqueue.testing import travel

if TYPE_CHECKING:
    from collections.abc import Callable

    from conftest import Sql

STATUS = library.TaskResultStatus


def test_the_backend_is_the_one_of_the_settings() -> None:
    backend = library_tasks.default_task_backend
    assert backend == library_tasks.task_backends["default"]
    assert isinstance(library_tasks.task_backends["default"], PgQueueBackend)
    assert backend.supports_defer
    assert backend.supports_async_task
    assert backend.supports_get_result
    assert backend.supports_priority


@pytest.mark.parametrize("task", [tasks.add, tasks.add_async])
def test_a_task_is_enqueued_and_runs(
    task: Any, site: Sql, work: Callable[..., None]
) -> None:
    result = task.enqueue(1, b=2)
    assert result.status == STATUS.READY
    assert (result.args, result.kwargs) == ([1], {"b": 2})
    assert (result.is_finished, result.attempts, result.started_at) == (False, 0, None)
    with pytest.raises(ValueError, match="not finished"):
        _ = result.return_value
    work()
    result.refresh()
    assert result.status == STATUS.SUCCESSFUL
    assert (result.is_finished, result.attempts, result.return_value) == (True, 1, 3)
    assert result.enqueued_at <= result.started_at <= result.finished_at
    assert result.last_attempted_at == result.started_at
    assert result.task == task


def test_enqueue_and_get_are_awaited_too(site: Sql, work: Callable[..., None]) -> None:
    async def go() -> Any:
        result = await tasks.add.aenqueue(1)
        assert await tasks.add.aget_result(result.id) == result
        return result

    result = async_to_sync(go)()
    work()
    async_to_sync(result.arefresh)()
    assert result.return_value == 1


def test_a_task_enqueued_in_a_block_exists_once_it_commits(site: Sql) -> None:
    with transaction.atomic():
        result = tasks.add.enqueue(1)
        assert tasks.add.get_result(result.id) == result
        transaction.set_rollback(True)
    with pytest.raises(TaskResultDoesNotExist):
        tasks.add.get_result(result.id)


def test_a_failed_task_tells_what_each_run_raised(
    site: Sql, work: Callable[..., None]
) -> None:
    result = tasks.fail.enqueue("told to\nin two lines")
    work()
    result = tasks.fail.get_result(result.id)
    assert result.status == STATUS.FAILED
    assert result.attempts == 3
    assert len(result.worker_ids) == 3
    assert [each.exception_class for each in result.errors] == [ValueError] * 3
    assert "told to" in result.errors[0].traceback
    assert "raise ValueError(text)" in result.errors[0].traceback
    with pytest.raises(ValueError, match="failed"):
        _ = result.return_value


def test_the_exception_of_a_module_is_found(
    site: Sql, work: Callable[..., None]
) -> None:
    result = tasks.break_down.enqueue("x")
    work()
    result.refresh()
    assert result.errors[0].exception_class is tasks.Broken


@pytest.mark.parametrize(
    ("stack", "path"),
    [
        ("Traceback …\n  File x\n    raise\na.b.Broken: text: more", "a.b.Broken"),
        ("  File x\nKeyError: 'x'\nnot: this", "builtins.KeyError"),
        ("  File x\nSystemExit", "builtins.SystemExit"),
        ("", "builtins.Exception"),
    ],
)
def test_the_class_is_read_off_a_traceback(stack: str, path: str) -> None:
    assert raised_in(stack) == path


def test_a_result_that_is_not_json_fails_the_task(
    site: Sql, work: Callable[..., None]
) -> None:
    result = tasks.return_a_set.enqueue()
    work()
    result.refresh()
    assert result.errors[0].exception_class is TypeError
    assert "result is a set; give a list" in result.errors[0].traceback


def test_a_task_with_context_knows_its_attempt(
    site: Sql, work: Callable[..., None]
) -> None:
    result = tasks.tell_attempt.using(attempts=2).enqueue(until=2)
    work()
    result.refresh()
    assert result.return_value == {"id": result.id, "attempt": 2}
    assert len(result.errors) == 1


def test_arguments_that_are_not_json_are_refused_before_anything_is_sent(
    site: Sql,
) -> None:
    with pytest.raises(TypeError, match=r"Unsupported.*args\[0\] is a datetime; give"):
        tasks.add.enqueue(datetime.now(UTC))
    deep = {"orders": [1, UUID(int=7)]}
    with pytest.raises(TypeError, match=r"b\.orders\[1\] is a UUID; give str\(value\)"):
        tasks.add.enqueue(1, b=deep)
    with pytest.raises(TypeError, match=r"args\[0\] is a Decimal; give str\(value\)"):
        tasks.add.enqueue(Decimal("1.5"))
    assert site.value("SELECT count(*) FROM pgqueue.job") == 0


def test_options_of_the_decorator_reach_the_job(site: Sql) -> None:
    result = tasks.fail.enqueue("x")
    [job] = queue("mail").jobs()
    assert result.id == f"mail:{job.id}"
    assert (job.attempts, job.priority, job.tags) == (3, 90, ("post",))
    assert job.backoff == Backoff.fixed(0)


def test_options_of_using_win_over_those_of_the_settings(site: Sql) -> None:
    tasks.add.enqueue(1)
    tasks.add.using(keep_logs=5, attempts=7, key="once").enqueue(1)
    told = "SELECT options ->> 'keep_logs', attempts, key FROM pgqueue.jobs ORDER BY id"
    assert [tuple(row) for row in site.all(told)] == [
        ("100", 1, None),
        ("5", 7, "once"),
    ]


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ({"attempts": 7}, 7),
        ({"backoff": Backoff.exponential(2, max=60)}, Backoff.exponential(2, max=60)),
        ({"timeout": timedelta(minutes=2)}, 120.0),
        ({"remove_on_complete": 5}, 5),
        ({"remove_on_fail": KeepJobs(age=60)}, KeepJobs(age=60)),
        ({"headers": {"trace": "a"}}, {"trace": "a"}),
        ({"tags": ["a", "b"]}, ("a", "b")),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_every_option_of_a_job_is_one_of_a_task(
    site: Sql, asked: dict[str, Any], found: Any
) -> None:
    tasks.add.using(**asked).enqueue(1)
    [job] = queue("default").jobs()
    assert getattr(job, *asked) == found


def test_a_task_may_go_first_and_bound_its_traceback(site: Sql) -> None:
    tasks.add.using(lifo=True, stack_limit=3).enqueue(1)
    assert site.value("SELECT seq < 0 FROM pgqueue.ready")
    assert site.value("SELECT options ->> 'stack_limit' FROM pgqueue.jobs") == "3"


def test_an_expiry_a_deduplication_and_removal_of_a_task_hold(
    site: Sql, work: Callable[..., None]
) -> None:
    once = tasks.add.using(dedup=Dedup("one"), remove_on_complete=True)
    assert once.enqueue(1).id == once.enqueue(2).id
    late = tasks.add.using(expires=60).enqueue(3)
    travel(minutes=2)
    work()
    [job] = queue("default").jobs()
    assert late.id == f"default:{job.id}"
    assert "expired" in str(job.error)


def test_a_bad_option_is_an_invalid_task() -> None:
    for bad in ({"attempts": 0}, {"backoff": -1}, {"timeout": -1}, {"lifo": "yes"}):
        with pytest.raises(InvalidTask, match=next(iter(bad))):
            tasks.add.using(**bad)
    with pytest.raises(TypeError, match="attemps"):
        tasks.add.using(attemps=2)


def test_the_check_tells_of_bad_options_in_the_settings() -> None:
    def ids(given: dict[str, Any]) -> list[str]:
        backend = PgQueueBackend("default", {"OPTIONS": given})
        return [each.id for each in backend.check()]

    assert ids({"attempts": 5}) == []
    assert ids({"attempts": 0}) == ["pgqueue.E004"]
    assert ids({"tries": 5}) == ["pgqueue.E003"]


def test_what_django_refuses_is_refused() -> None:
    with pytest.raises(InvalidTask, match="aware"):
        tasks.add.using(run_after=datetime(2030, 1, 1))  # noqa: DTZ001  the point
    for priority in (-101, 101, 3.1):
        with pytest.raises(InvalidTask, match="priority"):
            tasks.add.using(priority=priority)
    with pytest.raises(InvalidTask, match="queue-2"):
        tasks.add.using(queue_name="queue-2")
    for function in (any, lambda: None):
        with pytest.raises(InvalidTask, match="module level"):
            library_tasks.task()(function)


def test_a_task_can_be_deferred(site: Sql, work: Callable[..., None]) -> None:
    after = timezone.now() + timedelta(hours=1)
    result = tasks.add.using(run_after=after).enqueue(1)
    work()
    [job] = queue("default").jobs()
    assert (job.state, job.run_at) == ("delayed", after)
    assert tasks.add.get_result(result.id).status == STATUS.READY
    travel(hours=1)
    work()
    assert tasks.add.get_result(result.id).return_value == 1


def test_a_naive_instant_is_one_of_the_sites_time_zone(site: Sql) -> None:
    with override_settings(USE_TZ=False, TIME_ZONE="Europe/Paris"):
        result = tasks.add.using(run_after=datetime(2050, 1, 1, 12)).enqueue(1)  # noqa: DTZ001
        assert result.enqueued_at.tzinfo is None
    [job] = queue("default").jobs()
    assert job.run_at == datetime(2050, 1, 1, 11, tzinfo=UTC)


def test_the_highest_priority_runs_first(site: Sql, work: Callable[..., None]) -> None:
    for n in (-100, 0, 100, 50):
        tasks.order.using(priority=n).enqueue(n)
    work("default", concurrency=1)
    ran = site.all("SELECT text FROM django_app_note ORDER BY id")
    assert [row.text for row in ran] == ["100", "50", "0", "-100"]
    listed = queue("default").jobs("completed")
    found = [
        library_tasks.default_task_backend.get_result(f"default:{job.id}")
        for job in listed
    ]
    assert sorted(each.task.priority for each in found) == [-100, 0, 50, 100]


def test_a_task_may_ask_to_run_later(site: Sql, work: Callable[..., None]) -> None:
    result = tasks.later_once.enqueue()
    work()
    result.refresh()
    assert (result.status, result.return_value) == (STATUS.SUCCESSFUL, 1)
    assert result.errors == []


def test_results_that_are_not_there(site: Sql) -> None:
    result = tasks.add.enqueue(1)
    queue("default").add("not.a.task", {})
    for missing in (
        "123",
        "default:123",
        "default:x",
        "",
        "default:2",
        "x:99999999999999999999",
    ):
        with pytest.raises(TaskResultDoesNotExist):
            tasks.add.get_result(missing)
    with pytest.raises(exceptions.TaskResultMismatch):
        tasks.write.get_result(result.id)


def test_tasks_and_results_can_be_pickled(site: Sql) -> None:
    result = tasks.add.enqueue(1)
    original = dataclasses.asdict(result)
    if library.Task.__reduce__ is not object.__reduce__:  # not in every release
        assert pickle.loads(pickle.dumps(tasks.add)) == tasks.add  # noqa: S301
        assert pickle.loads(pickle.dumps(result)) == result  # noqa: S301
    result.refresh()
    assert dataclasses.asdict(result) == original


def test_signals_tell_of_every_task(site: Sql, work: Callable[..., None]) -> None:
    heard: list[tuple[str, str, int]] = []

    def hear(name: str) -> Any:
        def receiver(sender: Any, task_result: Any, **_: Any) -> None:
            assert sender is PgQueueBackend
            heard.append((name, task_result.status, task_result.attempts))

        return receiver

    kept = {name: hear(name) for name in ("enqueued", "started", "finished")}
    for name, receiver in kept.items():
        getattr(signals, f"task_{name}").connect(receiver)
    try:
        tasks.add.enqueue(1)
        work()
        tasks.fail.using(attempts=2).enqueue("x")
        work()
    finally:
        for name, receiver in kept.items():
            getattr(signals, f"task_{name}").disconnect(receiver)
    assert heard == [
        ("enqueued", "READY", 0),
        ("started", "RUNNING", 1),
        ("finished", "SUCCESSFUL", 1),
        ("enqueued", "READY", 0),
        ("started", "RUNNING", 1),
        ("started", "RUNNING", 2),
        ("finished", "FAILED", 2),
    ]
