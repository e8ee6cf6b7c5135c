"""The other side of `isolation="process"`: one process that runs one job at a time.

It is told what to run through a pipe, in JSON, and answers with how the run ended. What
a job does to itself (progress, children) goes through a connection of its own. It ends
when the pipe does, also in the middle of a job: nobody would hear the outcome.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import threading
import time
from multiprocessing import connection, parent_process
from typing import TYPE_CHECKING, Any, Final

from pgqueue.errors import RateLimited, RetryLater, Unrecoverable, WaitForChildren
from pgqueue.worker.active_job import ActiveJob
from pgqueue.worker.committer import Committer, Terms
from pgqueue.worker.completion import instead
from pgqueue.worker.emitter import Emitter
from pgqueue.worker.finisher import Finisher
from pgqueue.worker.handlers import Handlers, is_async
from pgqueue.worker.outcome import BadResult, completed, describe, format_stack
from pgqueue.worker.reporter import AsyncReporter, ThreadReporter

if TYPE_CHECKING:
    from collections.abc import Callable
    from multiprocessing.connection import Connection

    from pgqueue.worker.completion import Completion


TELLING: Final = threading.Lock()


class TellingCommitter(Committer):
    """Also tells the worker, which has the listeners and the parents of the job."""

    def __init__(self, pipe: Connection, terms: Terms, finisher: Finisher) -> None:
        super().__init__(terms, finisher, lambda _job: None)
        self._pipe = pipe

    def written(self, job: ActiveJob, completion: Completion) -> None:
        super().written(job, completion)
        told = {
            "result": completion.outcome.encoded,
            "ran": completion.ran,
            "answers": completion.answers,
        }
        tell(self._pipe, completing=told)

    def refused(self, job: ActiveJob) -> None:
        super().refused(job)
        tell(self._pipe, completing=None)

    def committed(self, job: ActiveJob, completion: Completion) -> None:
        super().committed(job, completion)
        tell(self._pipe, committed=True)


def serve(pipe: Connection, handlers: Handlers, terms: Terms) -> None:
    """Run jobs until the pipe ends."""
    # Ctrl-C reaches the whole group; the worker decides when its children end.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    threading.Thread(target=end_with_parent, daemon=True).start()
    emitter = Emitter()
    emitter.on("progress", lambda _job, value: tell(pipe, progress=value))
    with asyncio.Runner() as runner:
        loop = runner.get_loop()
        committer = TellingCommitter(pipe, terms, Finisher(emitter, *terms.keep))
        place = (terms.settings, terms.worker_id)
        reporter = AsyncReporter(*place, emitter, committer)
        while (order := receive(pipe)) is not None:
            job = ActiveJob(order["queue"], order["queue_id"], tuple(order["row"]))
            job.data = order["data"]
            job.began = time.perf_counter()
            tell(pipe, began=True)
            handler = handlers.find(job.name)
            assert handler is not None, "refused before it was sent"  # noqa: S101
            asynchronous = is_async(handler)
            job.reporter = reporter if asynchronous else ThreadReporter(reporter, loop)
            tell(pipe, **runner.run(run(handler, job, asynchronous=asynchronous)))


async def run(
    handler: Callable[[ActiveJob], Any], job: ActiveJob, *, asynchronous: bool
) -> dict[str, Any]:
    """Run one job and return how it ended."""
    try:
        if asynchronous:
            result = await handler(job)
        else:
            # In a thread, so that the loop can carry what the job reports.
            result = await asyncio.to_thread(handler, job)
    except BaseException as error:  # noqa: BLE001  whatever a handler raises
        told: dict[str, Any] = {
            "ended": "raised",
            "reason": describe(error),
            "stack": format_stack(error),
            "kind": type(error).__name__,
        }
        if isinstance(error, (RetryLater, RateLimited)):
            ended = "later" if isinstance(error, RetryLater) else "limited"
            return told | {"ended": ended, "delay": error.delay}
        if isinstance(error, WaitForChildren):
            return told | {"ended": "children"}
        if isinstance(error, (Unrecoverable, BadResult)):
            return told | {"ended": "final"}
        return told
    outcome = instead(job, completed(job, result))
    if outcome.ending == "completed":
        return {"ended": "completed", "result": outcome.encoded}
    return {"ended": "final", "reason": outcome.reason, "stack": outcome.stack}


def receive(pipe: Connection) -> dict[str, Any] | None:
    """Return the next job to run; None when there will be none."""
    try:
        order: dict[str, Any] = json.loads(pipe.recv_bytes())
    except (EOFError, OSError):
        return None
    return order


def tell(pipe: Connection, **message: Any) -> None:
    """Send one message; a parent that is gone hears nothing."""
    try:
        with TELLING:
            pipe.send_bytes(json.dumps(message).encode())
    except OSError:
        os._exit(1)


def end_with_parent() -> None:
    """Do not outlive the worker, whatever a handler is doing."""
    parent = parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os._exit(1)
