"""Whether a worker grows: its resident memory over a million jobs."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import psutil

from benchmarks import bare
from benchmarks.child import call
from benchmarks.drain import CONCURRENCY, SMALL
from benchmarks.lab import QUEUE, Report, connect, reset
from pgqueue import Worker

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.lab import Lab
    from pgqueue import ActiveJob

JOBS: Final = 1_000_000
SAMPLES: Final = 10
BOUND: Final = 1.05
WIDE: Final = 3000
"""More at once than one statement writes: outcomes must not pile up behind it."""


def serve(dsn: str, *, jobs: int, concurrency: int) -> list[float]:
    """Drain; return the resident megabytes at every tenth of the jobs."""
    process = psutil.Process()
    resident: list[float] = []
    count = 0

    async def note(_job: ActiveJob) -> None:
        nonlocal count
        count += 1
        if count % (jobs // SAMPLES) == 0:
            resident.append(process.memory_info().rss / 1e6)

    worker = Worker(
        QUEUE, note, concurrency=concurrency, remove_on_complete=True, dsn=dsn
    )
    asyncio.run(worker.serve(drain=True))
    return resident


def run(lab: Lab) -> Iterator[Report]:
    """Compare memory after a fifth of the jobs with memory after all."""
    for bench, concurrency in (("memory", CONCURRENCY), ("memory.wide", WIDE)):
        jobs = lab.jobs(JOBS)
        with connect(lab.dsn) as connection:
            bare.fill(connection, reset(connection), jobs, SMALL)
        resident = call("memory:serve", dsn=lab.dsn, jobs=jobs, concurrency=concurrency)
        figures = {"rss_mb": [round(each, 1) for each in resident], "jobs": jobs}
        ratio = resident[-1] / resident[SAMPLES // 5 - 1]
        yield Report(bench, ratio, BOUND, False, figures)
