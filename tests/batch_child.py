"""A worker of batches in a process of its own, for tests that kill it.

Its handler settles the first two jobs of a batch and holds the others until a file is
there. Each line of its output is a word and a JSON object, as `child.py` has it.
"""

from __future__ import annotations

import json
import logging
import sys
from pathlib import Path
from typing import Any

from child import say
from pgqueue import Batch, Worker, telemetry
from waiting import until, until_async


def begin(jobs: Any) -> Path:
    say("run", {"ids": [job.id for job in jobs]})
    for job in jobs[:2]:
        job.complete({"early": True})
    return Path(jobs[0].data["wait"])


async def on_the_loop(jobs: Any) -> Any:
    await until_async(begin(jobs).exists, timeout=100)


def in_a_thread(jobs: Any) -> Any:
    until(begin(jobs).exists, timeout=100)


def main(queue: str, kind: str, drain: bool, options: dict[str, Any]) -> None:
    logging.disable()
    telemetry.subscribe(say)
    handler = on_the_loop if kind == "async def" else in_a_thread
    batch = Batch(size=5, min_size=5, wait=60)
    Worker(queue, handler, batch=batch, **options).run(drain=drain)


if __name__ == "__main__":
    main(**json.loads(sys.argv[1]))
