"""The demo from its beginning to its end."""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from time import perf_counter
from typing import TYPE_CHECKING, Final

from pgqueue.async_queue import AsyncQueue
from pgqueue.demo.database import QUEUE, database
from pgqueue.demo.interrupts import Interrupts
from pgqueue.demo.report import report
from pgqueue.demo.work import Handler, make_jobs
from pgqueue.queue import Queue
from pgqueue.worker import Worker

if TYPE_CHECKING:
    from pgqueue.demo.show import Show

LOOK: Final = 0.1
MOST: Final = 4


def demo(
    show: Show, *, dsn: str | None = None, limit: int | None = None, keep: bool = False
) -> None:
    """Add a job for every file of the standard library, run them, and tell.

    Args:
        dsn: a migrated database to use instead of a private server.
        limit: how many files at most.
        keep: leave the private server up, until Ctrl-C.

    Raises:
        KeyboardInterrupt: Ctrl-C or SIGTERM came; nothing is left behind.
    """
    # A failed job is part of the show, not of the log.
    logging.getLogger("pgqueue").addHandler(logging.NullHandler())
    with (
        Interrupts() as interrupts,
        database(dsn, show, interrupts, keep=keep) as used,
    ):
        began = perf_counter()
        jobs = make_jobs(limit)
        with Queue(QUEUE, dsn=used) as queue:
            queue.add_bulk(jobs)
            took = perf_counter() - began
            show.line(f"found and added {len(jobs):,} jobs in {took:.1f} s")
            interrupts.check()
            asyncio.run(work(used, len(jobs), show, interrupts))
            interrupts.check()
            report(queue, show)
        if dsn is not None:
            show.line(
                f"the jobs stay; to remove them: pgqueue queue obliterate {QUEUE}"
            )
        elif keep:
            wait(show, interrupts)


async def work(dsn: str, total: int, show: Show, interrupts: Interrupts) -> None:
    """Run a worker until all jobs have finished, or until interrupted."""
    concurrency = min(MOST, os.cpu_count() or 1)
    worker = Worker(
        QUEUE,
        Handler(),
        concurrency=concurrency,
        shutdown_timeout=2,
        remove_on_complete=False,
        remove_on_fail=False,
        dsn=dsn,
    )
    with show.progress(total) as tell:
        async with AsyncQueue(QUEUE, dsn=dsn) as queue:
            working = asyncio.ensure_future(worker.serve())
            await asyncio.sleep(0)  # before it has begun it could not be stopped
            try:
                while not (working.done() or interrupts.count):
                    await asyncio.wait((working,), timeout=LOOK)
                    counts = await queue.counts()
                    tell(counts)
                    if counts.completed + counts.failed >= total:
                        break
            finally:
                worker.stop(now=interrupts.count > 0)
                await working


def wait(show: Show, interrupts: Interrupts) -> None:
    """Leave the server up until Ctrl-C."""
    show.line("")
    show.line("the server stays up until Ctrl-C; in another terminal, with the")
    show.line("PGQUEUE_DSN from above:")
    show.line("  pgqueue queue ls")
    show.line(f"  pgqueue job ls {QUEUE} --state failed")
    show.line('  psql "$PGQUEUE_DSN"')
    never = threading.Event()
    while not interrupts.count:
        never.wait(LOOK)
