"""Other PostgreSQL queues for Python, on the same server and the same work.

Asked for by name only: `pip install procrastinate pgqueuer` somewhere first. What is
not installed is left out. Settings are what their documentation gives for throughput.
"""

from __future__ import annotations

import asyncio
import time
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Final

import psycopg

from benchmarks import bare
from benchmarks.bulk_add import DATA
from benchmarks.child import call
from benchmarks.drain import CONCURRENCY, SMALL
from benchmarks.lab import Run, alternate, compare, connect, reset, wal_position

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator

    from benchmarks.lab import Lab, Report

JOBS: Final = {"pgqueue": 100_000, "pgqueuer": 10_000, "procrastinate": 1_000}
"""How many each drains; rates are compared, and the slower ones need not take long."""


def measured(work: Callable[[], Coroutine[Any, Any, float]]) -> tuple[float, float]:
    """Return seconds and CPU seconds of work that says when it ended."""
    began, cpu = time.perf_counter(), time.process_time()
    ended = asyncio.run(work())
    return ended - began, time.process_time() - cpu


def fill_procrastinate(dsn: str, *, jobs: int) -> None:
    """Put jobs into procrastinate's tables with its own API."""
    procrastinate = import_module("procrastinate")

    async def fill() -> None:
        app = procrastinate.App(connector=procrastinate.PsycopgConnector(conninfo=dsn))
        task = app.task(name="noop")(nothing)
        async with app.open_async():
            await app.schema_manager.apply_schema_async()
            for _ in range(jobs // 1000):
                await task.batch_defer_async(*[{"data": DATA}] * 1000)

    asyncio.run(fill())


def drain_procrastinate(dsn: str, *, jobs: int) -> tuple[float, float]:
    """Drain with one procrastinate worker."""
    procrastinate = import_module("procrastinate")

    async def drain() -> float:
        app = procrastinate.App(connector=procrastinate.PsycopgConnector(conninfo=dsn))
        app.task(name="noop")(nothing)
        async with app.open_async():
            await app.run_worker_async(
                concurrency=CONCURRENCY,
                wait=False,
                delete_jobs="always",
                install_signal_handlers=False,
            )
        return time.perf_counter()

    del jobs
    return measured(drain)


async def nothing(**_data: Any) -> None:
    """Handle a job of procrastinate."""


def fill_pgqueuer(dsn: str, *, jobs: int) -> None:
    """Put jobs into pgqueuer's tables with its own API."""
    pgqueuer = import_module("pgqueuer")

    async def fill() -> None:
        connection = await psycopg.AsyncConnection.connect(dsn, autocommit=True)
        queries = pgqueuer.Queries(pgqueuer.PsycopgDriver(connection))
        await queries.install()
        for _ in range(jobs // 1000):
            await queries.enqueue(["noop"] * 1000, [SMALL.encode()] * 1000, [0] * 1000)
        await connection.close()

    asyncio.run(fill())


def drain_pgqueuer(dsn: str, *, jobs: int) -> tuple[float, float]:
    """Drain with one pgqueuer worker."""
    pgqueuer = import_module("pgqueuer")

    async def drain() -> float:
        connection = await psycopg.AsyncConnection.connect(dsn, autocommit=True)
        queue: Any = pgqueuer.PgQueuer(pgqueuer.PsycopgDriver(connection))
        ended = 0.0
        count = 0

        async def noop(_job: Any) -> None:
            nonlocal count, ended
            count += 1
            if count == jobs:
                ended = time.perf_counter()
                queue.shutdown.set()

        queue.entrypoint("noop")(noop)
        await queue.run(batch_size=CONCURRENCY)
        await connection.close()
        return ended

    return measured(drain)


def run(lab: Lab) -> Iterator[Report]:
    """Compare draining with pgqueue and with what else is installed."""
    peers = [name for name in JOBS if find_spec(name)]
    number = 0

    def side(name: str) -> Run:
        nonlocal number
        number += 1
        jobs = lab.jobs(JOBS[name])
        dsn = lab.make(f"peers_{number}")
        with connect(dsn) as connection:
            if name == "pgqueue":
                bare.fill(connection, reset(connection), jobs, SMALL)
            else:
                call(f"peers:fill_{name}", dsn=dsn, jobs=jobs)
                connection.execute("ANALYZE")
                connection.execute("CHECKPOINT")
            wal = wal_position(connection)
            if name == "pgqueue":
                took, cpu = call(
                    "drain:with_worker", dsn=dsn, handler="async", keep=False
                )
            else:
                took, cpu = call(f"peers:drain_{name}", dsn=dsn, jobs=jobs)
            return Run(jobs, took, cpu, wal_position(connection) - wal)

    runs = alternate(lab.rounds, {name: partial(side, name) for name in peers})
    for peer in peers:
        if peer != "pgqueue":
            yield compare(f"peers.{peer}", runs, "pgqueue", peer)
