"""Adding and draining together, for a while: does throughput last?

Plain; with a snapshot held open all the time, which keeps every dead index entry; and,
as a control, with that snapshot and without the seek hint.
"""

from __future__ import annotations

import statistics
import time
from bisect import bisect_right
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

import psycopg

from benchmarks.bulk_add import DATA
from benchmarks.child import Child
from benchmarks.lab import QUEUE, Report, connect, reset
from benchmarks.latency import pause
from pgqueue import NewJob, Queue, Worker
from pgqueue.worker.seek import Seek
from pgqueue.worker.session import Session

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.lab import Lab
    from pgqueue import ActiveJob

RATE: Final = 10_000
BATCH: Final = 100
BOUND: Final = 0.9


def add_steadily(dsn: str, *, rate: int, seconds: float) -> list[float]:
    """Add a hundred at a time; return when each hundred was in."""
    new = [NewJob("noop", DATA)] * BATCH
    times: list[float] = []
    with Queue(QUEUE, dsn=dsn) as queue:
        began = time.monotonic()
        while (now := time.monotonic()) < began + seconds:
            ahead = len(times) * BATCH / rate - (now - began)
            if ahead > 0:
                pause(ahead)
            queue.add_bulk(new, count_only=True)
            times.append(time.monotonic())
    return times


def drain(dsn: str, *, hint: bool) -> dict[str, list[Any]]:
    """Work until SIGTERM; return when jobs ran, and each round trip and its length."""
    done: list[float] = []
    trips: list[tuple[float, float]] = []
    exchange = Session.exchange

    async def note(_job: ActiveJob) -> None:
        done.append(time.monotonic())

    async def timed(self: Session, statements: Any) -> Any:
        began = time.monotonic()
        answer = await exchange(self, statements)
        trips.append((began, time.monotonic() - began))
        return answer

    def always(_seek: Seek, _now: float, *, hungry: bool) -> bool:  # noqa: ARG001
        return True

    Session.exchange = timed  # type: ignore[method-assign]
    if not hint:
        Seek.sweep_due = always  # type: ignore[method-assign,assignment]
    Worker(QUEUE, note, concurrency=100, remove_on_complete=True, dsn=dsn).run()
    return {"done": done[::BATCH], "trips": trips}


def run(lab: Lab) -> Iterator[Report]:
    """Compare the last third of a run with the first."""
    yield measure(lab, "mixed")
    yield measure(lab, "mixed.held_snapshot", held=True)
    control = measure(lab, "mixed.held_no_hint", held=True, hint=False)
    control.bound = None
    yield control


def measure(lab: Lab, name: str, *, held: bool = False, hint: bool = True) -> Report:
    """Add and drain together, and compare the thirds."""
    with connect(lab.dsn) as connection:
        reset(connection)
    with (
        psycopg.connect(lab.dsn) as old,
        Child("mixed:drain", dsn=lab.dsn, hint=hint) as worker,
    ):
        if held:
            old.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            old.execute("SELECT count(*) FROM pgqueue.queue")
        pause(1.0)
        began = time.monotonic()
        with Child(
            "mixed:add_steadily", dsn=lab.dsn, rate=RATE, seconds=lab.seconds
        ) as producer:
            added = producer.read()
        ended = time.monotonic()
        seen = worker.stop()
    edges = [began + (ended - began) * part / 3 for part in range(4)]
    done = per_third(seen["done"], edges)
    figures = {
        "done_per_s": [round(count * BATCH / (ended - began) * 3) for count in done],
        "added_per_s": round(len(added) * BATCH / (ended - began)),
        "behind": (len(added) - sum(done)) * BATCH,
        "round_trip_ms": third_medians(seen["trips"], edges),
        "seconds": round(ended - began, 1),
        "offered_per_s": RATE,
    }
    return Report(name, done[2] / max(1, done[0]), BOUND, figures=figures)


def per_third(times: list[float], edges: list[float]) -> list[int]:
    """Return how many of the times, in order, fall into each third."""
    places = [bisect_right(times, edge) for edge in edges]
    return [after - before for before, after in pairwise(places)]


def third_medians(trips: list[list[float]], edges: list[float]) -> list[float]:
    """Return the median length of the round trips in each third."""
    thirds: list[list[float]] = [[], [], []]
    for began, took in trips:
        third = bisect_right(edges, began) - 1
        if 0 <= third < len(thirds):
            thirds[third].append(took * 1000)
    return [round(statistics.median(third or [0.0]), 2) for third in thirds]
