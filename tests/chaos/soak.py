"""Random jobs over worker processes that are killed at random; then the books.

`python tests/chaos/soak.py [seconds] [seed]`, or `make soak`; the suite runs it for a
short time. It prints its seed, and with the same seed it decides the same.
"""

from __future__ import annotations

import json
import random
import signal
import sys
import threading
import time
from collections import Counter
from typing import Any, NamedTuple

import psycopg
from psycopg.rows import namedtuple_row

from invariants import assert_consistent
from pgqueue import Backoff, KeepJobs, NewJob, Queue, migrate
from pgqueue.embedded import EmbeddedServer
from processes import Process
from waiting import until

LEASE = 4
MAX_STALLED = 10


class Result(NamedTuple):
    """What a soak did."""

    added: int
    starts: int
    kills: int
    stalls: int


class Eyes:
    """The least of `conftest.Sql` that the invariants need."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self.connection = connection

    def all(self, query: str, params: Any = None) -> list[Any]:
        return self.connection.execute(query, params).fetchall()


def random_job(dice: random.Random) -> NewJob:
    """Return a job that fails, retries, waits, overtakes or vanishes, or none of it."""
    what: dict[str, Any] = {"fail": dice.random() < 0.2}
    if dice.random() < 0.02:
        what = {"exit": "once"} if dice.random() < 0.1 else {"spin": 0.05}
    return NewJob(
        "soak",
        what,
        delay=dice.choice([None, None, None, dice.random()]),
        priority=dice.choice([0, 0, 1, 7]),
        lifo=dice.random() < 0.1,
        attempts=dice.choice([1, 1, 2, 5]),
        backoff=dice.choice([None, Backoff.fixed(0.05), Backoff.exponential(0.02)]),
        remove_on_complete=dice.choice([None, True, 50, KeepJobs(age=1)]),
        remove_on_fail=dice.choice([None, None, True, 20]),
    )


def soak(dsn: str, seconds: float, seed: int, processes: int = 2) -> Result:
    """Run jobs over processes that die, and fail unless every promise was kept."""
    dice = random.Random(seed)  # noqa: S311
    limits: dict[int, int] = {}
    all_processes: list[Process] = []
    kills = 0
    pause = threading.Event()

    def start() -> Process:
        kind = dice.choice(["async def", "def"])
        options = {"lease": LEASE, "max_stalled": MAX_STALLED, "concurrency": 8}
        process = Process(dsn, kind=kind, **options)
        all_processes.append(process)
        return process

    running = [start() for _ in range(processes)]
    try:
        with Queue("work", dsn=dsn) as queue:
            end = time.monotonic() + seconds
            while time.monotonic() < end:
                jobs = [random_job(dice) for _ in range(dice.randrange(1, 60))]
                for job, new in zip(queue.add_bulk(jobs), jobs, strict=True):
                    limits[job.id] = new.attempts
                pause.wait(dice.random() * 0.1)
                for n, process in enumerate(running):
                    if dice.random() < 0.03 and process.alive:
                        process.signal(dice.choice([signal.SIGKILL, signal.SIGTERM]))
                        kills += 1
                    if not process.alive:
                        running[n] = start()

            def settled() -> bool:
                for n, process in enumerate(running):
                    if not process.alive:
                        running[n] = start()
                counts = queue.counts()
                return not (
                    counts.waiting + counts.prioritized + counts.delayed + counts.active
                )

            until(settled, 200, message="every job has finished")
        for process in running:
            process.signal(signal.SIGTERM)
        for process in running:
            process.wait(40)
    finally:
        for process in all_processes:
            process.__exit__()
    starts = Counter(run["id"] for one in all_processes for run in one.said("run"))
    stalls = Counter(
        one["id"] for each in all_processes for one in each.said("stalled")
    )
    check(dsn, limits, starts)
    return Result(len(limits), starts.total(), kills, stalls.total())


def check(dsn: str, limits: dict[int, int], starts: Counter[int]) -> None:
    """Compare what was promised with what was done."""
    never = [job for job in limits if not starts[job]]
    assert not never, f"acknowledged and never run: {never[:9]}"
    too_often = {
        job: starts[job]
        for job, attempts in limits.items()
        if starts[job] > attempts + MAX_STALLED
    }
    assert not too_often, f"ran too often: {too_often}"
    with psycopg.connect(
        dsn, autocommit=True, row_factory=namedtuple_row
    ) as connection:
        eyes = Eyes(connection)
        assert_consistent(eyes)  # type: ignore[arg-type]
        for row in eyes.all("SELECT job_id, attempt, stalled FROM pgqueue.finished"):
            made = row.attempt + row.stalled
            # A claim whose process died before its handler began is no start.
            assert starts[row.job_id] <= made, (
                f"{row} started {starts[row.job_id]} times"
            )
            assert row.attempt <= limits[row.job_id]
        assert not eyes.all("SELECT FROM pgqueue.lease")


def main() -> None:
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 300
    seed = (
        int(sys.argv[2])
        if len(sys.argv) > 2
        else random.SystemRandom().randrange(10**6)
    )
    print(f"soaking for {seconds:g} s with seed {seed}")  # noqa: T201
    with EmbeddedServer() as server:
        migrate.upgrade(server.dsn())
        print(json.dumps(soak(server.dsn(), seconds, seed)._asdict()))  # noqa: T201


if __name__ == "__main__":
    main()
