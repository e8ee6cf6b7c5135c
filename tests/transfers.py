"""A worker in a process of its own whose jobs complete in transactions of their handlers.

Run by `processes.Process`; it says when a handler is in its block, and when it is behind.
"""

from __future__ import annotations

import json
import logging
import sys
import threading
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from child import number, say
from effects import write
from pgqueue import Worker, telemetry
from waiting import until, until_async
from working import work_for

if TYPE_CHECKING:
    from connections import Kind

WAIT = 100


def in_a_thread(job: Any) -> None:
    what: dict[str, Any] = job.data or {}
    say("run", {"id": job.id, "attempt": job.attempt})
    with job.transaction() as connection:
        connection.execute(write(job.id))
        say("inside", {"id": job.id})
        if "inside" in what:
            until(Path(what["inside"]).exists, WAIT)
        if "takes" in what:
            threading.Event().wait(what["takes"])
        job.complete({"by": job.id})
    say("behind", {"id": job.id})
    if "behind" in what:
        until(Path(what["behind"]).exists, WAIT)


async def on_the_loop(job: Any) -> None:
    what: dict[str, Any] = job.data or {}
    say("run", {"id": job.id, "attempt": job.attempt})
    async with job.transaction() as connection:
        await connection.execute(write(job.id))
        say("inside", {"id": job.id})
        if "inside" in what:
            await until_async(Path(what["inside"]).exists, WAIT)
        if "takes" in what:
            await work_for(what["takes"])
        job.complete({"by": job.id})
    say("behind", {"id": job.id})
    if "behind" in what:
        await until_async(Path(what["behind"]).exists, WAIT)


HANDLERS = {"async def": on_the_loop, "def": in_a_thread}


def with_kind(name: str, dsn: str) -> Any:
    """Return a handler that writes on a connection of a kind of `connections`."""
    kind: type[Kind] = getattr(import_module("connections"), name)

    def handler(job: Any) -> None:
        what: dict[str, Any] = job.data or {}
        say("run", {"id": job.id, "attempt": job.attempt})
        made = kind(dsn)
        with job.transaction(connection=made.given):
            made.execute(write(job.id))
            say("inside", {"id": job.id})
            if "inside" in what:
                until(Path(what["inside"]).exists, WAIT)
            job.complete({"by": job.id})
        made.close()
        say("behind", {"id": job.id})
        if "behind" in what:
            until(Path(what["behind"]).exists, WAIT)

    return handler


def main(queue: str, kind: str, drain: bool, options: dict[str, Any]) -> None:
    logging.disable()
    telemetry.subscribe(say)
    handler = HANDLERS.get(kind) or with_kind(kind, options["dsn"])
    worker = Worker(queue, handler, **options)
    for event in ("lease_lost", "stalled", "failed", "completed"):
        worker.on(event, lambda *args, event=event: say(event, {"id": number(args[0])}))
    worker.run(drain=drain)
    say("bye", {})


if __name__ == "__main__":
    main(**json.loads(sys.argv[1]))
