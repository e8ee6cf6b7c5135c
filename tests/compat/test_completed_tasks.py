"""`getCompleted`, which programs import from the worker's module."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from pgqueue.compat.bullmq.worker import getCompleted


async def answers(value: Any) -> Any:
    return value


async def breaks(error: BaseException) -> Any:
    raise error


async def forever() -> None:
    await asyncio.Event().wait()


def tell_nobody(*told: Any) -> None:
    pytest.fail(f"told {told}")


async def test_of_no_tasks_none_has_completed_and_others_had_their_turn() -> None:
    other = asyncio.ensure_future(answers(1))
    assert await getCompleted(set(), tell_nobody) == ([], set())
    assert other.done()


async def test_the_first_to_complete_are_returned_and_the_others_left() -> None:
    first, nothing = (asyncio.ensure_future(answers(one)) for one in ("a", None))
    rest = asyncio.ensure_future(forever())
    completed = await getCompleted({first, nothing, rest}, tell_nobody)
    assert completed == (["a"], {rest})
    rest.cancel()


async def test_what_a_task_raised_is_told_and_is_no_result() -> None:
    error, told = RuntimeError("no"), list[tuple[Any, ...]]()
    tasks = {asyncio.ensure_future(one) for one in (breaks(error), answers("a"))}
    completed = await getCompleted(tasks, lambda *args: told.append(args))
    assert completed == (["a"], set())
    assert told == [("error", error)]


async def test_a_task_that_was_cancelled_cancels_who_asked() -> None:
    task = asyncio.ensure_future(forever())
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await getCompleted({task}, tell_nobody)
