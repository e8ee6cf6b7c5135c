"""A worker on jobs that do nothing, of many groups and of few.

Each side drains as many jobs, in a process of its own: what a job costs must not depend
on how many groups there are.
"""

from __future__ import annotations

import asyncio
import time
from functools import partial
from typing import TYPE_CHECKING, Final

from benchmarks.child import call
from benchmarks.lab import QUEUE, Run, alternate, compare, connect, reset, wal_position
from pgqueue import NewJob, Queue, Worker

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.lab import Lab, Report
    from pgqueue import ActiveJob

JOBS: Final = 100_000
FEW: Final = 100
CONCURRENCY: Final = 100
BOUND: Final = 0.5


async def do_nothing(job: ActiveJob) -> None:
    """Handle a job on the loop."""


def drain(dsn: str) -> tuple[float, float]:
    """Drain with a worker; return seconds and CPU seconds."""
    worker = Worker(
        QUEUE, do_nothing, concurrency=CONCURRENCY, remove_on_complete=True, dsn=dsn
    )
    began, cpu = time.perf_counter(), time.process_time()
    asyncio.run(worker.serve(drain=True))
    return time.perf_counter() - began, time.process_time() - cpu


def run(lab: Lab) -> Iterator[Report]:
    """Compare draining a group a job with draining a hundred groups."""
    jobs = lab.jobs(JOBS)
    with connect(lab.dsn) as connection:

        def side(groups: int) -> Run:
            reset(connection)
            with Queue(QUEUE, dsn=lab.dsn) as queue:
                queue.add_bulk(
                    (
                        NewJob("n", {"n": n}, group=f"g{n % groups}")
                        for n in range(jobs)
                    ),
                    count_only=True,
                )
            wal = wal_position(connection)
            took, cpu = call("groups:drain", dsn=lab.dsn)
            return Run(jobs, took, cpu, wal_position(connection) - wal)

        runs = alternate(
            lab.rounds, {"many": partial(side, jobs), "few": partial(side, FEW)}
        )
    yield compare("groups.many", runs, "many", "few", BOUND)
