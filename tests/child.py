"""A worker in a process of its own, for tests that kill it; says all it does.

Run by `processes.Process`. Each line of its output is a word and a JSON object.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sys
import threading
import time
from pathlib import Path
from typing import Any

from pgqueue import Worker, telemetry
from waiting import until, until_async

lock = threading.Lock()


def say(word: str, fields: dict[str, Any]) -> None:
    with lock:
        sys.stdout.write(f"{word} {json.dumps(fields, default=str)}\n")
        sys.stdout.flush()


def begin(job: Any) -> dict[str, Any]:
    what: dict[str, Any] = job.data or {}
    say("run", {"id": job.id, "attempt": job.attempt})
    if what.get("exit") and not (what["exit"] == "once" and job.stalled):
        os._exit(9)
    if spin := what.get("spin"):
        # Blocks the loop, or the thread, without ever letting go.
        end = time.monotonic() + spin
        while time.monotonic() < end:
            pass
    if what.get("fail"):
        raise OSError("told to fail")
    return what


async def on_the_loop(job: Any) -> Any:
    what = begin(job)
    if what.get("until_cancelled"):
        try:
            await asyncio.Event().wait()
        finally:
            say("cancelled", {"id": job.id})
    if "wait" in what:
        await until_async(Path(what["wait"]).exists, timeout=100)
    if "progress" in what:
        await job.update_progress(what["progress"])
    say("end", {"id": job.id})
    return what.get("result")


def in_a_thread(job: Any) -> Any:
    what = begin(job)
    if what.get("until_cancelled"):
        until(lambda: job.cancelled, timeout=100)
        say("cancelled", {"id": job.id})
    if "wait" in what:
        until(Path(what["wait"]).exists, timeout=100)
    if "progress" in what:
        job.update_progress(what["progress"])
    say("end", {"id": job.id})
    return what.get("result")


def main(queue: str, kind: str, drain: bool, options: dict[str, Any]) -> None:
    logging.disable()
    telemetry.subscribe(say)
    handler = on_the_loop if kind == "async def" else in_a_thread
    worker = Worker(queue, handler, **options)
    for event in ("lease_lost", "stalled", "failed", "completed"):
        worker.on(event, lambda *args, event=event: say(event, {"id": number(args[0])}))
    worker.run(drain=drain)
    say("bye", {})


def number(value: Any) -> int:
    return int(getattr(value, "id", value))


if __name__ == "__main__":
    main(**json.loads(sys.argv[1]))
