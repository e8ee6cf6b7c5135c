"""How punctual delayed jobs start on an idle worker.

Due times are the database's; its clock is compared with the monotonic one before and
after, and the drift between the two is reported. So is how late this process itself
wakes from its pauses and has an answer from the server: what the machine allows.
"""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING, Final

from benchmarks.child import Child
from benchmarks.lab import QUEUE, Report, connect, percentiles, reset, value
from benchmarks.latency import pause
from pgqueue import Queue

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.lab import Connection, Lab

SAMPLES: Final = 600
SHORTEST: Final = 0.5
LONGEST: Final = 3.0
P99: Final = 15.0


def run(lab: Lab) -> Iterator[Report]:
    """Measure start minus due."""
    samples = lab.jobs(SAMPLES)
    due: dict[str, float] = {}
    machine: list[float] = []
    with (
        connect(lab.dsn) as connection,
        Queue(QUEUE, dsn=lab.dsn) as queue,
    ):
        reset(connection)
        with Child("latency:serve", dsn=lab.dsn) as worker:
            worker.read()
            pause(1.0)
            before = offset(connection)
            for _ in range(samples):
                machine.append(doze(connection, random.uniform(0, 0.05)))
                job = queue.add("noop", delay=random.uniform(SHORTEST, LONGEST))
                if job.run_at is not None:
                    due[str(job.id)] = job.run_at.timestamp()
            pause(LONGEST + 1)
            after = offset(connection)
            starts = worker.stop()
    clock = (before + after) / 2
    late = [starts[job] + clock - at for job, at in due.items()]
    figures = {
        "late": percentiles(late),
        "machine": percentiles(machine),
        "early": sum(delay < -abs(after - before) - 0.0005 for delay in late),
        "clock_drift_ms": round((after - before) * 1000, 3),
    }
    ratio = figures["late"]["p99_ms"] / P99
    yield Report("delayed", ratio, 1.0, False, figures)


def doze(connection: Connection, seconds: float) -> float:
    """Pause, then ask the server something; return how much longer that took."""
    wakes = time.monotonic() + seconds
    pause(seconds)
    value(connection, "SELECT 1")
    return time.monotonic() - wakes


def offset(connection: Connection) -> float:
    """Return the database's clock minus the monotonic one, from the fastest of many."""
    query = "SELECT extract(epoch FROM clock_timestamp())::double precision"
    best = (float("inf"), 0.0)
    for _ in range(200):
        sent = time.monotonic()
        there = value(connection, query)
        back = time.monotonic()
        best = min(best, (back - sent, there - (sent + back) / 2))
    return best[1]
