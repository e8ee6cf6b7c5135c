"""Handlers that a child process can import."""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
import sys
import threading
from pathlib import Path
from typing import Any

from effects import write
from pgqueue import (
    FlowNode,
    Queue,
    RateLimited,
    RetryLater,
    Unrecoverable,
    WaitForChildren,
    current_job,
)
from waiting import until


def by_kind(job: Any) -> Any:
    """Do what the data says."""
    match job.data:
        case "segfault":
            ctypes.string_at(0)
        case "exit":
            os._exit(3)
        case "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        case "sys.exit":
            sys.exit(1)
        case "hang":
            threading.Event().wait()
        case "raise":
            raise ValueError("on purpose")
        case "final":
            raise Unrecoverable("not again")
        case "later":
            if job.attempt == 1 and not os.environ.get("PGQUEUE_TEST_LATER"):
                os.environ["PGQUEUE_TEST_LATER"] = "1"
                raise RetryLater(0.01, "not yet")
        case "set":
            return {1, 2}
        case "log":
            job.log("from a child")
        case "progress":
            job.update_progress({"half": True})
    return {"pid": os.getpid(), "data": job.data}


def meets_a_limit_once(job: Any) -> None:
    """Be refused by some service, the first time in this process."""
    if not os.environ.get("PGQUEUE_TEST_LIMIT"):
        os.environ["PGQUEUE_TEST_LIMIT"] = "1"
        raise RateLimited(0.2)


async def by_kind_async(job: Any) -> Any:
    """Do the same on the child's loop."""
    if job.data == "hang":
        await asyncio.Event().wait()
    if job.data == "progress":
        await job.update_progress({"half": True})
        return {"pid": os.getpid(), "data": job.data}
    return by_kind(job)


def kills_its_process_unless_alone(job: Any) -> Any:
    """Kill the worker's process, and say that it was a child if it was one."""
    if job.data == "poison":
        os.kill(os.getpid(), signal.SIGKILL)
    return os.getpid()


def waits_for_a_file(job: Any) -> Any:
    """Say by a file that it runs, and go on once another one is there."""
    folder = Path(job.data)
    (folder / f"runs-{job.id}").touch()
    until((folder / "go").exists, 60)
    return os.getpid()


queue = Queue("work")


@queue.job("where", attempts=2)
def where(word: str) -> list[Any]:
    """Tell where and as what it runs."""
    return [word, os.getpid(), current_job().name]


@queue.job()
async def where_async(word: str) -> list[Any]:
    """Do the same, as a coroutine."""
    await current_job().update_progress(50)
    return [word, os.getpid(), current_job().name]


def batch_of_pids(jobs: Any) -> Any:
    """Say where each job ran, and with how many."""
    return [[os.getpid(), len(jobs)] for _ in jobs]


async def batch_of_pids_async(jobs: Any) -> Any:
    """Do the same, each job settled by itself."""
    for job in jobs:
        await job.update_progress(1)
        job.complete([os.getpid(), len(jobs)])


def batch_that_fails(jobs: Any) -> None:
    """Fail each job by itself."""
    for job in jobs:
        job.fail(Unrecoverable("not this one"))


def writes_in_a_transaction(job: Any) -> Any:
    """Write, complete, and do what the data says of the rest."""
    with job.transaction() as connection:
        connection.execute(write(job.id))
        job.complete({"wrote": job.id})
        if job.data == "die inside":
            os.kill(os.getpid(), signal.SIGKILL)
        if job.data == "raise":
            raise ValueError("on purpose")
        if job.data == "die in the commit":
            dies_once_committed(job)
    if job.data == "die after":
        os.kill(os.getpid(), signal.SIGKILL)
    if job.data == "raise after":
        raise ValueError("too late")


async def writes_in_a_transaction_async(job: Any) -> Any:
    """Do the same on the child's loop."""
    async with job.transaction() as connection:
        await connection.execute(write(job.id))
        job.complete({"wrote": job.id})
        if job.data == "die inside":
            os.kill(os.getpid(), signal.SIGKILL)
        if job.data == "raise":
            raise ValueError("on purpose")
    if job.data == "die after":
        os.kill(os.getpid(), signal.SIGKILL)
    if job.data == "raise after":
        raise ValueError("too late")


def dies_once_committed(job: Any) -> None:
    """Kill this process when the server has answered the commit, before that is told."""

    def die(*_args: Any) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    job.reporter.committer.committed = die


def report_in_steps(job: Any) -> Any:
    """Add children the first time, wait for them, and put together what they left."""
    if job.name == "page":
        if job.data == "bad":
            raise OSError("bad page")
        return {"page": job.data, "pid": os.getpid()}
    values = job.children_values()
    if not values:
        for n in (1, 2, "bad"):
            job.add_child(FlowNode("page", n, queue="pages", on_child_failure="ignore"))
        if job.data == "raise":
            raise WaitForChildren("for the pages")
        job.wait_children()
    return {
        "pages": sorted(value["page"] for value in values.values()),
        "failures": list(job.children_failures().values()),
        "pid": os.getpid(),
    }


async def report_in_steps_async(job: Any) -> Any:
    """Do the same on the child's loop."""
    if job.name == "page":
        if job.data == "bad":
            raise OSError("bad page")
        return {"page": job.data, "pid": os.getpid()}
    values = await job.children_values()
    if not values:
        for n in (1, 2, "bad"):
            await job.add_child(
                FlowNode("page", n, queue="pages", on_child_failure="ignore")
            )
        if job.data == "raise":
            raise WaitForChildren("for the pages")
        job.wait_children()
    failures = await job.children_failures()
    return {
        "pages": sorted(value["page"] for value in values.values()),
        "failures": list(failures.values()),
        "pid": os.getpid(),
    }
