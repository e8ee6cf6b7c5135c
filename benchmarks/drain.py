"""A worker on jobs that do nothing against bare claims and deletes.

Every side drains a queue that was filled before, in a process of its own.
"""

from __future__ import annotations

import asyncio
import json
import time
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from benchmarks import bare
from benchmarks.bulk_add import DATA
from benchmarks.child import call
from benchmarks.lab import (
    QUEUE,
    Run,
    alternate,
    compare,
    connect,
    reset,
    wal_position,
)
from pgqueue import Worker

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.lab import Connection, Lab, Report
    from pgqueue import ActiveJob

JOBS: Final = 100_000
CONCURRENCY: Final = 100
ASYNC_BOUND: Final = 0.5
THREAD_BOUND: Final = 0.25

SMALL: Final = json.dumps(DATA)
LARGE: Final = json.dumps({**DATA, "text": "x" * 970})


async def do_nothing(job: ActiveJob) -> None:
    """Handle a job on the loop."""


def do_nothing_in_thread(job: ActiveJob) -> None:
    """Handle a job in a thread."""


def with_worker(dsn: str, *, handler: str, keep: bool) -> tuple[float, float]:
    """Drain with a worker; return seconds and CPU seconds."""
    function: Any = do_nothing if handler == "async" else do_nothing_in_thread
    worker = Worker(
        QUEUE,
        function,
        concurrency=CONCURRENCY,
        remove_on_complete=None if keep else True,
        dsn=dsn,
    )
    ended = 0.0

    @worker.on("drained")
    def drained() -> None:
        nonlocal ended
        ended = time.perf_counter()

    began, cpu = time.perf_counter(), time.process_time()
    asyncio.run(worker.serve(drain=True))
    return ended - began, time.process_time() - cpu


def with_sql(dsn: str, *, queue_id: int, keep: bool) -> tuple[float, float]:
    """Drain with two statements a hundred jobs; return seconds and CPU seconds."""
    began, cpu = time.perf_counter(), time.process_time()
    bare.drain(dsn, queue_id, CONCURRENCY, keep=keep)
    return time.perf_counter() - began, time.process_time() - cpu


def run(lab: Lab) -> Iterator[Report]:
    """Compare draining a queue."""
    jobs = lab.jobs(JOBS)
    with connect(lab.dsn) as connection:

        def side(handler: str, data: str = SMALL, *, keep: bool = False) -> Run:
            queue_id = reset(connection)
            bare.fill(connection, queue_id, jobs, data)
            wal = wal_position(connection)
            if handler == "bare":
                took, cpu = call(
                    "drain:with_sql", dsn=lab.dsn, queue_id=queue_id, keep=keep
                )
            else:
                took, cpu = call(
                    "drain:with_worker", dsn=lab.dsn, handler=handler, keep=keep
                )
            written = wal_position(connection) - wal
            check(connection, jobs if keep else 0)
            return Run(jobs, took, cpu, written)

        runs = alternate(
            lab.rounds,
            {
                "async": partial(side, "async"),
                "bare": partial(side, "bare"),
                "def": partial(side, "def"),
                "async_kept": partial(side, "async", keep=True),
                "bare_kept": partial(side, "bare", keep=True),
                "async_1kb": partial(side, "async", LARGE),
                "bare_1kb": partial(side, "bare", LARGE),
            },
        )
    yield compare("drain.async", runs, "async", "bare", ASYNC_BOUND)
    yield compare("drain.def", runs, "def", "bare", THREAD_BOUND)
    yield compare("drain.kept", runs, "async_kept", "bare_kept")
    yield compare("drain.1kb", runs, "async_1kb", "bare_1kb")


def check(connection: Connection, kept: int) -> None:
    """Make sure that the jobs have gone where they should."""
    row = connection.execute(
        "SELECT (SELECT count(*) FROM pgqueue.ready),"
        " (SELECT count(*) FROM pgqueue.lease), (SELECT count(*) FROM pgqueue.job),"
        " (SELECT count(*) FROM pgqueue.finished)"
    ).fetchone()
    if row != (0, 0, kept, kept):
        raise RuntimeError(f"the queue is not drained: {row}")
