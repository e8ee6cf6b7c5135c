"""From an add to the start of its handler, on a worker that has nothing else to do.

Both processes read CLOCK_MONOTONIC, which is one clock for the whole machine. A sample
begins before the call of `add`, so the commit of the add is part of it. Between two
samples the floor is measured: an insert with NOTIFY, and a LISTEN that then deletes.
"""

from __future__ import annotations

import random
import threading
import time
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any, Final

import psycopg

from benchmarks import bare
from benchmarks.child import Child, say
from benchmarks.lab import QUEUE, Report, connect, percentiles, reset, value
from pgqueue import Queue, Worker, telemetry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from benchmarks.lab import Lab
    from pgqueue import ActiveJob

SAMPLES: Final = 2000
MEDIAN: Final = 3.0
P99: Final = 10.0
"""Bounds, in milliseconds; the ratio is the measured p99 to its bound."""

RING: Final = "pg_notify('bare', %(queue_id)s::text)"

OPEN_SAMPLES: Final = 200
OPEN: Final = 0.2
POLLED_SAMPLES: Final = 150

pause = threading.Event().wait


def serve(dsn: str) -> dict[str, float]:
    """Work until SIGTERM; return when each job's handler started, by job id."""
    starts: dict[str, float] = {}
    told = False

    async def note(job: ActiveJob) -> None:
        starts[str(job.id)] = time.monotonic()

    def on_fact(fact: str, _fields: dict[str, Any]) -> None:
        nonlocal told
        if fact == "worker.drained" and not told:
            told = True
            say("ready")

    telemetry.subscribe(on_fact)
    Worker(QUEUE, note, remove_on_complete=True, dsn=dsn).run()
    return starts


def listen(dsn: str) -> dict[str, float]:
    """Do in bare SQL what `serve` does, until told to end."""
    starts: dict[str, float] = {}
    with connect(dsn) as connection, connect(dsn) as claiming:
        connection.execute("LISTEN bare")
        say("ready")
        for notice in connection.notifies():
            if not notice.payload:
                break
            if bare.claim(claiming, int(notice.payload), 1):
                starts[str(len(starts))] = time.monotonic()
    return starts


def run(lab: Lab) -> Iterator[Report]:
    """Measure how long an idle worker takes to notice a job."""
    samples = lab.jobs(SAMPLES)
    floor = Floor()
    begun, committed = measure(lab, samples, longest_gap=0.025, floor=floor)
    idle = percentiles(begun)
    report = Report("latency", worst(idle), 1.0, at_least=False)
    lowest = percentiles(floor.delays)
    report.figures = {
        "added": idle,
        "committed": percentiles(committed),
        "bare": lowest,
        "times_bare": times_bare(idle, lowest),
    }
    yield report

    begun, committed = measure(lab, OPEN_SAMPLES, longest_gap=0.1, open_for=OPEN)
    waited = percentiles(committed)
    yield Report("latency.open_200ms", worst(waited), 1.0, False, {"committed": waited})

    begun, _ = measure(lab, POLLED_SAMPLES, longest_gap=0.4, listen="off")
    polled = percentiles(begun)
    yield Report("latency.listen_off", worst(polled), figures={"added": polled})


class Floor:
    """The bare side: another process that listens, and a connection that rings it.

    Attributes:
        delays: from before each insert to the end of its claim.
    """

    def __init__(self) -> None:
        self.delays: list[float] = []

    @contextmanager
    def open(self, lab: Lab) -> Iterator[Callable[[], None]]:
        """Yield what takes a sample; the delays are known at the end."""
        began: list[float] = []
        with (
            connect(lab.dsn) as connection,
            Child("latency:listen", dsn=lab.dsn) as ear,
        ):
            ear.read()
            params = {
                "queue_id": value(connection, "SELECT pgqueue.queue_id('bare')"),
                "name": "noop",
                "data": "null",
            }

            def sample() -> None:
                began.append(time.monotonic())
                connection.execute(f"{bare.ADD_ONE}, {RING}", params)

            yield sample
            pause(0.5)
            connection.execute("NOTIFY bare")
            starts = ear.read()
        self.delays = [
            starts[str(number)] - before for number, before in enumerate(began)
        ]


def times_bare(figures: dict[str, float], bare: dict[str, float]) -> dict[str, float]:
    """Return how many times as long as the bare side it took, at p50 and p99."""
    return {name: round(figures[name] / bare[name], 2) for name in ("p50_ms", "p99_ms")}


def worst(figures: dict[str, float]) -> float:
    """Return how close p50 or p99 comes to its bound; 1 is there."""
    return max(figures["p50_ms"] / MEDIAN, figures["p99_ms"] / P99)


def measure(
    lab: Lab,
    samples: int,
    *,
    longest_gap: float,
    open_for: float = 0.0,
    listen: str = "auto",
    floor: Floor | None = None,
) -> tuple[list[float], list[float]]:
    """Return the delays of the handlers, since the add and since before the commit."""
    with connect(lab.dsn) as connection:
        reset(connection)
    environ = {"PGQUEUE_LISTEN": listen}
    added: dict[str, tuple[float, float]] = {}
    with (
        Queue(QUEUE, dsn=lab.dsn) as queue,
        psycopg.connect(lab.dsn) as business,
        Child("latency:serve", environ=environ, dsn=lab.dsn) as worker,
        nullcontext() if floor is None else floor.open(lab) as sample_floor,
    ):
        worker.read()
        pause(1.0)
        for _ in range(samples):
            pause(random.uniform(0, longest_gap))
            began = time.monotonic()
            if open_for:
                job = queue.add("noop", connection=business)
                pause(open_for)
                commits = time.monotonic()
                business.commit()
            else:
                job = queue.add("noop")
                commits = time.monotonic()
            added[str(job.id)] = began, commits
            if sample_floor is not None:
                pause(random.uniform(0, longest_gap))
                sample_floor()
        pause(1.5)
        starts = worker.stop()
    return (
        [starts[job] - began for job, (began, _) in added.items()],
        [starts[job] - commits for job, (_, commits) in added.items()],
    )
