"""Tasks of Django, of whichever package has them."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from django_app.models import Note
from pgqueue import RetryLater, current_job
from pgqueue.django.library import tasks

if TYPE_CHECKING:
    from collections.abc import Callable

task = tasks.task


@task()
def add(a: int, b: int = 0) -> int:
    return a + b


@task
async def add_async(a: int, b: int = 0) -> int:
    return a + b


def retried(function: Callable[..., Any]) -> Any:
    """Give a task options of a job by `@task`, or by `using` where that takes none."""
    known = {"queue_name": "mail", "priority": 10}
    ours = {"attempts": 3, "backoff": 0, "tags": ["post"]}
    kinds = {each.kind for each in inspect.signature(task).parameters.values()}
    if inspect.Parameter.VAR_KEYWORD in kinds:
        return task(**known, **ours)(function)
    return task(**known)(function).using(**ours)


@retried
def fail(text: str) -> None:
    raise ValueError(text)


class Broken(Exception):
    """Of this module."""


@task()
def break_down(text: str) -> None:
    raise Broken(text)


@task()
def return_a_set() -> Any:
    return {1}


@task(takes_context=True)
def tell_attempt(context: Any, *, until: int = 1) -> dict[str, Any]:
    if context.attempt < until:
        raise ValueError("again")
    return {"id": context.task_result.id, "attempt": context.attempt}


@task()
def write(text: str) -> int:
    return int(Note.objects.create(text=text).pk)


@task()
def later_once(again: bool = False) -> int:
    job = current_job()
    if not again:
        job.update_data({"args": [True], "kwargs": {}})
        raise RetryLater(0)
    return int(job.attempt)


@task()
def order(n: int) -> None:
    Note.objects.create(text=f"{n}")
